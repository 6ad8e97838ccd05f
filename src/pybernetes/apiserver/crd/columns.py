"""Printer columns of custom resources: additionalPrinterColumns as the server's tables show them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import orjson

from pybernetes.aio.clock import parse_time
from pybernetes.api.objects import Object
from pybernetes.apiserver.crd import jsonpath
from pybernetes.apiserver.resource import Column, Since
from pybernetes.apiserver.resources._columns import NAME

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Time of creation."}
_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
"""What Go's JSON escapes beyond what must be."""
_Type = Literal["string", "integer", "number", "boolean", "date"]


def columns_of(declared: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The Name and what a version declares; the Age where it declares nothing."""
    found = [NAME]
    for one in declared or (_AGE,):
        try:
            path = jsonpath.parsed(one.get("jsonPath", ""))
        except ValueError:
            break  # upstream shows those before it
        found.append(_column(one, path))
    return tuple(found)


def _column(declared: Mapping[str, Any], found: jsonpath.Path) -> Column:
    kind, path = declared.get("type", ""), declared.get("jsonPath", "")
    return Column(
        declared.get("name", ""),
        _cell(found, _SHOWN[kind]),
        cast(_Type, kind),
        declared.get("format", ""),
        declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        declared.get("priority", 0),
    )


def _cell(path: jsonpath.Path, shown: Callable[[Any], object]) -> Callable[[Object], object]:
    def cell(obj: Object) -> object:
        # Of several only the first: upstream takes these paths for simple ones.
        for value in path(obj):
            return shown(value)
        return None

    return cell


def _text(value: Any) -> object:
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text.translate(_ESCAPED) if isinstance(value, dict | list) else text


def _integer(value: Any) -> object:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(value: Any) -> object:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: Any) -> object:
    return value if isinstance(value, bool) else None


def _date(value: Any) -> object:
    """How long ago it was."""
    if not isinstance(value, str):
        return None
    if value in ("", "null"):
        return "<unknown>"
    try:
        return Since(parse_time(value))
    except ValueError:
        return "<invalid>"


_SHOWN: Mapping[str, Callable[[Any], object]] = {
    **{"string": _text, "integer": _integer, "number": _number, "boolean": _boolean, "date": _date},
}
