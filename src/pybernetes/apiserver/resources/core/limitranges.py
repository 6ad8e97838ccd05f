"""LimitRange: what containers, Pods and claims of a namespace may ask for, and what they get without asking."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.api.quantity import Quantity, of_int
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.validation.amounts import container_resource_name, quantity, resource_name
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.rules.resourcenames import overcommits

_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_NAMED = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_ORDERED = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {} is greater than default request value {}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than max value {}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)
"""The first may not exceed the second; which field is at fault, whose value the fault shows, and how it says so."""
_MOST_MILLI = (1 << 63) // 1000
_ONE = of_int(1)


def _default(obj: Object) -> None:
    """A maximum is a limit for those who give none, a limit a request, and a minimum the least request."""
    for limit in spec(obj).get("limits") or ():
        if limit.get("type") != "Container":
            continue
        defaults = {**(limit.get("max") or {}), **(limit.get("default") or {})}
        requests = {**(limit.get("min") or {}), **defaults, **(limit.get("defaultRequest") or {})}
        limit["default"], limit["defaultRequest"] = defaults, requests


def _validate(obj: Object) -> FieldErrors:
    seen: set[str] = set()
    for at, limit in each(spec(obj), "limits", "spec"):
        kind = limit.get("type") or ""
        yield from _type(kind, f"{at}.type")
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
        yield from _limit(limit, kind, at)


def _type(kind: str, path: str) -> FieldErrors:
    faults = list(check(path, kind, names.qualified_name(kind)))
    yield from faults
    if not faults and "/" not in kind and kind not in _TYPES:
        yield invalid_value(path, kind, "must be a standard limit type or fully qualified")


def _limit(limit: Mapping[str, Any], kind: str, path: str) -> FieldErrors:
    rule = container_resource_name if kind in ("Pod", "Container") else resource_name
    amounts: dict[str, dict[str, Quantity]] = {}
    for field in _NAMED:
        given = limit.get(field) or {}
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if given:
                yield field_forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        if field == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim" and not _bounded(limit):
            yield required(
                f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
            )
        for name, text in given.items():
            yield from rule(name, f"{path}.{field}[{name}]")
            amount = quantity(text)
            if amount is not None:
                amounts.setdefault(name, {})[field] = amount
    for name in sorted(amounts):
        yield from _amounts(name, amounts[name], path)


def _bounded(limit: Mapping[str, Any]) -> bool:
    return any("storage" in (limit.get(field) or {}) for field in ("min", "max"))


def _amounts(name: str, given: Mapping[str, Quantity], path: str) -> FieldErrors:
    for low, high, field, shown, text in _ORDERED:
        if low in given and high in given and given[low] > given[high]:
            yield invalid_value(f"{path}.{field}[{name}]", str(given[shown]), text.format(given[low], given[high]))
    yield from _ratio(name, given, path)
    default, request = given.get("default"), given.get("defaultRequest")
    if not overcommits(name) and default is not None and request is not None and default != request:
        yield invalid_value(
            f"{path}.defaultRequest[{name}]",
            str(request),
            f"default value {default} must equal to defaultRequest value {request} in {name}",
        )


def _ratio(name: str, given: Mapping[str, Quantity], path: str) -> FieldErrors:
    ratio, least, most = (given.get(field) for field in ("maxLimitRequestRatio", "min", "max"))
    if ratio is None:
        return
    at = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio < _ONE:
        yield invalid_value(at, str(ratio), f"ratio {ratio} is less than 1")
    if least is None or most is None or not least:
        return
    fine = max(amount.value() for amount in (ratio, least, most)) < _MOST_MILLI
    limit = most.milli_value() / least.milli_value() if fine else most.value() / least.value()
    if (ratio.milli_value() / 1000 if fine else float(ratio.value())) > limit:
        yield invalid_value(at, str(ratio), f"ratio {ratio} is greater than max/min = {limit:f}")


RESOURCE = Resource(
    group="", plural="limitranges", default=_default, validate=_validate, generation=False, update_creates=True
)
