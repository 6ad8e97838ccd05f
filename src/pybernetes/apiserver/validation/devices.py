"""Devices of dynamic resource allocation: the names, taints, selectors and configurations that its kinds share."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.cel import expression_faults
from pybernetes.apiserver.validation.fields import FieldErrors, check, one_of, too_many

GROUP = "resource.k8s.io"
MOST = 32
"""Requests, constraints, configurations, selectors, results: of each at most so many."""
_DRIVER_LENGTH = 63
_POOL_LENGTH = 253
_ID_LENGTH = 32
_EXPRESSION_LENGTH = 10 * 1024
PARAMETERS_LENGTH = 10 * 1024
"""Bytes of what only a driver understands."""
_BINDING_CONDITIONS = 4
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_SKIPPED = ("NodePrepareResources", "NodeUnprepareResources", "*")
_UID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Item = Callable[[Any, str], Iterable[FieldError]]


def items(
    values: Sequence[Any] | None, most: int | None, path: str, item: Item, key: Callable[[Any], object] | None = None
) -> FieldErrors:
    """A list: not too long (else nothing more is told), each item by itself, and with `key` each once."""
    values = values or ()
    if most is not None and len(values) > most:
        yield too_many(path, len(values), most)
        return
    for index, value in enumerate(values):
        yield from item(value, f"{path}[{index}]")
    seen: set[object] = set()
    for index, value in enumerate(values if key is not None else ()):
        found = key(value) if key is not None else None
        if found in seen:
            yield duplicate(f"{path}[{index}]", found)
        seen.add(found)


def driver(name: str, path: str) -> FieldErrors:
    """The name by which a driver registers."""
    if not name:
        yield required(path)
    if len(name.encode()) > _DRIVER_LENGTH:
        yield too_long(path, _DRIVER_LENGTH)
    yield from check(path, name, names.dns1123_subdomain(name.lower()))


def pool(name: str, path: str) -> FieldErrors:
    """Subdomains with slashes between."""
    if not name:
        yield required(path)
        return
    if len(name.encode()) > _POOL_LENGTH:
        yield too_long(path, _POOL_LENGTH)
    for part in name.split("/"):
        yield from check(path, part, names.dns1123_subdomain(part))


def label(name: str, path: str) -> FieldErrors:
    """Names of devices, requests, counters."""
    return check(path, name, names.dns1123_label(name))


def share(uid: str | None, path: str) -> FieldErrors:
    """A shareID, where there is one."""
    if uid is None or _UID.fullmatch(uid):
        return
    if re.fullmatch(_UID.pattern, uid.lower()):
        text = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
            "characters"
        )
        yield invalid_value(path, uid, text)
    else:
        why = "invalid UUID format" if len(uid) == 36 else f"invalid UUID length: {len(uid)}"
        yield invalid_value(path, uid, f"error validating uid: {why}")


def qualified(name: str, path: str) -> FieldErrors:
    """An attribute or capacity: a C identifier, perhaps with the domain of a driver before it."""
    parts = name.split("/")
    if len(parts) > 2:
        yield invalid_value(path, name, "must not contain more than one slash")
        return
    if len(parts) == 2:
        if parts[0]:
            yield from driver(parts[0], path)
        else:
            yield invalid_value(path, "", "the domain must not be empty")
    if len(parts) == 2 and not parts[1]:
        yield invalid_value(path, "", "the name must not be empty")
        return
    if len(parts[-1].encode()) > _ID_LENGTH:
        yield too_long(path, _ID_LENGTH)
    yield from check(path, parts[-1], names.c_identifier(parts[-1]))


def fully_qualified(name: str, path: str) -> FieldErrors:
    """The same with a domain that must be there."""
    yield from qualified(name, path)
    if "/" not in name:
        yield invalid_value(path, name, "a fully qualified name must be a domain and a name separated by a slash")


def selectors(parent: Mapping[str, Any], path: str) -> FieldErrors:
    """Expressions that a device must satisfy."""
    return items(parent.get("selectors"), MOST, f"{path}.selectors", _selector)


def _selector(selector: Mapping[str, Any], path: str) -> FieldErrors:
    cel = selector.get("cel")
    if cel is None:
        yield required(f"{path}.cel")
        return
    expression, at = cel.get("expression") or "", f"{path}.cel.expression"
    if len(expression.encode()) > _EXPRESSION_LENGTH:
        yield too_long(at, _EXPRESSION_LENGTH)
    else:
        yield from expression_faults(at, expression, variables=("device",))


def configuration(config: Mapping[str, Any], path: str) -> FieldErrors:
    """What a driver is told."""
    opaque = config.get("opaque")
    if opaque is None:
        yield required(f"{path}.opaque")
        return
    yield from driver(opaque.get("driver") or "", f"{path}.opaque.driver")
    yield from raw(opaque.get("parameters"), f"{path}.opaque.parameters")


def raw(value: object, path: str) -> FieldErrors:
    """A JSON object that only a driver understands."""
    if value is None:
        yield required(path)
    elif len(orjson.dumps(value)) > PARAMETERS_LENGTH:
        yield too_long(path, PARAMETERS_LENGTH)
    elif not isinstance(value, dict):
        yield invalid_value(path, "<value omitted>", "must be a valid JSON object")


def taint(value: Mapping[str, Any], path: str) -> FieldErrors:
    """A device's taint."""
    key, text = value.get("key") or "", value.get("value") or ""
    yield from check(f"{path}.key", key, names.qualified_name(key))
    yield from check(f"{path}.value", text, names.label_value(text))
    yield from one_of(f"{path}.effect", value.get("effect"), _EFFECTS)


def default_tolerations(parent: Mapping[str, Any]) -> None:
    """The operator of each."""
    for toleration in parent.get("tolerations") or ():
        if not toleration.get("operator"):
            toleration["operator"] = "Equal"


def toleration(value: Mapping[str, Any], path: str) -> FieldErrors:
    """What a request puts up with."""
    key, text, operator = (value.get(field) or "" for field in ("key", "value", "operator"))
    if key:
        yield from check(f"{path}.key", key, names.qualified_name(key))
    if operator == "Exists":
        if text:
            yield invalid_value(f"{path}.value", text, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from check(f"{path}.value", text, names.label_value(text))
    else:
        yield from one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    effect = value.get("effect") or ""
    if effect and effect not in _EFFECTS:
        yield not_supported(f"{path}.effect", effect, _EFFECTS)


def binding_conditions(parent: Mapping[str, Any], path: str) -> FieldErrors:
    """bindingConditions and bindingFailureConditions: both or none, and nothing in both."""
    both = {field: parent.get(field) or [] for field in ("bindingConditions", "bindingFailureConditions")}
    for field, values in both.items():
        yield from items(values, _BINDING_CONDITIONS, f"{path}.{field}", _condition_type)
    good, bad = both.values()
    for index, value in enumerate(good):
        if value in good[:index]:
            yield duplicate(f"{path}.bindingConditions[{index}]", value)
    for index, value in enumerate(bad):
        at = f"{path}.bindingFailureConditions[{index}]"
        if value in bad[:index]:
            yield duplicate(at, value)
        if value in good:
            yield invalid_value(at, value, "bindingFailureConditions must not overlap with bindingConditions")
    for field, other in (
        ("bindingConditions", "bindingFailureConditions"),
        ("bindingFailureConditions", "bindingConditions"),
    ):
        if not both[field] and both[other]:
            yield invalid_value(f"{path}.{field}", both[field], f"{field} are required to use {other}")


def _condition_type(value: str, path: str) -> FieldErrors:
    return check(path, value, names.qualified_name(value))


def skipped(parent: Mapping[str, Any], path: str) -> FieldErrors:
    """skipNodeOperations: what is prepared must be unprepared."""
    at, found = f"{path}.skipNodeOperations", parent.get("skipNodeOperations") or []
    for index, value in enumerate(found):
        if value not in _SKIPPED:
            yield not_supported(f"{at}[{index}]", value, sorted(_SKIPPED))
        if value in found[:index]:
            yield duplicate(f"{at}[{index}]", value)
    if "NodePrepareResources" in found and not {"NodeUnprepareResources", "*"} & set(found):
        text = "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped"
        yield invalid_value(at, found, text)
