"""PodNodeSelector: a namespace's annotation says on which nodes its Pods may run.

Configuration: `podNodeSelectorPluginConfig`: `clusterDefaultNodeSelector`, and the labels allowed by namespace.
"""

from collections.abc import Mapping

from pybernetes.api.names import label_value, qualified_name
from pybernetes.api.objects import Object
from pybernetes.apiserver.admission._followed import NAMESPACES, annotations, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry

_ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
_DEFAULT = "clusterDefaultNodeSelector"


def _labels(text: str) -> dict[str, str]:
    """`a=b,c=d`. Raises ValueError."""
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or "=" in value:
            raise ValueError(f"invalid selector: [{part}]")
        if qualified_name(key) or label_value(value):
            raise ValueError(f"invalid label in selector: [{part}]")
        found[key] = value
    return found


def _start(registry: Registry, configuration: Object) -> Hooks:
    given: Mapping[str, str] = configuration.get("podNodeSelectorPluginConfig") or {}
    selectors = {name: _labels(text or "") for name, text in given.items()}

    async def mutate(request: AdmissionRequest) -> None:
        namespace = request.call.namespace
        found = registry.look(NAMESPACES, "", namespace) or await registry.get(NAMESPACES, "", namespace)
        text = annotations(found).get(_ANNOTATION)
        try:
            wanted = selectors.get(_DEFAULT, {}) if text is None else _labels(text)
        except ValueError as error:
            raise refused(request, str(error)) from None
        spec = request.object.setdefault("spec", {})
        own = spec.get("nodeSelector") or {}
        if any(own.get(key, value) != value for key, value in wanted.items()):
            why = "pod node label selector conflicts with its namespace node label selector"
            raise refused(request, why)
        merged = {**wanted, **own}
        if merged:
            spec["nodeSelector"] = merged
        allowed = selectors.get(namespace)
        if allowed and not merged.items() <= allowed.items():
            raise refused(request, "pod node label selector labels conflict with its namespace whitelist")

    return Hooks(mutate=mutate)


ADMISSION = Admission(
    name="PodNodeSelector",
    order=130,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"pods"}),
    start=_start,
    default_on=False,
)
