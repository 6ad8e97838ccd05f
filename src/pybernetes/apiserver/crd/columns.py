"""Printer columns of custom resources: additionalPrinterColumns as the server's tables show them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import orjson

from pybernetes.aio.clock import parse_time
from pybernetes.api.objects import Object
from pybernetes.apiserver.crd import jsonpath
from pybernetes.apiserver.resource import Column
from pybernetes.apiserver.resources._columns import NAME
from pybernetes.rules.ages import age

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Time of creation."}
_Type = Literal["string", "integer", "number", "boolean"]


def columns_of(declared: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The Name and what a version declares; the Age where it declares nothing."""
    return (NAME, *[_column(one) for one in declared or (_AGE,)])


def _column(declared: Mapping[str, Any]) -> Column:
    kind, path = declared.get("type", ""), declared.get("jsonPath", "")
    cell = _cell(path, kind)
    return Column(
        declared.get("name", ""),
        cell,
        "string" if kind == "date" else cast(_Type, kind),
        declared.get("format", ""),
        declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        declared.get("priority", 0),
        (lambda obj, now: _date(cell(obj), now)) if kind == "date" else None,
        kind,
    )


def _cell(path: str, kind: str) -> Callable[[Object], object]:
    made: list[jsonpath.Path | None] = []

    def cell(obj: Object) -> object:
        if not made:
            made.append(_parsed(path))
        if made[0] is None:
            return None
        # Of several only the first: upstream takes these paths for simple ones.
        value = next(made[0](obj), None)
        return None if value is None else _SHOWN[kind](value)

    return cell


def _parsed(path: str) -> jsonpath.Path | None:
    try:
        return jsonpath.parsed(path)
    except ValueError:
        return None


def _text(value: Any) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return orjson.dumps(value).decode()


def _integer(value: Any) -> object:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: Any) -> object:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: Any) -> object:
    return value if isinstance(value, bool) else None


def _moment(value: Any) -> object:
    return value if isinstance(value, str) else None


_SHOWN: Mapping[str, Callable[[Any], object]] = {
    **{"string": _text, "integer": _integer, "number": _number, "boolean": _boolean, "date": _moment},
}


def _date(value: object, now: float) -> object:
    """How long ago it was."""
    if not isinstance(value, str):
        return None
    try:
        return age(now - parse_time(value))
    except ValueError:
        return "<invalid>"
