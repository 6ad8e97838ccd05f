"""Node: a machine. Kubelets register and report; nodelifecycle, the scheduler and admins taint."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.proxying import proxy_node
from pybernetes.apiserver.resource import Column, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.validation.addresses import cidr
from pybernetes.apiserver.validation.amounts import amount_value
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.internal import internal
from pybernetes.rules.taints import EFFECTS

_ROLE, _OLD_ROLE = "node-role.kubernetes.io/", "kubernetes.io/role"
_ONE_EACH = "may specify no more than one CIDR for each IP family"
_ONCE = 'node updates may not change {} except from "" to valid'


def _default(obj: Object) -> None:
    ranges, first = spec(obj).get("podCIDRs"), spec(obj).get("podCIDR")
    if first and (not ranges or ranges[0] != first):
        obj["spec"]["podCIDRs"] = [first]  # the older field leads
    elif ranges and not first:
        obj["spec"]["podCIDR"] = ranges[0]
    capacity = status(obj).get("capacity")
    if capacity and not status(obj).get("allocatable"):
        obj["status"]["allocatable"] = dict(capacity)


def _validate(obj: Object) -> FieldErrors:
    yield from _taints(obj)
    yield from _amounts(obj)
    ranges = spec(obj).get("podCIDRs") or ()
    for index, text in enumerate(ranges):
        yield from check(f"spec.podCIDRs[{index}]", text, cidr(text))
    if len(ranges) > 1:
        versions = [_version(text) for text in ranges]
        if sorted(versions) != [4, 6]:
            yield invalid_value("spec.podCIDRs", list(ranges), _ONE_EACH)
        for index, text in enumerate(ranges):
            if text in ranges[:index]:
                yield duplicate(f"spec.podCIDRs[{index}]", text)


def _version(text: str) -> int:
    try:
        return ipaddress.ip_network(text, strict=False).version
    except ValueError:
        return 0


def _taints(obj: Object) -> FieldErrors:
    """Named below metadata, where upstream's faults have always said they are."""
    seen: set[tuple[str, str]] = set()
    for at, taint in each(spec(obj), "taints", "metadata"):
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        yield from check(f"{at}.key", key, names.qualified_name(key))
        if faults := names.label_value(value):
            yield invalid_value(f"{at}.value", value, ";".join(faults))
        if not effect:
            yield required(f"{at}.effect")
        elif effect not in EFFECTS:
            yield not_supported(f"{at}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            fault = duplicate(at, internal(taint, "io.k8s.api.core.v1.Taint"))
            why = "taints must be unique by key and effect pair"
            yield FieldError(fault.type, fault.field, f"{fault.message}: {why}")
        seen.add((key, effect))


def _amounts(obj: Object) -> FieldErrors:
    for field in ("capacity", "allocatable"):
        for name, text in (status(obj).get(field) or {}).items():
            yield from amount_value(name, text, f"status.{field}.{name}")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    new, before = spec(obj), spec(old)
    held, ranges = before.get("podCIDRs") or [], new.get("podCIDRs") or []
    changes = 1 if len(held) != len(ranges) else sum(one != other for one, other in zip(held, ranges, strict=True))
    for _ in range(changes if held else 0):
        yield field_forbidden("spec.podCIDRs", _ONCE.format("podCIDR"))
    if before.get("providerID") and new.get("providerID") != before["providerID"]:
        yield field_forbidden("spec.providerID", _ONCE.format("providerID"))
    if new.get("configSource") is not None and new["configSource"] != before.get("configSource"):
        yield from _config(new["configSource"], "spec.configSource", stored=False)
    if (new.get("externalID") or "") != (before.get("externalID") or ""):
        yield field_forbidden("spec.externalID", "may not be updated")


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from _amounts(obj)
    seen: set[tuple[str, str]] = set()
    for at, address in each(status(obj), "addresses", "status"):
        pair = (address.get("type") or "", address.get("address") or "")
        if pair in seen:
            yield duplicate(at, address)
        seen.add(pair)
    for field in ("assigned", "active", "lastKnownGood"):
        source = (status(obj).get("config") or {}).get(field)
        if source is not None:
            yield from _config(source, f"status.config.{field}", stored=True)


def _config(source: Mapping[str, Any], path: str, *, stored: bool) -> FieldErrors:
    """Where a kubelet's configuration comes from: nothing reads it any more, what is written must still be well."""
    at, ref = f"{path}.configMap", source.get("configMap")
    if ref is None:
        yield invalid_value(path, source, "exactly one reference subfield must be non-nil")
        return
    for field in ("uid", "resourceVersion"):
        if stored and not ref.get(field):
            yield required(f"{at}.{field}", f"{field} must be set in status")
        elif not stored and ref.get(field):
            yield field_forbidden(f"{at}.{field}", f"{field} must not be set in spec")
    for field, rule in (
        ("namespace", names.dns1123_label),
        ("name", names.dns1123_subdomain),
        ("kubeletConfigKey", names.config_key),
    ):
        if not ref.get(field):
            yield required(f"{at}.{field}", f"{field} must be set")
        else:
            yield from check(f"{at}.{field}", ref[field], rule(ref[field]))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    if spec(obj).get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec(obj).get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


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
    return next((a.get("address") or "" for a in status(obj).get("addresses") or () if a.get("type") == kind), NONE)


def _info(obj: Object, field: str, unknown: str = "<unknown>") -> str:
    return (status(obj).get("nodeInfo") or {}).get(field) or unknown


RESOURCE = Resource(
    group="",
    plural="nodes",
    subresources={"proxy": Subresource(connect=proxy_node)},
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warn=_warn,
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
