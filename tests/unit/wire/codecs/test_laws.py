"""Laws of the forms of an object: canonical, Struct, JSON and protobuf say the same, for every built-in kind."""

import base64
import importlib
import string
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.api import facts, schema
from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import BadRequest
from pybernetes.api.schema import Field
from pybernetes.api.schema._index import KINDS, PACKAGES
from pybernetes.wire.codecs import protobuf

Draw = Callable[[st.SearchStrategy[Any]], Any]

NAMES = sorted(KINDS.values())
STORED = sorted({str(schema.type_name(known.gvk)) for known in facts.resources() if "get" in known.verbs})
_TEXT = st.text(string.ascii_letters + string.digits + ' -_./"\\é', max_size=6)
_TIMES = st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+02:00", "0001-01-01T00:00:00Z", None])
_MICRO_TIMES = st.sampled_from(["2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.123456+02:00", None])
_QUANTITIES = st.sampled_from(["0", "1000m", "1.5Gi", "1e3", "0.5", 1, 0.25, "100m", None])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=3,
)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT | st.none(),
    "int32": st.integers(-(2**31), 2**31 - 1) | st.just(0),
    "int64": st.integers(-(2**63), 2**63 - 1) | st.just(0),
    "bool": st.booleans() | st.none(),
    "double": st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-9, 9),
    "bytes": st.binary(max_size=4).map(lambda b: base64.b64encode(b).decode()) | st.none(),
    "quantity": _QUANTITIES,
    "intorstring": st.integers(0, 70000) | _TEXT | st.none(),
    "time": _TIMES,
    "microtime": _MICRO_TIMES,
}


def _value(draw: Draw, field: Field, depth: int) -> Any:
    if field.kind == "object":
        return drawn(draw, field.ref, depth + 1)
    if field.kind in ("list", "map"):
        assert field.item
        size = draw(st.integers(0, 2))
        if field.kind == "list":
            return [_value(draw, field.item, depth + 1) for _ in range(size)]
        return {draw(_TEXT): _value(draw, field.item, depth + 1) for _ in range(size)}
    if field.kind == "raw":
        return _raw(draw, field, depth)
    return draw(_SCALARS[field.kind])


def _raw(draw: Draw, field: Field, depth: int) -> Any:
    union = field.ref.rpartition(".")[2]
    if not union.startswith("JSONSchemaPropsOr"):
        return draw(_JSON if union in ("", "JSON") else st.dictionaries(_TEXT, _JSON, max_size=2))
    nested = drawn(draw, field.ref.rpartition("Or")[0], depth + 1)
    if union.endswith("OrBool") and draw(st.booleans()):
        return draw(st.booleans())
    if union.endswith("StringArray") and draw(st.booleans()):
        return draw(st.lists(_TEXT, max_size=2))
    if union.endswith("PropsOrArray") and draw(st.booleans()):
        return [nested]
    return nested


def drawn(draw: Draw, type_name: str, depth: int = 0) -> dict[str, Any]:
    """Some object of the type: few fields of each, any of them null or empty."""
    info = schema.get(type_name)
    names = [n for n in info.fields if not (info.gvk and n in ("kind", "apiVersion"))]
    most = 4 if depth < 3 else 2 if depth < 6 else 0
    chosen = draw(st.lists(st.sampled_from(names), max_size=most, unique=True)) if names else []
    obj = {name: _value(draw, info.fields[name], depth) for name in chosen}
    if info.gvk:
        obj |= {"kind": info.gvk.kind, "apiVersion": info.gvk.api_version}
    return obj


def struct_of(type_name: str) -> type[msgspec.Struct]:
    package, _, short = type_name.rpartition(".")
    struct: type[msgspec.Struct] = getattr(importlib.import_module(f"pybernetes.api.types.{PACKAGES[package]}"), short)
    return struct


@given(st.data())
@settings(max_examples=150, derandomize=True)
def test_canonical_form_encodes_as_its_struct_and_is_its_own(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    given_object = drawn(data.draw, name)
    canonical = canonicalize(given_object, name)
    assert canonical.problems == ()
    assert canonicalize(canonical.object, name).object == canonical.object
    encoded = orjson.dumps(canonical.object)
    assert orjson.dumps(canonicalize(canonical.object, name).object) == encoded
    assert msgspec.json.encode(msgspec.json.decode(encoded, type=struct_of(name))) == encoded


@pytest.mark.parametrize("name", STORED)
@given(st.data())
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_each_kind_that_is_stored_holds_the_laws(name: str, data: st.DataObject) -> None:
    given_object = drawn(data.draw, name)
    canonical = canonicalize(given_object, name).object
    encoded = orjson.dumps(canonical)
    assert orjson.dumps(canonicalize(canonical, name).object) == encoded
    assert msgspec.json.encode(msgspec.json.decode(encoded, type=struct_of(name))) == encoded
    wired = _on_the_wire(canonical, name)
    assert protobuf.decode(protobuf.encode(wired, name), name) == wired
    place, path = _place(data.draw, given_object, schema.get(name), "")
    place["unheardOf"] = data.draw(_JSON.filter(lambda value: value is not None))
    assert canonicalize(given_object, name).problems == (f'unknown field "{path}unheardOf"',)


def _place(draw: Draw, obj: dict[str, Any], info: schema.TypeInfo, path: str) -> tuple[dict[str, Any], str]:
    """Some object in an object whose fields are known, and the path to it."""
    inner = [n for n, value in obj.items() if info.fields[n].kind == "object" and isinstance(value, dict)]
    name = draw(st.sampled_from(["", *inner]))
    if not name:
        return obj, path
    return _place(draw, obj[name], schema.get(info.fields[name].ref), f"{path}{name}.")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_object_of_each_kind_encodes_as_its_struct(name: str) -> None:
    encoded = orjson.dumps(canonicalize({}, name).object)
    assert msgspec.json.encode(msgspec.json.decode(encoded, type=struct_of(name))) == encoded
    assert msgspec.json.encode(struct_of(name)()) == encoded


@given(st.data())
@settings(max_examples=150, derandomize=True)
def test_protobuf_of_a_canonical_object_decodes_to_it(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([n for n in NAMES if protobuf.supported(n)]))
    obj = _on_the_wire(canonicalize(drawn(data.draw, name), name).object, name)
    assert protobuf.decode(protobuf.encode(obj, name), name) == obj


def _on_the_wire(obj: dict[str, Any], type_name: str) -> dict[str, Any]:
    """Without fields that have no number (alpha ones that are not known yet)."""
    fields = schema.get(type_name).fields
    found = {}
    for name, value in obj.items():
        field = fields[name]
        if field.number or name in ("kind", "apiVersion"):
            found[name] = _value_on_the_wire(value, field)
    return found


def _value_on_the_wire(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.kind == "object":
        return _on_the_wire(value, field.ref)
    if field.kind == "list" and field.item:
        return [_value_on_the_wire(v, field.item) for v in value]
    if field.kind == "map" and field.item:
        return {k: _value_on_the_wire(v, field.item) for k, v in value.items()}
    return value


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=3,
)


@given(st.data())
@settings(max_examples=150, derandomize=True)
def test_whatever_stands_in_a_field_is_taken_or_refused_with_words(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    obj = drawn(data.draw, name)
    where: Any = obj
    for _ in range(data.draw(st.integers(0, 4))):
        inner = [v for v in (where.values() if isinstance(where, dict) else where) if isinstance(v, dict | list) and v]
        if not inner:
            break
        where = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(list(where) if isinstance(where, dict) else range(len(where))))
    where[key] = data.draw(_ANYTHING)
    canonical, words = _outcome(obj, name)
    assert not words.endswith(": ")
    if not words:
        encoded = orjson.dumps(canonical)
        assert msgspec.json.encode(msgspec.json.decode(encoded, type=struct_of(name))) == encoded


def _outcome(obj: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    try:
        return canonicalize(obj, name).object, ""
    except BadRequest as refused:
        return {}, refused.message


@given(st.data())
@settings(max_examples=200, derandomize=True)
def test_whatever_protobuf_can_be_read_is_canonical(data: st.DataObject) -> None:
    """So that nobody need make it so again: of objects as they come, and of bytes that have been tampered with."""
    name = data.draw(st.sampled_from([n for n in NAMES if protobuf.supported(n)]))
    sent = bytearray(protobuf.encode(_on_the_wire(canonicalize(drawn(data.draw, name), name).object, name), name))
    for place in data.draw(st.lists(st.integers(0, 2**16), max_size=3)):
        if sent:
            sent[place % len(sent)] = data.draw(st.integers(0, 255))
    try:
        found = protobuf.decode(bytes(sent), name)
    except BadRequest:
        return
    assert orjson.dumps(canonicalize(found, name).object) == orjson.dumps(found)
