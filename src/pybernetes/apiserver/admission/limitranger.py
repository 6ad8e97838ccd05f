"""LimitRanger: gives containers the requests and limits that a namespace's LimitRanges say, and refuses what is beyond."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

from pybernetes.api.objects import GroupResource, Object
from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.admission._followed import PODS, Followed, refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest, Hooks
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.podresources import Quantities, of_container, of_pod, quantities

RANGES = GroupResource("", "limitranges")
_ANNOTATION = "kubernetes.io/limit-ranger"
_KINDS = (("containers", "container"), ("initContainers", "init container"))

Rule: TypeAlias = Callable[[str, str, Quantity, Quantities, Quantities], str]
"""(type, resource, bound, requests, limits) to the fault, empty where there is none."""


class LimitRanges:
    """The plugin of one server."""

    def __init__(self, registry: Registry) -> None:
        self._ranges = Followed(registry, RANGES)

    async def mutate(self, request: AdmissionRequest) -> None:
        """Defaults of containers."""
        found = self._concerned(request)
        if not found or request.call.resource.group_resource != PODS:
            return
        for limit_range in found:
            _default(request.object, limit_range)

    async def validate(self, request: AdmissionRequest) -> None:
        """Bounds of containers, Pods and claims."""
        for limit_range in self._concerned(request):
            pod = request.call.resource.group_resource == PODS
            faults = list(_of_pod(request.object, limit_range) if pod else _of_claim(request.object, limit_range))
            faults = list(dict.fromkeys(faults))
            if faults:
                raise refused(request, faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")

    def _concerned(self, request: AdmissionRequest) -> Collection[Object]:
        call, old = request.call, request.old
        found = self._ranges.of(call.namespace)
        if not found or (old is not None and old["metadata"].get("deletionTimestamp")):
            return ()
        # A Pod's containers change only through `resize`.
        if call.resource.group_resource == PODS and (old is not None) != (call.subresource == "resize"):
            return ()
        return found


def _limits(limit_range: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    for limit in (limit_range.get("spec") or {}).get("limits") or ():
        if limit.get("type") == kind:
            yield limit


def _default(pod: Object, limit_range: Mapping[str, Any]) -> None:
    defaults: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for limit in _limits(limit_range, "Container"):
        defaults["requests"].update(limit.get("defaultRequest") or {})
        defaults["limits"].update(limit.get("default") or {})
    if not defaults["requests"] and not defaults["limits"]:
        return
    notes: list[str] = []
    for field, words in _KINDS:
        for container in (pod.get("spec") or {}).get(field) or ():
            for which, amounts in defaults.items():
                given = (container.get("resources") or {}).get(which) or {}
                missing = {name: text for name, text in amounts.items() if name not in given}
                if missing:
                    container["resources"] = {**(container.get("resources") or {}), which: {**given, **missing}}
                    notes.append(f"{', '.join(sorted(missing))} {which[:-1]} for {words} {container.get('name', '')}")
    if notes:
        metadata = pod["metadata"]
        note = "LimitRanger plugin set: " + "; ".join(notes)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), _ANNOTATION: note}


def _of_pod(pod: Mapping[str, Any], limit_range: Mapping[str, Any]) -> Iterator[str]:
    for limit in (limit_range.get("spec") or {}).get("limits") or ():
        if limit.get("type") == "Container":
            for field, _ in _KINDS:
                for container in (pod.get("spec") or {}).get(field) or ():
                    yield from _judged(limit, of_container(container, "requests"), of_container(container, "limits"))
        elif limit.get("type") == "Pod":
            yield from _judged(limit, of_pod(pod, "requests"), of_pod(pod, "limits"))


def _of_claim(claim: Mapping[str, Any], limit_range: Mapping[str, Any]) -> Iterator[str]:
    requests = quantities(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    for limit in _limits(limit_range, "PersistentVolumeClaim"):
        yield from _each(limit, "min", _below, requests, {})
        yield from _each(limit, "max", _beyond_request, requests, {})


def _judged(limit: Mapping[str, Any], requests: Quantities, limits: Quantities) -> Iterator[str]:
    yield from _each(limit, "min", _below, requests, limits)
    yield from _each(limit, "max", _beyond, requests, limits)
    yield from _each(limit, "maxLimitRequestRatio", _ratio, requests, limits)


def _each(limit: Mapping[str, Any], field: str, rule: Rule, requests: Quantities, limits: Quantities) -> Iterator[str]:
    for name, bound in sorted(quantities(limit.get(field)).items()):
        fault = rule(limit["type"], name, bound, requests, limits)
        if fault:
            yield fault


def _below(kind: str, name: str, bound: Quantity, requests: Quantities, limits: Quantities) -> str:
    said = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        return f"{said}.  No request is specified"
    if requests[name] < bound:
        return f"{said}, but request is {requests[name]}"
    if name in limits and limits[name] < bound:
        return f"{said}, but limit is {limits[name]}"
    return ""


def _beyond(kind: str, name: str, bound: Quantity, requests: Quantities, limits: Quantities) -> str:
    said = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        return f"{said}.  No limit is specified"
    if limits[name] > bound:
        return f"{said}, but limit is {limits[name]}"
    if name in requests and requests[name] > bound:
        return f"{said}, but request is {requests[name]}"
    return ""


def _beyond_request(kind: str, name: str, bound: Quantity, requests: Quantities, limits: Quantities) -> str:
    said = f"maximum {name} usage per {kind} is {bound}"
    if name not in requests:
        return f"{said}.  No request is specified"
    return f"{said}, but request is {requests[name]}" if requests[name] > bound else ""


def _ratio(kind: str, name: str, bound: Quantity, requests: Quantities, limits: Quantities) -> str:
    said = f"{name} max limit to request ratio per {kind} is {bound}"
    if not requests.get(name):
        return f"{said}, but no request is specified or request is 0"
    if not limits.get(name):
        return f"{said}, but no limit is specified or limit is 0"
    ratio = limits[name].nanos / requests[name].nanos
    return f"{said}, but provided ratio is {ratio:f}" if ratio > bound.nanos / 10**9 else ""


def _start(registry: Registry, configuration: Object) -> Hooks:
    plugin = LimitRanges(registry)
    return Hooks(plugin.mutate, plugin.validate)


ADMISSION = Admission(
    name="LimitRanger",
    order=60,
    resources=frozenset({"pods", "pods/resize", "persistentvolumeclaims"}),
    start=_start,
)
