"""Says where an object does not fit its type, in the words of Go's decoder. canonical.py asks when one is strange.

It walks the document in its own order with paths, which the fast walkers there do not keep.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pybernetes.api import quantity, schema
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import Object
from pybernetes.api.schema import Field, TypeInfo

_GO_TYPES = {"string": "string", "int32": "int32", "int64": "int64", "bool": "bool", "double": "float64"}
_TIME_PARTS = (
    *(("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d")),
    *((":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d")),
)
_ZONE = ("Z07:00", r"Z|[+-]\d\d:\d\d")
_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


class Mismatch(Exception):
    """The decoder's words."""


def refusal(obj: Any, type_name: str, error: Exception) -> BadRequest:
    """What the API server answers to an object that does not decode."""
    text = str(error)
    try:
        _exhaust(_walk(obj, schema.get(type_name), "", ""))
    except Mismatch as mismatch:
        text = str(mismatch)
    gvk = schema.get(type_name).gvk
    kind = gvk.kind if gvk else type_name.rpartition(".")[2]
    version = gvk.version if gvk else ""
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {text}')


def unknown_fields(obj: Object, type_name: str) -> tuple[str, ...]:
    """`unknown field "spec.x"` for each, in the order of the document."""
    return tuple(f'unknown field "{path}"' for path in _walk(obj, schema.get(type_name), "", ""))


def _exhaust(paths: Iterator[str]) -> None:
    for _ in paths:
        pass


def _walk(obj: Any, info: TypeInfo, path: str, field_path: str) -> Iterator[str]:
    """Paths of unknown fields. Raises Mismatch at the first value that does not fit.

    `path` has indexes, as strict decoding prints it; `field_path` has none, as type errors print it.
    """
    if obj is None:
        return
    if not isinstance(obj, dict):
        go_type = ".".join(info.name.split(".")[-2:])
        raise Mismatch(f"json: cannot unmarshal {_described(obj, go_type)} into Go value of type {go_type}")
    for name, value in obj.items():
        here = f"{path}.{name}" if path else name
        field = info.fields.get(name)
        if field is None:
            yield here
        elif value is not None:
            names = f"{field_path}.{name}" if field_path else name
            yield from _value(value, field, here, _Place(info.name.rpartition(".")[2], names))


class _Place:
    """Where a value sits: the struct that holds its field, and the names of the fields on the way."""

    def __init__(self, struct: str, fields: str) -> None:
        self.struct = struct
        self.fields = fields

    def mismatch(self, value: Any, go_type: str) -> Mismatch:
        return Mismatch(
            f"json: cannot unmarshal {_described(value, go_type)} into Go struct field"
            f" {self.struct}.{self.fields} of type {go_type}"
        )


def _value(value: Any, field: Field, path: str, place: _Place) -> Iterator[str]:
    if value is None:
        return
    if field.kind == "object":
        if not isinstance(value, dict):
            raise place.mismatch(value, _go_type(field))
        yield from _walk(value, schema.get(field.ref), path, place.fields)
    elif field.kind == "list":
        assert field.item
        if not isinstance(value, list):
            raise place.mismatch(value, _go_type(field))
        for index, item in enumerate(value):
            yield from _value(item, field.item, f"{path}[{index}]", place)
    elif field.kind == "map":
        assert field.item
        if not isinstance(value, dict):
            raise place.mismatch(value, _go_type(field))
        for key, item in value.items():
            yield from _value(item, field.item, f"{path}.{key}", place)
    elif field.kind == "raw":
        yield from _union(value, field, path, place)
    else:
        _scalar(value, field, place)


def _union(value: Any, field: Field, path: str, place: _Place) -> Iterator[str]:
    """The JSONSchemaPropsOr... types; any other raw value fits."""
    if not field.ref.startswith(_SCHEMA):
        return
    if isinstance(value, dict):
        yield from _walk(value, schema.get(_SCHEMA), path, place.fields)
    elif isinstance(value, list) and field.ref.endswith("OrArray"):
        for index, item in enumerate(value):
            yield from _walk(item, schema.get(_SCHEMA), f"{path}[{index}]", place.fields)
    elif not (isinstance(value, list) and field.ref.endswith("OrStringArray")) and not isinstance(value, bool):
        raise Mismatch("boolean or JSON schema expected" if field.ref.endswith("OrBool") else "JSON schema expected")


def _scalar(value: Any, field: Field, place: _Place) -> None:
    match field.kind:
        case "string":
            fits = isinstance(value, str)
        case "bool":
            fits = isinstance(value, bool)
        case "double":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case "int32" | "int64":
            limit = 2**31 if field.kind == "int32" else 2**63
            fits = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
        case _:
            _special(value, field, place)
            return
    if not fits:
        raise place.mismatch(value, _go_type(field))


def _special(value: Any, field: Field, place: _Place) -> None:
    """Types that decode themselves: their words name no field."""
    match field.kind:
        case "bytes":
            if not isinstance(value, str):
                raise place.mismatch(value, "[]uint8")
            try:
                base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
            except (binascii.Error, ValueError):
                raise Mismatch(f"illegal base64 data at input byte {_base64_fault(value)}") from None
        case "quantity":
            try:
                quantity.parse(str(value).strip() if not isinstance(value, dict | list | bool) else "?")
            except ValueError as error:
                raise Mismatch(str(error)) from None
        case "intorstring":
            if not isinstance(value, str):
                _standalone(value, "int32")
        case "time" | "microtime":
            if not isinstance(value, str):
                _standalone(value, "string")
            else:
                _time(value, ".000000" if field.kind == "microtime" else "")


def _standalone(value: Any, go_type: str) -> None:
    if go_type == "int32" and isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return
    raise Mismatch(f"json: cannot unmarshal {_described(value, go_type)} into Go value of type {go_type}")


def _described(value: Any, go_type: str) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if go_type.startswith(("int", "float")) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _go_type(field: Field) -> str:
    """`v1.PodSpec`, `[]v1.Container`, `map[string]string`."""
    if field.kind == "list":
        assert field.item
        return f"[]{_go_type(field.item)}"
    if field.kind == "map":
        assert field.item
        return f"map[string]{_go_type(field.item)}"
    if field.kind == "object":
        return ".".join(field.ref.split(".")[-2:])
    special = {"quantity": "resource.Quantity", "intorstring": "intstr.IntOrString", "bytes": "[]uint8"}
    special |= {"time": "v1.Time", "microtime": "v1.MicroTime", "raw": "runtime.RawExtension"}
    return _GO_TYPES.get(field.kind) or special[field.kind]


def _base64_fault(text: str) -> int:
    found = re.match(r"[A-Za-z0-9+/\r\n]*={0,2}", text)
    assert found
    return found.end() if found.end() < len(text) else len(text) - len(text) % 4


def _time(text: str, fraction: str) -> None:
    """Go's time.Parse of RFC 3339: the first element that does not fit."""
    layout = f"2006-01-02T15:04:05{fraction}Z07:00"
    parts = [*_TIME_PARTS, (fraction, r"\.\d{6}")] if fraction else [*_TIME_PARTS]
    rest = text
    for shown, pattern in [*parts, _ZONE]:
        if shown == _ZONE[0] and not fraction:
            rest = re.sub(r"^[.,]\d+", "", rest)
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            raise Mismatch(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{shown}"')
        rest = rest[found.end() :]
    if rest:
        raise Mismatch(f'parsing time "{text}": extra text: "{rest}"')
    month, day, hour, minute, second = (int(text[a : a + 2]) for a in (5, 8, 11, 14, 17))
    ranges = (("month", month, 1, 12), ("day", day, 1, 31), ("hour", hour, 0, 23))
    for shown, number, low, high in (*ranges, ("minute", minute, 0, 59), ("second", second, 0, 59)):
        if not low <= number <= high:
            raise Mismatch(f'parsing time "{text}": {shown} out of range')
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        raise Mismatch(f'parsing time "{text}": day out of range') from None
