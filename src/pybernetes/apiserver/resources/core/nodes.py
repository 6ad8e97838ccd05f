"""Node: a machine. Kubelets register and report; nodelifecycle, the scheduler and admins taint."""

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.validation.addresses import cidr
from pybernetes.apiserver.validation.fields import FieldErrors, check, each

_ROLE, _OLD_ROLE = "node-role.kubernetes.io/", "kubernetes.io/role"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _default(obj: Object) -> None:
    ranges = spec(obj).get("podCIDRs")
    first = spec(obj).get("podCIDR")
    if first and not ranges:
        obj["spec"]["podCIDRs"] = [first]
    elif ranges and not first:
        obj["spec"]["podCIDR"] = ranges[0]
    capacity = status(obj).get("capacity")
    if capacity and not status(obj).get("allocatable"):
        obj["status"]["allocatable"] = dict(capacity)


def _validate(obj: Object) -> FieldErrors:
    seen: set[tuple[str, str]] = set()
    for at, taint in each(spec(obj), "taints", "spec"):
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        yield from check(f"{at}.key", key, names.qualified_name(key))
        yield from check(f"{at}.value", value, names.label_value(value))
        if not effect:
            yield required(f"{at}.effect")
        elif effect not in _EFFECTS:
            yield not_supported(f"{at}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            yield duplicate(at, taint)
        seen.add((key, effect))
    ranges = spec(obj).get("podCIDRs") or ()
    for index, text in enumerate(ranges):
        yield from check(f"spec.podCIDRs[{index}]", text, cidr(text))
    if len(ranges) > 2:
        yield invalid_value("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family")
    if spec(obj).get("podCIDR") and ranges and ranges[0] != spec(obj)["podCIDR"]:
        yield invalid_value("spec.podCIDRs[0]", ranges[0], "must match `podCIDR`")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    new, before = spec(obj), spec(old)
    if before.get("podCIDRs") and new.get("podCIDRs") != before["podCIDRs"]:
        yield field_forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and new.get("providerID") != before["providerID"]:
        yield field_forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    seen: set[tuple[str, str]] = set()
    for at, address in each(status(obj), "addresses", "status"):
        pair = (address.get("type") or "", address.get("address") or "")
        if pair in seen:
            yield duplicate(at, address)
        seen.add(pair)


def _state(obj: Object) -> str:
    ready = next((c for c in status(obj).get("conditions") or () if c.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Object) -> str:
    labels = obj["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE)} - {""}
    if labels.get(_OLD_ROLE):
        roles.add(labels[_OLD_ROLE])
    return ",".join(sorted(roles)) or NONE


def _address(obj: Object, kind: str) -> str:
    return next((a["address"] for a in status(obj).get("addresses") or () if a.get("type") == kind), NONE)


def _info(obj: Object, field: str, unknown: str = "<unknown>") -> str:
    return (status(obj).get("nodeInfo") or {}).get(field) or unknown


RESOURCE = Resource(
    group="",
    plural="nodes",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status_on_create=True,
    generation=False,
    storage_prefix="minions",
    columns=(
        Column("Status", _state, description="The status of the node."),
        Column("Roles", _roles, description="The roles of the node."),
        AGE,
        Column("Version", lambda obj: _info(obj, "kubeletVersion", ""), description="Version of the kubelet."),
        Column("Internal-IP", lambda obj: _address(obj, "InternalIP"), description="Internal address.", priority=1),
        Column("External-IP", lambda obj: _address(obj, "ExternalIP"), description="External address.", priority=1),
        Column("OS-Image", lambda obj: _info(obj, "osImage"), description="Operating system.", priority=1),
        Column("Kernel-Version", lambda obj: _info(obj, "kernelVersion"), description="Kernel version.", priority=1),
        Column(
            "Container-Runtime",
            lambda obj: _info(obj, "containerRuntimeVersion"),
            description="Name and version of the container runtime.",
            priority=1,
        ),
    ),
    selectable_fields={"spec.unschedulable": lambda obj: "true" if spec(obj).get("unschedulable") else "false"},
)
