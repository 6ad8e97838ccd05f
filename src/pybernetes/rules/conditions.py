"""Lists of conditions of any kind: one of a type, in its place. API conventions of Kubernetes: typical status properties."""

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

C = TypeVar("C", bound=Struct)


def find(conditions: Iterable[C], kind: str) -> C | None:
    """The condition of that type."""
    return next((c for c in conditions if _any(c).type == kind), None)


def put(conditions: Iterable[C], made: C) -> tuple[C, ...]:
    """The conditions with this one: in the place of that of its type, or behind all others."""
    there = tuple(conditions)
    old = find(there, _any(made).type)
    return (*there, made) if old is None else tuple(made if c is old else c for c in there)


def put_at(conditions: Iterable[C], made: C, now: str) -> tuple[C, ...]:
    """As put(); lastTransitionTime is `now` (RFC 3339), or the old one where the status stays as it was."""
    there = tuple(conditions)
    old = find(there, _any(made).type)
    same = old is not None and _any(old).status == _any(made).status
    return put(there, replace(made, lastTransitionTime=_any(old).lastTransitionTime if same else now))


def _any(condition: Any) -> Any:
    """What all kinds of conditions have is known by no common type."""
    return condition
