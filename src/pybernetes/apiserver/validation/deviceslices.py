"""ResourceSlices: the devices that a driver offers, where they are, and what they can do."""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, field_forbidden, invalid_value, required, too_long
from pybernetes.api.objects import Object
from pybernetes.api.quantity import Quantity, of_milli
from pybernetes.apiserver.validation.amounts import quantity
from pybernetes.apiserver.validation.devices import (
    binding_conditions,
    driver,
    fully_qualified,
    items,
    label,
    pool,
    qualified,
    skipped,
    taint,
)
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check, immutable, not_found, too_many
from pybernetes.apiserver.validation.pod.scheduling import node_selector

_DEVICES, _ADVANCED_DEVICES = 128, 64
_COUNTER_SETS = 8
_COUNTERS = 32
_CONSUMPTIONS = 2
_FEATURES = 32
"""Attributes and capacities of a device together."""
_VALUES = 48
_VALUE_LENGTH = 64
_TAINTS = 16
_OPTIONS = 10
_KEY_LENGTH = 63 + 1 + 32
_MAX = 2**63 - 1
_WHERE = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
_NUMBER = r"(0|[1-9]\d*)"
_BEFORE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_BEFORE}(\.{_BEFORE})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)
_LISTS = ("bools", "ints", "strings", "versions")
_ALLOCATABLE = re.compile("(cpu|memory|ephemeral-storage|hugepages-.+)")


def validate_slice(spec: Mapping[str, Any]) -> FieldErrors:
    """The spec."""
    yield from driver(spec.get("driver") or "", "spec.driver")
    own = spec.get("pool") or {}
    yield from pool(own.get("name") or "", "spec.pool.name")
    if (own.get("resourceSliceCount") or 0) <= 0:
        yield invalid_value(
            "spec.pool.resourceSliceCount", own.get("resourceSliceCount") or 0, "must be greater than zero"
        )
    if (own.get("generation") or 0) < 0:
        yield invalid_value("spec.pool.generation", own["generation"], "must be greater than or equal to zero")
    yield from _where(spec)
    if spec.get("sharedCounters") and spec.get("devices"):
        yield invalid_value("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    item = partial(_device, chosen=bool(spec.get("perDeviceNodeSelection")))
    most = _ADVANCED_DEVICES if _advanced(spec) else _DEVICES
    yield from items(spec.get("devices"), most, "spec.devices", item, lambda device: device.get("name") or "")
    sets = spec.get("sharedCounters")
    yield from items(sets, _COUNTER_SETS, "spec.sharedCounters", _counter_set, lambda one: one.get("name") or "")
    if spec.get("partitionTypeAttribute") is not None:
        yield from _partitions(spec, spec["partitionTypeAttribute"])
    yield from skipped(spec, "spec")


def validate_slice_update(obj: Object, old: Object) -> FieldErrors:
    """A slice stays with its pool, driver and Node."""
    new, before = obj.get("spec") or {}, old.get("spec") or {}
    yield from immutable("spec.pool.name", (new.get("pool") or {}).get("name"), (before.get("pool") or {}).get("name"))
    for field in ("driver", "nodeName"):
        yield from immutable(f"spec.{field}", new.get(field), before.get(field))


def _advanced(spec: Mapping[str, Any]) -> bool:
    return any(
        device.get("taints")
        or device.get("consumesCounters")
        or any(value.get(field) for value in (device.get("attributes") or {}).values() for field in _LISTS)
        for device in spec.get("devices") or ()
    )


def _where(spec: Mapping[str, Any]) -> FieldErrors:
    yield from _node_name(spec, "spec", "must be either unset or set to a non-empty string")
    selector = spec.get("nodeSelector")
    if selector is not None:
        yield from node_selector(selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            text = "must have exactly one node selector term"
            yield invalid_value("spec.nodeSelector.nodeSelectorTerms", terms, text)
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field) is False:
            yield invalid_value(f"spec.{field}", False, "must be either unset or set to true")
    yield from _one_place(spec, "spec", _WHERE, "exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
                          "`perDeviceNodeSelection` is required", ", but multiple fields are set")  # fmt: skip


def _node_name(parent: Mapping[str, Any], path: str, empty: str) -> FieldErrors:
    name = parent.get("nodeName")
    if name == "":
        yield invalid_value(f"{path}.nodeName", name, empty)
    elif name is not None:
        yield from check(f"{path}.nodeName", name, names.dns1123_subdomain(name))


def _one_place(parent: Mapping[str, Any], path: str, fields: Iterable[str], text: str, more: str = "") -> FieldErrors:
    found = [f"`{f}`" for f in fields if parent.get(f) or (f == "nodeSelector" and parent.get(f) is not None)]
    if not found:
        yield required(path, text)
    elif len(found) > 1:
        yield invalid_value(path, f"{{{', '.join(found)}}}", text + more)


# --- devices


def _device(device: Mapping[str, Any], path: str, chosen: bool) -> FieldErrors:
    yield from label(device.get("name") or "", f"{path}.name")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > _FEATURES:
        text = f"the total number of attributes and capacities must not exceed {_FEATURES}"
        yield invalid_value(path, count, text)
    count = sum(sum(len(value.get(field) or ()) for field in _LISTS) or 1 for value in attributes.values())
    if count > _VALUES:
        yield invalid_value(path, count, f"the total number of attribute values must not exceed {_VALUES}")
    for key, value in attributes.items():
        yield from qualified(key, f"{path}.attributes")
        yield from _attribute(value, f"{path}.attributes[{_cut(key)}]")
    for key, value in capacity.items():
        yield from qualified(key, f"{path}.capacity")
        yield from _capacity(value, f"{path}.capacity[{_cut(key)}]", bool(device.get("allowMultipleAllocations")))
    yield from items(device.get("taints"), _TAINTS, f"{path}.taints", taint)
    consumed = device.get("consumesCounters")
    yield from items(
        consumed, _CONSUMPTIONS, f"{path}.consumesCounters", _consumption, lambda one: one.get("counterSet") or ""
    )
    yield from _device_where(device, path, chosen)
    yield from binding_conditions(device, path)
    for key, value in (device.get("nodeAllocatableResources") or {}).items():
        yield from _allocatable(key, value, f"{path}.nodeAllocatableResources[{key}]", capacity)


def _cut(key: str) -> str:
    if len(key) <= _KEY_LENGTH:
        return key
    rest = _KEY_LENGTH - 3
    return f"{key[: (rest + 1) // 2]}...{key[-(rest // 2) :]}"


def _device_where(device: Mapping[str, Any], path: str, chosen: bool) -> FieldErrors:
    fields = _WHERE[:3]
    if not chosen:
        if any(device.get(field) is not None for field in fields):
            text = (
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in "
                "the ResourceSlice spec"
            )
            yield invalid_value(path, None, text)
        return
    yield from _node_name(device, path, "must not be empty")
    if device.get("nodeSelector") is not None:
        yield from node_selector(device["nodeSelector"], f"{path}.nodeSelector")
    if device.get("allNodes") is False:
        yield invalid_value(f"{path}.allNodes", False, "must be either unset or set to true")
    text = (
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true"
        " in the ResourceSlice spec"
    )
    yield from _one_place(device, path, fields, text)


def _attribute(value: Mapping[str, Any], path: str) -> FieldErrors:
    if value.get("string") is not None:
        yield from _text(value["string"], f"{path}.string")
    if value.get("version") is not None:
        yield from _version(value["version"], f"{path}.version")
    yield from items(value.get("strings"), None, f"{path}.strings", _text)
    yield from items(value.get("versions"), None, f"{path}.versions", _version)
    scalars = sum(value.get(field) is not None for field in ("bool", "int", "string", "version"))
    count = scalars + sum(bool(value.get(field)) for field in _LISTS)
    if count != 1:
        yield invalid_value(path, value if count else "", "exactly one value must be specified")


def _text(value: str, path: str) -> FieldErrors:
    if len(value.encode()) > _VALUE_LENGTH:
        yield too_long(path, _VALUE_LENGTH)


def _version(value: str, path: str) -> FieldErrors:
    if not _SEMVER.fullmatch(value):
        yield invalid_value(path, value, "must be a string compatible with semver.org spec 2.0.0")
    yield from _text(value, path)


def _consumption(value: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _counters(value, value.get("counterSet") or "", path, "counterSet")


def _counter_set(value: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _counters(value, value.get("name") or "", path, "name")


def _counters(value: Mapping[str, Any], name: str, path: str, field: str) -> FieldErrors:
    if not name:
        yield required(f"{path}.{field}")
    else:
        yield from label(name, f"{path}.{field}")
    counters = value.get("counters") or {}
    if not counters:
        yield required(f"{path}.counters")
    elif len(counters) > _COUNTERS:
        yield too_many(f"{path}.counters", len(counters), _COUNTERS)
    else:
        for key in counters:
            yield from label(key, f"{path}.counters")


def _partitions(spec: Mapping[str, Any], name: str) -> FieldErrors:
    """Devices that consume counters say of which type of partition they are."""
    faults = [*fully_qualified(name, "spec.partitionTypeAttribute")]
    yield from faults
    consumers = [(i, d) for i, d in enumerate(spec.get("devices") or ()) if d.get("consumesCounters")]
    if not consumers:
        text = "may only be set on a slice which declares devices that consume counters"
        yield invalid_value("spec.partitionTypeAttribute", name, text)
    bare = name.removeprefix(f"{spec.get('driver', '')}/")
    for index, device in consumers if not faults else ():
        path = f"spec.devices[{index}].attributes[{name}]"
        attributes = device.get("attributes") or {}
        found = attributes.get(name) or attributes.get(bare)
        if found is None:
            text = "device consumes counters and `partitionTypeAttribute` names this attribute, so it must be set"
            yield required(path, text)
        elif found.get("string") is None:
            text = "must be a string value because `partitionTypeAttribute` names this attribute"
            yield invalid_value(path, found, text)


# --- amounts


def _capacity(value: Mapping[str, Any], path: str, shared: bool) -> FieldErrors:
    policy, most = value.get("requestPolicy"), quantity(value.get("value")) or Quantity()
    if policy is None:
        return
    at = f"{path}.requestPolicy"
    options, between, default = (
        policy.get("validValues") or (),
        policy.get("validRange"),
        quantity(policy.get("default")),
    )
    if not shared:
        yield field_forbidden(at, "allowMultipleAllocations must be true")
    elif options and between is not None:
        text = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        yield field_forbidden(at, text)
    elif (options or between is not None) and default is None:
        yield required(f"{at}.default", f"required when {'validValues' if options else 'validRange'} is defined")
    elif options and default is not None:
        yield from _options([quantity(o) or Quantity() for o in options], default, most, f"{at}.validValues")
    elif between is not None and default is not None:
        yield from _range(between, default, most, f"{at}.validRange")


def _options(options: list[Quantity], default: Quantity, most: Quantity, path: str) -> FieldErrors:
    for index in range(1, len(options)):
        if options[index - 1] > options[index]:
            yield invalid_value(f"{path}[{index}]", str(options[index]), "values must be sorted in ascending order")

    def option(value: Quantity, at: str) -> FieldErrors:
        if value > most:
            yield invalid_value(at, str(value), f"option is larger than capacity value: {most}")

    yield from items(options, _OPTIONS, path, option, lambda value: str(value.value()))
    if default not in options:
        yield invalid_value(path, str(default), "default value is not valid according to the requestPolicy")


def _range(between: Mapping[str, Any], default: Quantity, most: Quantity, path: str) -> FieldErrors:
    low, high, step = (quantity(between.get(field)) for field in ("min", "max", "step"))
    if low is None:
        yield required(f"{path}.min", "required when validRange is defined")
        return
    yield from _bounds(low, high, default, most, path)
    if step is None:
        return
    if step <= Quantity():
        yield invalid_value(f"{path}.step", str(step), "must be greater than zero")
        return
    if low + step > most:
        text = f"one step {low + step} is larger than capacity value: {most}"
        yield invalid_value(f"{path}.step", str(step), text)
    named = {"default": default, "min": low, "max": high, "step": step}
    amounts = {name: value for name, value in named.items() if value is not None}
    faults = [fault for name, value in amounts.items() for fault in _countable(value, f"{path}.{name}", amounts)]
    yield from faults
    for value in (default, high) if not faults else ():
        if value is not None and (value.nanos - low.nanos) % step.nanos:
            text = f"value is not a multiple of a given step ({step}) from ({low})"
            yield invalid_value(f"{path}.step", str(value), text)


def _bounds(low: Quantity, high: Quantity | None, default: Quantity, most: Quantity, path: str) -> FieldErrors:
    if low > most:
        yield invalid_value(f"{path}.min", str(low), f"min is larger than capacity value: {most}")
    if default < low:
        yield invalid_value(f"{path}.default", str(default), f"default is less than min: {low}")
    if high is None:
        return
    if low > high:
        yield invalid_value(f"{path}.max", str(low), f"min is larger than max: {high}")
    if high > most:
        yield invalid_value(f"{path}.max", str(high), f"max is larger than capacity value: {most}")
    if default > high:
        yield invalid_value(f"{path}.default", str(default), f"default is more than max: {high}")


def _countable(value: Quantity, path: str, all_of: Mapping[str, Quantity]) -> FieldErrors:
    """Steps are counted in thousandths where there are fractions, else in whole units."""
    if any(one.nanos % 10**9 for one in all_of.values()):
        if of_milli(value.milli_value()) != value:
            yield invalid_value(path, str(value), "value cannot be represented as a milli value")
    elif value < Quantity():
        yield invalid_value(path, str(value), NON_NEGATIVE)
    elif value.value() > _MAX:
        yield invalid_value(path, str(value), f"must not be larger than {_MAX}")


def _allocatable(name: str, value: Mapping[str, Any], path: str, capacity: Mapping[str, Any]) -> FieldErrors:
    """What a device takes of its Node beside itself."""
    if not _ALLOCATABLE.fullmatch(name):
        yield invalid_value(path, name, "must be a node allocatable resource name")
    mapping, overhead = value.get("mapping"), value.get("overhead")
    if mapping is None and overhead is None:
        yield required(path, "at least one of mapping or overhead must be set")
    if mapping is not None:
        yield from _mapping(mapping, f"{path}.mapping", capacity)
    if overhead is not None:
        yield from _overhead(overhead, f"{path}.overhead")


def _mapping(mapping: Mapping[str, Any], path: str, capacity: Mapping[str, Any]) -> FieldErrors:
    key, times = mapping.get("capacityKey"), quantity(mapping.get("capacityMultiplier"))
    if key == "":
        yield invalid_value(f"{path}.capacityKey", "", "capacityKey must not be an empty string")
    elif key is not None and key not in capacity:
        yield not_found(f"{path}.capacityKey", key)
    if key is not None and times is None:
        yield required(f"{path}.capacityMultiplier", "capacityMultiplier is required when capacityKey is set")
    elif key is not None and times is not None and times <= Quantity():
        yield invalid_value(f"{path}.capacityMultiplier", str(times), "must be positive")
    each_device = quantity(mapping.get("deviceMultiplier"))
    if each_device is not None and each_device <= Quantity():
        yield invalid_value(f"{path}.deviceMultiplier", str(each_device), "must be positive")
    if key is None and times is not None:
        yield required(f"{path}.capacityKey", "capacityKey is required when capacityMultiplier is set")


def _overhead(overhead: Mapping[str, Any], path: str) -> Iterable[FieldError]:
    amounts = {field: quantity(overhead.get(field)) for field in ("perPod", "perContainer")}
    if all(amount is None for amount in amounts.values()):
        yield invalid_value(path, "", "at least one of perPod or perContainer must be set")
    for field, amount in amounts.items():
        if amount is not None and amount < Quantity():
            yield invalid_value(f"{path}.{field}", str(amount), "must be non-negative")
