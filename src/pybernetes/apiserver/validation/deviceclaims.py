"""DeviceClaims: what a ResourceClaim asks for, and what it was given. ResourceClaims and their templates share it."""

import ipaddress
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pybernetes.api import errors, names
from pybernetes.api.errors import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.validation.cel import expression_faults
from pybernetes.apiserver.validation.conditions import validate_conditions
from pybernetes.apiserver.validation.devices import (
    MOST,
    binding_conditions,
    configuration,
    default_tolerations,
    driver,
    fully_qualified,
    items,
    label,
    pool,
    raw,
    selectors,
    share,
    skipped,
    toleration,
)
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors, check, one_of, too_many
from pybernetes.apiserver.validation.pod.scheduling import node_selector

ADMIN_LABEL = "resource.kubernetes.io/admin-access"
_ALTERNATIVES = 8
_USERS = 256
_CONDITIONS = 8
_ADDRESSES = 16
_INTERFACE, _HARDWARE = 256, 128
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_KINDS = "exactly one of `exactly` or `firstAvailable` is required"

Known = Mapping[str, frozenset[str]]
"""Names of requests to the names of their subrequests."""


# --- what is asked for


def default_claim(spec: Object) -> None:
    """One device of each request."""
    for request in (spec.get("devices") or {}).get("requests") or ():
        exactly = request.get("exactly")
        for one in (*(request.get("firstAvailable") or ()), *([exactly] if exactly is not None else ())):
            if not one.get("allocationMode"):
                one["allocationMode"] = "ExactCount"
            if one["allocationMode"] == "ExactCount" and not one.get("count"):
                one["count"] = 1
            default_tolerations(one)


def default_given(status: Mapping[str, Any]) -> None:
    """The tolerations of what a claim was given."""
    for result in ((status.get("allocation") or {}).get("devices") or {}).get("results") or ():
        default_tolerations(result)


def validate_claim(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """The spec of a ResourceClaim."""
    devices, at = spec.get("devices") or {}, f"{path}.devices"
    known = request_names(devices)
    targets = _targets(devices)
    yield from items(
        devices.get("requests"),
        MOST,
        f"{at}.requests",
        partial(_request, targets=targets),
        lambda r: r.get("name") or "",
    )
    yield from items(devices.get("constraints"), MOST, f"{at}.constraints", partial(_constraint, known=known))
    yield from items(devices.get("config"), MOST, f"{at}.config", partial(_claim_config, known=known))


def request_names(devices: Mapping[str, Any]) -> Known:
    """Of a DeviceClaim."""
    return {
        request.get("name") or "": frozenset(sub.get("name") or "" for sub in request.get("firstAvailable") or ())
        for request in devices.get("requests") or ()
    }


def _targets(devices: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(request, attribute) of every constraint; the empty request is all of them."""
    found = set()
    for constraint in devices.get("constraints") or ():
        attribute = constraint.get("matchAttribute") or constraint.get("distinctAttribute")
        if attribute:
            found |= {(request, attribute) for request in constraint.get("requests") or [""]}
    return found


def _request(request: Mapping[str, Any], path: str, targets: set[tuple[str, str]]) -> FieldErrors:
    name = request.get("name") or ""
    yield from label(name, f"{path}.name")
    exactly, choices = request.get("exactly"), request.get("firstAvailable")
    if exactly is None and not choices:
        yield required(path, _KINDS)
    elif exactly is not None and choices:
        yield invalid_value(path, None, f"{_KINDS}, but multiple fields are set")
    elif exactly is not None:
        yield from _wanted(exactly, f"{path}.exactly", (name,), targets)
    else:
        item = partial(_choice, parent=name, targets=targets)
        yield from items(choices, _ALTERNATIVES, f"{path}.firstAvailable", item, lambda sub: sub.get("name") or "")


def _choice(sub: Mapping[str, Any], path: str, parent: str, targets: set[tuple[str, str]]) -> FieldErrors:
    name = sub.get("name") or ""
    yield from label(name, f"{path}.name")
    yield from _wanted(sub, path, (parent, f"{parent}/{name}"), targets)


def _wanted(
    wanted: Mapping[str, Any], path: str, called: tuple[str, ...], targets: set[tuple[str, str]]
) -> FieldErrors:
    """What an exact request and a choice have in common."""
    name = wanted.get("deviceClassName") or ""
    if not name:
        yield required(f"{path}.deviceClassName")
    else:
        yield from check(f"{path}.deviceClassName", name, names.dns1123_subdomain(name))
    yield from selectors(wanted, path)
    derived = partial(_derived, called=called, targets=targets)
    attributes = wanted.get("derivedAttributes")
    yield from items(attributes, None, f"{path}.derivedAttributes", derived, lambda one: one.get("name") or "")
    mode, count = wanted.get("allocationMode") or "", wanted.get("count") or 0
    if mode == "All":
        if count:
            yield invalid_value(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount":
        if count <= 0:
            yield invalid_value(f"{path}.count", count, "must be greater than zero")
    else:
        yield not_supported(f"{path}.allocationMode", mode, ("All", "ExactCount"))
    yield from items(wanted.get("tolerations"), None, f"{path}.tolerations", toleration)


def _derived(
    attribute: Mapping[str, Any], path: str, called: tuple[str, ...], targets: set[tuple[str, str]]
) -> FieldErrors:
    name, expression = attribute.get("name") or "", attribute.get("expression") or ""
    if not name:
        yield required(f"{path}.name")
    elif not any((request, name) in targets for request in ("", *called)):
        text = (
            "must be referenced by at least one matchAttribute or distinctAttribute constraint targeting this request"
        )
        yield invalid_value(f"{path}.name", name, text)
    if not expression:
        yield required(f"{path}.expression")
    else:
        yield from expression_faults(f"{path}.expression", expression, variables=("device",))


def _constraint(constraint: Mapping[str, Any], path: str, known: Known) -> FieldErrors:
    yield from _references(constraint, path, known)
    for field in ("matchAttribute", "distinctAttribute"):
        if constraint.get(field) is not None:
            yield from fully_qualified(constraint[field], f"{path}.{field}")
            return
    text = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
    yield required(path, text)


def _claim_config(config: Mapping[str, Any], path: str, known: Known) -> FieldErrors:
    yield from _references(config, path, known)
    yield from configuration(config, path)


def _references(parent: Mapping[str, Any], path: str, known: Known) -> FieldErrors:
    item = partial(_reference, known=known)
    return items(parent.get("requests"), MOST, f"{path}.requests", item, lambda name: name)


def _reference(name: str, path: str, known: Known) -> FieldErrors:
    parts = name.split("/")
    if len(parts) > 2:
        yield invalid_value(path, name, _REFERENCE)
        return
    for part in parts:
        yield from label(part, path)
    if parts[0] not in known or (len(parts) == 2 and parts[1] not in known[parts[0]]):
        yield invalid_value(path, name, _REFERENCE)


# --- what was given


def validate_claim_status(obj: Object, old: Object) -> FieldErrors:
    """The status of a ResourceClaim."""
    status, before = obj.get("status") or {}, old.get("status") or {}
    allocation, users = status.get("allocation"), status.get("reservedFor") or []
    yield from items(users, _USERS, "status.reservedFor", _user, lambda user: user.get("uid") or "")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    given = {_device(result) for result in results}
    yield from _device_statuses(status.get("devices") or [], given)
    if users and allocation is None:
        yield field_forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif obj["metadata"].get("deletionTimestamp") and any(u not in (before.get("reservedFor") or ()) for u in users):
        text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield field_forbidden("status.reservedFor", text)
    if allocation is not None and before.get("allocation") is not None:
        if allocation != before["allocation"]:
            yield invalid_value("status.allocation", allocation, IMMUTABLE)
    elif allocation is not None:
        known = request_names((obj.get("spec") or {}).get("devices") or {})
        yield from _allocation(allocation, "status.allocation", known)


def _user(user: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    return (required(f"{path}.{field}") for field in ("resource", "name", "uid") if not user.get(field))


def _device(value: Mapping[str, Any]) -> str:
    """How a device is called in all the cluster."""
    parts = [value.get(field) or "" for field in ("driver", "pool", "device")]
    return "/".join([*parts, value["shareID"]] if value.get("shareID") else parts)


def _allocation(allocation: Mapping[str, Any], path: str, known: Known) -> FieldErrors:
    devices = allocation.get("devices") or {}
    yield from items(devices.get("results"), MOST, f"{path}.devices.results", partial(_result, known=known))
    yield from items(devices.get("config"), 2 * MOST, f"{path}.devices.config", partial(_given_config, known=known))
    if allocation.get("nodeSelector") is not None:
        yield from node_selector(allocation["nodeSelector"], f"{path}.nodeSelector")


def _result(result: Mapping[str, Any], path: str, known: Known) -> FieldErrors:
    yield from _reference(result.get("request") or "", f"{path}.request", known)
    yield from driver(result.get("driver") or "", f"{path}.driver")
    yield from pool(result.get("pool") or "", f"{path}.pool")
    yield from label(result.get("device") or "", f"{path}.device")
    yield from binding_conditions(result, path)
    yield from items(result.get("tolerations"), None, f"{path}.tolerations", toleration)
    yield from share(result.get("shareID"), f"{path}.shareID")
    yield from skipped(result, path)


def _given_config(config: Mapping[str, Any], path: str, known: Known) -> FieldErrors:
    yield from one_of(f"{path}.source", config.get("source"), ("FromClaim", "FromClass"))
    yield from _claim_config(config, path, known)


def _device_statuses(devices: list[Mapping[str, Any]], given: set[str]) -> FieldErrors:
    for index, device in enumerate(devices):
        at = f"status.devices[{index}]"
        yield from driver(device.get("driver") or "", f"{at}.driver")
        yield from pool(device.get("pool") or "", f"{at}.pool")
        yield from label(device.get("device") or "", f"{at}.device")
        yield from share(device.get("shareID"), f"{at}.shareID")
        called = _device(device)
        if called not in given:
            text = f"Invalid value: {called}: must be an allocated device in the claim"
            yield FieldError("FieldValueInvalid", at, text)
        if len(device.get("conditions") or ()) > _CONDITIONS:
            yield too_many(f"{at}.conditions", len(device["conditions"]), _CONDITIONS)
        yield from validate_conditions(device, at)
        if device.get("data") is not None:
            yield from raw(device["data"], f"{at}.data")
        yield from _network(device.get("networkData") or {}, f"{at}.networkData")
        if called in [_device(other) for other in devices[:index]]:
            yield duplicate(at, called)


def _network(data: Mapping[str, Any], path: str) -> FieldErrors:
    for field, most in (("interfaceName", _INTERFACE), ("hardwareAddress", _HARDWARE)):
        if len((data.get(field) or "").encode()) > most:
            yield too_long(f"{path}.{field}", most)
    yield from items(data.get("ips"), _ADDRESSES, f"{path}.ips", _address, lambda text: text)


def _address(text: str, path: str) -> FieldErrors:
    """Of an interface: `10.9.8.7/24`."""
    try:
        found = str(ipaddress.ip_interface(text)) if "/" in text else ""
    except ValueError:
        found = ""
    if not found:
        why = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        yield invalid_value(path, text, why)
    elif found != text:
        yield invalid_value(path, text, f'must be in canonical form ("{found}")')


def forget_devices(obj: Object, old: Object) -> None:
    """Devices that the claim no longer has lose their status."""
    status, before = obj.get("status") or {}, old.get("status") or {}

    def given(where: Mapping[str, Any]) -> set[str]:
        results = ((where.get("allocation") or {}).get("devices") or {}).get("results") or ()
        return {_device({**result, "shareID": ""}) for result in results}

    gone = given(before) - given(status)
    kept = [device for device in status.get("devices") or () if _device({**device, "shareID": ""}) not in gone]
    if kept:
        status["devices"] = kept
    else:
        status.pop("devices", None)


# --- who may administer devices


async def refuse_admin_access(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook: devices in use are lent to namespaces with a label only. Raises Invalid."""
    spec = obj.get("spec") or {}
    requests = ((spec.get("spec") or spec).get("devices") or {}).get("requests") or ()
    wanted = [f"spec.devices.requests[{i}].adminAccess" for i, r in enumerate(requests) if _admin(r.get("exactly"))]
    if old is not None:
        given, before = (
            (((state.get("status") or {}).get("allocation") or {}).get("devices") or {}).get("results") or ()
            for state in (obj, old)
        )
        at = "status.allocation.devices.results"
        wanted = [f"{at}[{i}].adminAccess" for i, r in enumerate(given) if _admin(r)]
        if any(_admin(result) for result in before):
            return
    if not wanted:
        return
    namespace = await call.registry.get(GroupResource("", "namespaces"), "", call.namespace)
    if (namespace["metadata"].get("labels") or {}).get(ADMIN_LABEL) != "true":
        text = f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
        fault = field_forbidden(wanted[0], text)
        raise errors.invalid(call.resource.group, obj["kind"], obj["metadata"].get("name", ""), [fault])


def _admin(value: Mapping[str, Any] | None) -> bool:
    return bool(value and value.get("adminAccess"))
