"""Small vocabulary of defaults and validation: field errors that api.errors has no name for, checks that many kinds share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pybernetes.api.errors import FieldError, invalid_value, not_supported, required, shown
from pybernetes.api.names import path_segment
from pybernetes.api.objects import Object

FieldErrors = Iterator[FieldError]

IMMUTABLE = "field is immutable"
NON_NEGATIVE = "must be greater than or equal to 0"


def set_missing(place: Object, **values: Any) -> None:
    """Sets what is absent; what is there stays, though it be zero."""
    for field, value in values.items():
        if place.get(field) is None:
            place[field] = value


def not_found(field: str, value: object) -> FieldError:
    """`field: Not found: "x"`: a reference inside the object that leads nowhere."""
    return FieldError("FieldValueNotFound", field, f"Not found: {shown(value)}")


def invalid_whole(field: str, detail: str) -> FieldError:
    """`field: Invalid value: detail`: a fault of more than one can be shown, or of what is nobody's business."""
    return FieldError("FieldValueInvalid", field, f"Invalid value: {detail}")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    """`field: Too many: 5: must have at most 3 items`."""
    items = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} {items}")


def each(parent: Mapping[str, Any], key: str, path: str) -> Iterator[tuple[str, Any]]:
    """The items of a list in `parent` with their paths: `path.key[0]`."""
    for index, item in enumerate(parent.get(key) or ()):
        yield f"{path}.{key}[{index}]", item


def check(field: str, value: object, messages: Iterable[str]) -> FieldErrors:
    """One Invalid for each message."""
    return (invalid_value(field, value, message) for message in messages)


def non_negative(field: str, value: int | None) -> FieldErrors:
    """Counts and seconds."""
    if value is not None and value < 0:
        yield invalid_value(field, value, NON_NEGATIVE)


def one_of(field: str, value: object, supported: Sequence[str]) -> FieldErrors:
    """An enum that must be set."""
    if not value:
        yield required(field)
    elif value not in supported:
        yield not_supported(field, value, supported)


def optional_one_of(field: str, value: object, supported: Sequence[str]) -> FieldErrors:
    """An enum that may be absent."""
    if value is not None and value not in supported:
        yield not_supported(field, value, supported)


def immutable(field: str, new: object, old: object) -> FieldErrors:
    """`field is immutable` unless both are the same; empty and absent are the same."""
    if (new or None) != (old or None):
        yield invalid_value(field, new, IMMUTABLE)


def reference_name(field: str, value: str | None) -> FieldErrors:
    """The name of another object, which must be there and fit into a path."""
    if not value:
        yield required(field)
    else:
        yield from check(field, value, path_segment(value))
