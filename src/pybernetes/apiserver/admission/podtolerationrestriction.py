"""PodTolerationRestriction: a namespace's annotations add tolerations to its Pods, and limit which they may have.

Configuration: `default` and `whitelist`, for namespaces without the annotations.
"""

from collections.abc import Callable

import orjson

from pybernetes.api.objects import Object
from pybernetes.apiserver.admission._followed import NAMESPACES, annotations, refused
from pybernetes.apiserver.admission._tolerations import covers, merged
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.quota import best_effort

_DEFAULT = "scheduler.alpha.kubernetes.io/defaultTolerations"
_ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}


def _start(registry: Registry, configuration: Object) -> Hooks:
    async def namespace_of(request: AdmissionRequest) -> Object:
        name = request.call.namespace
        return registry.look(NAMESPACES, "", name) or await registry.get(NAMESPACES, "", name)

    async def mutate(request: AdmissionRequest) -> None:
        more: list[Object] = []
        if request.operation == "CREATE":
            said = _annotated(await namespace_of(request), _DEFAULT, request)
            more += (configuration.get("default") or []) if said is None else said
        if not best_effort(request.object):
            more.append(dict(_PRESSURE))
        spec = request.object.setdefault("spec", {})
        if more:
            spec["tolerations"] = merged(spec.get("tolerations") or [], more)

    async def validate(request: AdmissionRequest) -> None:
        tolerations = (request.object.get("spec") or {}).get("tolerations") or []
        said = _annotated(await namespace_of(request), _ALLOWED, request)
        allowed, whose = (configuration.get("whitelist") or [], "cluster") if said is None else (said, "namespace")
        covered: Callable[[Object], bool] = lambda one: any(covers(other, one) for other in allowed)  # noqa: E731
        if allowed and not all(covered(one) for one in tolerations):
            what = "pod tolerations (possibly merged with namespace default tolerations)"
            raise refused(request, f"{what} conflict with its {whose} whitelist")

    return Hooks(mutate, validate)


def _annotated(namespace: Object, key: str, request: AdmissionRequest) -> list[Object] | None:
    text = annotations(namespace).get(key)
    if text is None:
        return None
    try:
        found = orjson.loads(text or "[]")
    except ValueError as error:
        raise refused(request, f"{key}: {error}") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise refused(request, f"{key}: not a list of tolerations")
    return found


ADMISSION = Admission(
    name="PodTolerationRestriction", order=160, resources=frozenset({"pods"}), start=_start, default_on=False
)
