"""Pod: the unit that runs. Its spec is judged in validation/pod; table and actions are in the files beside this."""

from collections.abc import Callable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid
from pybernetes.api.objects import Object
from pybernetes.apiserver.connect import pod_attach, pod_exec, pod_log, pod_portforward
from pybernetes.apiserver.proxying import proxy_pod
from pybernetes.apiserver.resource import Resource, Subresource
from pybernetes.apiserver.resources._columns import spec, status
from pybernetes.apiserver.resources.core._pod_actions import bind, evict
from pybernetes.apiserver.resources.core._pod_table import COLUMNS
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, immutable
from pybernetes.apiserver.validation.pod.defaults import default_pod
from pybernetes.apiserver.validation.pod.qos import qos_class
from pybernetes.apiserver.validation.pod.spec import validate_pod
from pybernetes.apiserver.validation.pod.update import validate_pod_update

_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _prepare(obj: Object, old: Object | None) -> None:
    if old is not None:
        obj["status"] = old.get("status") or {}
        return
    if spec(obj).get("ephemeralContainers"):
        refusal = field_forbidden("spec.ephemeralContainers", "cannot be set on create")
        raise invalid("", "Pod", obj["metadata"].get("name", ""), [refusal])
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec(obj))}
    if spec(obj).get("schedulingGates"):
        obj["status"]["conditions"] = [dict(_GATED)]


def _validate(obj: Object) -> FieldErrors:
    yield from validate_pod(obj)


def _prepare_status(obj: Object, old: Object) -> None:
    # Old kubelets sent owner references that they had not understood; upstream keeps the stored ones ever since.
    owners = old["metadata"].get("ownerReferences")
    obj["metadata"].pop("ownerReferences", None)
    if owners:
        obj["metadata"]["ownerReferences"] = owners
    new, before = obj.setdefault("status", {}), status(old)
    if before.get("qosClass") and not new.get("qosClass"):
        new["qosClass"] = before["qosClass"]


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    new, before = status(obj), status(old)
    nominated = new.get("nominatedNodeName")
    if nominated:
        yield from check("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
    yield from immutable("status.qosClass", new.get("qosClass"), before.get("qosClass"))
    policy = spec(old).get("restartPolicy")
    if policy != "Always":
        yield from _transitions(new, before, policy)


def _transitions(new: Mapping[str, Any], before: Mapping[str, Any], policy: str | None) -> FieldErrors:
    """A container that will not be restarted stays terminated."""
    ended = {
        state.get("name"): (state.get("state") or {}).get("terminated")
        for state in before.get("containerStatuses") or ()
    }
    for at, state in each(new, "containerStatuses", "status"):
        terminated = ended.get(state.get("name"))
        if terminated is None or (policy == "OnFailure" and terminated.get("exitCode")):
            continue
        if (state.get("state") or {}).get("terminated") is None:
            yield field_forbidden(f"{at}.state", "may not be transitioned to non-terminated state")


def _grace(obj: Object, asked: int | None) -> int:
    """Seconds until a Pod may be removed; none where no kubelet has it, or it is over already."""
    seconds = asked
    if seconds is None:
        seconds = spec(obj).get("terminationGracePeriodSeconds")
        seconds = 30 if seconds is None else seconds
    if seconds < 0:
        seconds = 1
    if not spec(obj).get("nodeName") or status(obj).get("phase") in ("Succeeded", "Failed"):
        return 0
    return seconds


def _of(part: Callable[[Object], Mapping[str, Any]], field: str) -> Callable[[Object], str]:
    def text(obj: Object) -> str:
        value = part(obj).get(field)
        return "" if value is None else str(value)

    return text


RESOURCE = Resource(
    group="",
    plural="pods",
    default=default_pod,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=validate_pod_update,
    validate_status=_validate_status,
    grace=_grace,
    subresources={
        "binding": Subresource(create=bind),
        "eviction": Subresource(create=evict),
        "log": Subresource(connect=pod_log),
        "exec": Subresource(connect=pod_exec),
        "attach": Subresource(connect=pod_attach),
        "portforward": Subresource(connect=pod_portforward),
        "proxy": Subresource(connect=proxy_pod),
    },
    columns=COLUMNS,
    selectable_fields={
        "spec.nodeName": _of(spec, "nodeName"),
        "spec.restartPolicy": _of(spec, "restartPolicy"),
        "spec.schedulerName": _of(spec, "schedulerName"),
        "spec.serviceAccountName": _of(spec, "serviceAccountName"),
        "spec.hostNetwork": lambda obj: "true" if spec(obj).get("hostNetwork") else "false",
        "status.phase": _of(status, "phase"),
        "status.podIP": _of(status, "podIP"),
        "status.nominatedNodeName": _of(status, "nominatedNodeName"),
    },
)
