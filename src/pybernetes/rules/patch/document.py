"""JSON documents as patches see them: copies, equality, and how a patch that does not fit is refused."""

from collections.abc import Hashable
from typing import Any

from pybernetes.api.errors import BadRequest, Invalid


def copied(value: Any) -> Any:
    """A deep copy of JSON; several times quicker than copy.deepcopy."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def equal(one: Any, other: Any) -> bool:
    """Equality of JSON: true is not 1, 1 is 1.0."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def token(value: Any) -> Hashable:
    """Something hashable that is equal for values that are `equal`, and for no others."""
    if isinstance(value, dict):
        return ("map", frozenset((key, token(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(token, value)))
    return ("bool", value) if isinstance(value, bool) else value


def printed(value: Any) -> str:
    """A value as Go's %v prints it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{printed(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(printed, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def unreadable(why: str) -> BadRequest:
    """The body is no patch of its kind."""
    return BadRequest(f"error decoding patch: {why}")


def rejected(why: str) -> Invalid:
    """The patch does not fit the document. Upstream tells clients no more than that; the reason is a note for us."""
    error = Invalid("the server rejected our request due to an error in our request", details={})
    error.add_note(why)
    return error
