"""Pod: the unit that runs. Its spec is judged in validation/pod; table and actions are in the files beside this."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pybernetes.api.errors import invalid
from pybernetes.api.objects import Object
from pybernetes.apiserver.connect import pod_attach, pod_exec, pod_log, pod_portforward
from pybernetes.apiserver.proxying import proxy_pod
from pybernetes.apiserver.resource import Part, Resource, Subresource
from pybernetes.apiserver.resources._columns import spec, status
from pybernetes.apiserver.resources.core._pod_actions import bind
from pybernetes.apiserver.resources.core._pod_eviction import evict
from pybernetes.apiserver.resources.core._pod_glance import PodGlance
from pybernetes.apiserver.resources.core._pod_table import COLUMNS
from pybernetes.apiserver.validation.addresses import address_warning
from pybernetes.apiserver.validation.fields import FieldErrors, each
from pybernetes.apiserver.validation.pod.annotations import validate_annotation_updates
from pybernetes.apiserver.validation.pod.parts import (
    keep_but_ephemeral_containers,
    keep_but_resources,
    validate_ephemeral_containers,
    validate_resize,
)
from pybernetes.apiserver.validation.pod.prepare import adopt_app_armor, merge_label_keys
from pybernetes.apiserver.validation.pod.qos import qos_class
from pybernetes.apiserver.validation.pod.spec import validate_new_pod, validate_pod
from pybernetes.apiserver.validation.pod.status import prepare_pod_status, validate_pod_status
from pybernetes.apiserver.validation.pod.update import validate_pod_update
from pybernetes.apiserver.validation.pod.warnings import warn_pod
from pybernetes.rules.poddefaults import default_pod

_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _prepare(obj: Object, old: Object | None) -> None:
    if old is not None:
        obj["status"] = old.get("status") or {}
        # The pipeline judges what is not metadata; these annotations are more than that.
        faults = [*validate_annotation_updates(obj["metadata"], old["metadata"])]
        if faults and obj.get("spec") == old.get("spec"):
            raise invalid("", "Pod", obj["metadata"].get("name", ""), faults)
        return
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec(obj))}
    if spec(obj).get("schedulingGates"):
        obj["status"]["conditions"] = [dict(_GATED)]
    merge_label_keys(obj)
    adopt_app_armor(obj)


def _validate(obj: Object) -> FieldErrors:
    yield from validate_pod(obj)
    yield from validate_new_pod(obj)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if obj.get("spec") != old.get("spec"):
        yield from validate_pod(obj)
        yield from validate_pod_update(obj, old)


def _warn(obj: Object, old: Object | None) -> Iterable[str]:
    yield from warn_pod(obj, old)
    if old is not None and status(obj) != status(old):
        for field in ("podIPs", "hostIPs"):
            for at, entry in each(status(obj), field, "status"):
                yield from address_warning(entry.get("ip") or "", f"{at}.ip")


def _grace(obj: Object, asked: int | None) -> int:
    """Seconds until a Pod may be removed; none where no kubelet has it, or it is over already."""
    seconds = asked
    if seconds is None:
        seconds = spec(obj).get("terminationGracePeriodSeconds") or 0
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


def _first_address(obj: Object) -> str:
    addresses = status(obj).get("podIPs") or [{"ip": status(obj).get("podIP")}]
    return addresses[0].get("ip") or ""


RESOURCE = Resource(
    group="",
    plural="pods",
    default=default_pod,
    prepare=_prepare,
    prepare_status=prepare_pod_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=validate_pod_status,
    ratchets=True,
    warn=_warn,
    grace=_grace,
    subresources={
        "binding": Subresource(create=bind),
        "eviction": Subresource(create=evict),
        "ephemeralcontainers": Subresource(
            part=Part(prepare=keep_but_ephemeral_containers, validate=validate_ephemeral_containers, generation=True)
        ),
        "resize": Subresource(part=Part(prepare=keep_but_resources, validate=validate_resize, generation=True)),
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
        "status.podIP": _first_address,
        "status.nominatedNodeName": _of(status, "nominatedNodeName"),
    },
    glance=PodGlance,
)
