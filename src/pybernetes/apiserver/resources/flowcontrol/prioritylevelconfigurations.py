"""PriorityLevelConfiguration: how many requests of a level are served at once, and what the others meet."""

from collections.abc import Callable, Mapping
from math import log2
from typing import Any

from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.flowcontrol.objects import mandatory_levels
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.flowcontrol import EXEMPT, GROUP, prepare_status, validate_conditions

_SHARES = 30
_QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
_MOST_QUEUES = 10_000_000
_MOST_BITS = 60
"""How much entropy a request's hash has for choosing its hand of queues."""


def _default(obj: Object) -> None:
    level = obj.get("spec") or {}
    exempt, limited = level.get("exempt"), level.get("limited")
    if exempt is not None:
        for field in ("nominalConcurrencyShares", "lendablePercent"):
            if exempt.get(field) is None:
                exempt[field] = 0
    if limited is not None:
        for field, value in (("nominalConcurrencyShares", _SHARES), ("lendablePercent", 0)):
            if limited.get(field) is None:
                limited[field] = value
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        for field, value in _QUEUING.items():
            if queuing is not None and not queuing.get(field):
                queuing[field] = value


def _validate(obj: Object) -> FieldErrors:
    name = (obj.get("metadata") or {}).get("name") or ""
    level = spec(obj)
    yield from _spec(level, name)
    fixed = mandatory_levels().get(name)
    if fixed is not None:
        but = " except the 'spec.exempt' field" if name == EXEMPT else ""
        if _fixed_part(level, name) != _fixed_part(fixed, name):
            yield invalid_value("spec", level, f"spec of '{name}'{but} must equal the fixed value")
    yield from validate_conditions(obj)


def _fixed_part(level: Mapping[str, Any], name: str) -> dict[str, Any]:
    """How much the exempt level may lend is for administrators to say."""
    return {field: value for field, value in level.items() if name != EXEMPT or field != "exempt"}


def _spec(level: Mapping[str, Any], name: str) -> FieldErrors:
    kind, exempt, limited = level.get("type") or "", level.get("exempt"), level.get("limited")
    if (name == EXEMPT) != (kind == "Exempt"):
        yield invalid_value("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'")
    if kind == "Exempt":
        if limited is not None:
            yield field_forbidden("spec.limited", "must be nil if the type is not Limited")
        if exempt is not None:
            yield from _shares(exempt, "spec.exempt")
            yield from _percent(exempt, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            yield field_forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _limited(limited, "spec.limited")
    else:
        yield not_supported("spec.type", kind, ("Exempt", "Limited"))


def _shares(part: Mapping[str, Any], at: str) -> FieldErrors:
    shares = part.get("nominalConcurrencyShares") or 0
    if shares < 0:
        yield invalid_value(f"{at}.nominalConcurrencyShares", shares, "must be a non-negative integer")


def _percent(part: Mapping[str, Any], at: str) -> FieldErrors:
    percent = part.get("lendablePercent") or 0
    if not 0 <= percent <= 100:
        yield invalid_value(f"{at}.lendablePercent", percent, "must be between 0 and 100, inclusive")


def _limited(limited: Mapping[str, Any], at: str) -> FieldErrors:
    yield from _shares(limited, at)
    yield from _response(limited.get("limitResponse") or {}, f"{at}.limitResponse")
    yield from _percent(limited, at)
    borrowed = limited.get("borrowingLimitPercent") or 0
    if borrowed < 0:
        yield invalid_value(f"{at}.borrowingLimitPercent", borrowed, "if specified, must be a non-negative integer")


def _response(response: Mapping[str, Any], at: str) -> FieldErrors:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind not in ("Queue", "Reject"):
        yield not_supported(f"{at}.type", kind, ("Queue", "Reject"))
    elif kind == "Reject":
        if queuing is not None:
            yield field_forbidden(f"{at}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif queuing is None:
        yield required(f"{at}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _queuing(queuing, f"{at}.queuing")


def _queuing(queuing: Mapping[str, Any], at: str) -> FieldErrors:
    queues, hand, length = (queuing.get(field) or 0 for field in _QUEUING)
    if length <= 0:
        yield invalid_value(f"{at}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield invalid_value(f"{at}.queues", queues, "must be positive")
    elif queues > _MOST_QUEUES:
        yield invalid_value(f"{at}.queues", queues, f"must not be greater than {_MOST_QUEUES}")
    if hand <= 0:
        yield invalid_value(f"{at}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid_value(f"{at}.handSize", hand, f"should not be greater than queues ({queues})")
    elif _bits_exceed(queues, hand):
        why = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_MOST_BITS}"
        yield invalid_value(f"{at}.handSize", hand, why)


def _bits_exceed(queues: int, hand: int) -> bool:
    """Whether dealing such a hand out of so many queues takes more bits than a hash has."""
    bits = 0.0
    for dealt in range(hand):
        bits += log2(queues - dealt)
        if bits > _MOST_BITS:
            return True
    return False


def _number(*path: str) -> Callable[[Object], object]:
    def cell(obj: Object) -> object:
        found: Any = spec(obj).get("limited")
        for field in path[:-1]:
            found = (found or {}).get(field)
        return NONE if found is None else found.get(path[-1], 0)

    return cell


RESOURCE = Resource(
    group=GROUP,
    plural="prioritylevelconfigurations",
    default=_default,
    validate=_validate,
    validate_status=lambda obj, old: validate_conditions(obj),
    prepare_status=prepare_status,
    columns=(
        Column("Type", lambda obj: spec(obj).get("type", ""), description="Whether it is limited."),
        Column("NominalConcurrencyShares", _number("nominalConcurrencyShares"), description="Its part of the server."),
        Column("Queues", _number("limitResponse", "queuing", "queues"), description="How many queues it has."),
        Column("HandSize", _number("limitResponse", "queuing", "handSize"), description="Queues that a flow may use."),
        Column(
            "QueueLengthLimit",
            _number("limitResponse", "queuing", "queueLengthLimit"),
            description="Requests that may wait in one.",
        ),
        AGE,
    ),
)
