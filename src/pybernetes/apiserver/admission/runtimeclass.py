"""RuntimeClass: a Pod takes over its class's overhead, and the node selector and tolerations that it asks for."""

from pybernetes.api.errors import NotFound
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.admission._tolerations import merged
from pybernetes.apiserver.extension import Admission, AdmissionRequest

CLASSES = GroupResource("node.k8s.io", "runtimeclasses")
_UNLIKE = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


async def _mutate(request: AdmissionRequest) -> None:
    found = await _class(request)
    if found is None:
        return
    spec = request.object["spec"]
    overhead = _overhead(found)
    if overhead:
        if spec.get("overhead") and spec["overhead"] != overhead:
            raise refused(request, _UNLIKE)
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.setdefault(key, value) != value:
            theirs, ours = f"runtimeClass.scheduling.nodeSelector[{key}]", f"pod.spec.nodeSelector[{key}]"
            raise refused(request, f"conflict: {theirs} = {value}; {ours} = {selector[key]}")
    if selector:
        spec["nodeSelector"] = selector
    if scheduling.get("tolerations"):
        spec["tolerations"] = merged(spec.get("tolerations") or [], scheduling["tolerations"])


async def _validate(request: AdmissionRequest) -> None:
    given = (request.object.get("spec") or {}).get("overhead") or {}
    found = await _class(request)
    wanted = _overhead(found) if found is not None else {}
    if wanted and given != wanted:
        raise refused(request, _UNLIKE)
    if given and not wanted:
        raise refused(request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _overhead(found: Object) -> dict[str, str]:
    return dict((found.get("overhead") or {}).get("podFixed") or {})


async def _class(request: AdmissionRequest) -> Object | None:
    name = (request.object.get("spec") or {}).get("runtimeClassName")
    if not name:
        return None
    registry = request.call.registry
    found = registry.look(CLASSES, "", name)
    if found is not None:
        return found
    try:
        return await registry.get(CLASSES, "", name)
    except NotFound:
        raise refused(request, f'pod rejected: RuntimeClass "{name}" not found') from None


ADMISSION = Admission(
    name="RuntimeClass",
    order=230,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"pods"}),
    mutate=_mutate,
    validate=_validate,
)
