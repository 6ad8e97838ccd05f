"""Messages of protobuf: a reader and a writer are compiled for each type from its table, the first time it is met.

A reader makes the canonical object (api.canonical says which) in the one walk over the bytes. protobuf.py is what others
call. What is no type of the API, entries of maps for one, is compiled from a table of its own.
"""

import base64
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import orjson
from msgspec.structs import replace

from pybernetes.api import canonical, schema
from pybernetes.api.objects import Object
from pybernetes.api.schema import Field, TypeInfo
from pybernetes.wire.codecs import wellknown
from pybernetes.wire.codecs.varint import SMALL, Malformed, block, field_tag, read_block, read_varint, skip, varint

Reader: TypeAlias = Callable[[bytes, int, int], Object]
"""(buffer, where the message begins, where it ends) -> the canonical object."""
Writer: TypeAlias = Callable[[Object], bytearray]

MAGIC = b"k8s\x00"
_WIRE_TYPES = {"int32": 0, "int64": 0, "bool": 0, "double": 1}
_KEY, _VALUE, _ITEMS, _EXTRA = "key", "value", "items", "[string]"


def reader(type_name: str) -> Reader:
    """The compiled reader of a type. It raises ValueError, IndexError and struct.error where bytes are malformed."""
    found: Reader = _function("read", type_name)
    return found


def writer(type_name: str) -> Writer:
    """The compiled writer of a type, for canonical objects."""
    found: Writer = _function("write", type_name)
    return found


def _raise_end() -> None:
    raise Malformed("unexpected EOF")


# --- values that are no message in JSON


def _raw(data: bytes) -> Any:
    """RawExtension, FieldsV1, JSON: JSON in a message; of other kinds the object may be protobuf itself."""
    raw = blocks(data).get(1, b"")
    if raw.startswith(MAGIC):
        from pybernetes.wire.codecs.protobuf import decode_object  # which imports this module

        return decode_object(raw)
    return orjson.loads(raw) if raw else None


def _write_raw(value: Any) -> bytes:
    return block(1, orjson.dumps(value))


def _double(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value


def _signed64(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _packed(data: bytes, at: int, end: int, convert: Callable[[int], Any]) -> list[Any]:
    found = []
    while at < end:
        value, at = read_varint(data, at, end)
        found.append(convert(value))
    return found


def blocks(data: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a small message."""
    found, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at, len(data))
        if tag & 7 == 2:
            start, at = read_block(data, at, len(data))
            found[tag >> 3] = data[start:at]
        else:
            at = skip(data, at, len(data), tag)
    return found


def _schema_or_array(found: Object) -> Any:
    return found["schema"] if "schema" in found else found.get(_ITEMS)


def _schema_or_bool(found: Object) -> Any:
    return found["schema"] if "schema" in found else found["allows"]


def _schema_or_strings(found: Object) -> Any:
    return found["schema"] if "schema" in found else found.get(_ITEMS, [])


def _parts(value: Any) -> Object:
    """A union as the message that has a field for each of its forms."""
    if isinstance(value, dict):
        return {"allows": True, "schema": value}
    return {"allows": value} if isinstance(value, bool) else {_ITEMS: value}


# --- tables of what is no type of the API


def _numbered(item: Field, name: str, number: int, *, optional: bool = False) -> Field:
    """The element of a list or map as a field of a message."""
    return replace(item, name=name, number=number, pointer=optional, omitempty=optional)


def _made(name: str, fields: Sequence[Field]) -> str:
    """The name of a message that is declared here."""
    _tables.setdefault(name, TypeInfo(name, {field.name: field for field in fields}, None, name))
    return name


def _entry(item: Field) -> str:
    """An entry of a map."""
    name = f"entry {item.kind} {item.ref} {item.item.kind if item.item else ''}"
    return _made(name, [Field(name=_KEY, kind="string", number=1), _numbered(item, _VALUE, 2)])


def _wrapped(item: Field) -> str:
    """ExtraValue and Verbs: a message whose field 1 is the list."""
    return _made(f"items {item.kind} {item.ref}", [Field(name=_ITEMS, kind="list", item=item, number=1)])


def _union(ref: str) -> str:
    """JSONSchemaPropsOrArray, OrBool, OrStringArray."""
    props = Field(kind="object", ref=ref.rpartition("Or")[0])
    item = Field(kind="string") if ref.endswith("OrStringArray") else props
    many = Field(name=_ITEMS, kind="list", item=item, number=2, omitempty=True)
    if ref.endswith("OrBool"):
        allows = Field(name="allows", kind="bool", number=1)
        return _made(f"union {ref}", [allows, _numbered(props, "schema", 2, optional=True)])
    return _made(f"union {ref}", [_numbered(props, "schema", 1, optional=True), many])


_UNIONS = {"Array": "_schema_or_array", "Bool": "_schema_or_bool", "StringArray": "_schema_or_strings"}
_BLOCKS = {
    "string": ("data[s:at].decode()", "v.encode()"),
    "bytes": ("b64encode(data[s:at]).decode()", "b64decode(v)"),
    "quantity": ("decode_quantity(data[s:at])", "encode_quantity(v)"),
    "intorstring": ("decode_int_or_string(data[s:at])", "encode_int_or_string(v)"),
    "time": ("decode_time(data[s:at])", "encode_time(v)"),
    "microtime": ("decode_micro_time(data[s:at])", "encode_time(v)"),
}
"""Reading from data[s:at], writing v."""


def _block(field: Field) -> tuple[str, str]:
    """Expressions that read a value from data[s:at], and that write `v`."""
    if field.kind == "object":
        return f"{_declare('read', field.ref)}(data, s, at)", f"{_declare('write', field.ref)}(v)"
    if field.kind == "list":  # a message that holds the list
        assert field.item
        name = _wrapped(field.item)
        return f"{_declare('read', name)}(data, s, at)['items']", f"{_declare('write', name)}({{'items': v}})"
    if field.kind != "raw":
        return _BLOCKS[field.kind]
    if field.ref not in canonical.UNIONS:
        return "_raw(data[s:at])", "_write_raw(v)"
    name, shape = _union(field.ref), _UNIONS[field.ref.rpartition("Or")[2]]
    return f"{shape}({_declare('read', name)}(data, s, at))", f"{_declare('write', name)}(_parts(v))"


# --- readers

_SIZE = ["n = data[at]", "at += 1", "if n > 127: n, at = read_varint(data, at - 1, end)", "s = at", "at += n"]
_VARINT = "v = data[at]; at += 1"


def _varint(kind: str) -> list[str]:
    long = "v, at = read_varint(data, at - 1, end)"
    if kind == "bool":
        return [_VARINT, f"if v > 127: {long}", "v = v != 0"]
    return [_VARINT, "if v > 127:", f"    {long}", f"    v = _signed{kind[3:]}(v)"]


def _cases(field: Field, into: str) -> list[tuple[int, list[str]]]:
    """By tag, the statements that read a value of the field into a variable."""
    number, kind, item = field.number, field.kind, field.item
    if kind in _WIRE_TYPES:
        taken = ["v = _double(unpack_from('<d', data, at)[0])", "at += 8"] if kind == "double" else _varint(kind)
        return [(number << 3 | _WIRE_TYPES[kind], [*taken, f"{into} = v"])]
    if kind == "map":
        assert item
        entry = f"v = {_declare('read', _entry(item))}(data, s, at)"
        lines = [*_SIZE, entry, f"if {into} is None: {into} = {{}}", f"{into}[v['key']] = v['value']"]
        return [(number << 3 | 2, lines)]
    if kind != "list" or field.ref:
        return [(number << 3 | 2, [*_SIZE, f"{into} = {_block(field)[0]}"])]
    assert item
    added = [f"if {into} is None: {into} = [v]", f"else: {into}.append(v)"]
    if item.kind in ("int32", "int64"):
        packed = f"{into} = ({into} or []) + _packed(data, s, at, _signed{item.kind[3:]})"
        return [(number << 3, [*_varint(item.kind), *added]), (number << 3 | 2, [*_SIZE, packed])]
    return [(number << 3 | 2, [*_SIZE, f"v = {_block(item)[0]}", *added])]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _choice(cases: Sequence[tuple[int, list[str]]], end: str) -> list[str]:
    """Finds the case of `tag` in halves."""
    if len(cases) > 3:
        half = len(cases) // 2
        below, above = _choice(cases[:half], end), _choice(cases[half:], end)
        return [f"if tag < {cases[half][0]}:", *_indented(below), "else:", *_indented(above)]
    lines: list[str] = []
    for tag, taken in cases:
        lines += [f"{'elif' if lines else 'if'} tag == {tag}:", *_indented(taken)]
    other = f"at = skip(data, at, {end}, tag)"
    return [*lines, "else:", f"    {other}"] if lines else [other]


def _loop(fields: Sequence[tuple[str, Field]], depth: int) -> list[str]:
    """Reads fields into their variables up to `end<depth>`; a message that JSON does not show is a loop inside."""
    end, cases, inside = f"end{depth or ''}", [], dict[int, list[tuple[str, Field]]]()
    for into, field in fields:
        if len(field.inline) > depth:
            inside.setdefault(field.inline[depth], []).append((into, field))
        else:
            cases += _cases(field, into)
    for number, members in inside.items():
        begin = [*_SIZE, f"end{depth + 1} = at", "at = s"]
        cases.append((number << 3 | 2, [*begin, *_loop(members, depth + 1)]))
    body = ["tag = data[at]", "at += 1", f"if tag > 127: tag, at = read_varint(data, at - 1, {end})"]
    return [f"while at < {end}:", *_indented((*body, *_choice(sorted(cases), end))), f"if at > {end}: _raise_end()"]


def _reader_source(name: str, info: TypeInfo) -> str:
    fields = [(f"v{index}", field) for index, field in enumerate(info.fields.values())]
    body = [" = ".join((*(into for into, _ in fields), "None"))] if fields else []
    body += [*_loop([pair for pair in fields if pair[1].number], 0), "out = {}"]
    for into, field in fields:
        default = canonical.default_of(info, field.name)
        empty = f"{_declare('read', field.ref)}(b'', 0, 0)" if field.kind == "object" else ""
        present, absent = canonical.kept(field.name, field, default, empty)
        body += [f"v = {into}", "if v is not None:"]
        if field.kind == "map":
            body.append("    if len(v) > 1: v = {k: v[k] for k in sorted(v)}")
        body += [*_indented(present), *(f"else: {line}" for line in absent)]
    return "\n".join((f"def {name}(data, at, end):", *_indented((*body, "return out"))))


# --- writers


def _put(tag: bytes, out: str) -> list[str]:
    """Writes the bytes `t` as a block."""
    return ["n = len(t)", f"{out} += {tag!r}", f"{out} += SMALL[n] if n < 128 else varint(n)", f"{out} += t"]


def _written(field: Field, out: str) -> list[str]:
    """Writes the value `v` of a field."""
    number, kind, item = field.number, field.kind, field.item
    if kind == "double":
        return [f"{out} += {field_tag(number, 1)!r} + pack('<d', v)"]
    if kind in _WIRE_TYPES:
        return [f"{out} += {field_tag(number, 0)!r}", f"{out} += SMALL[v] if 0 <= v < 128 else varint(v)"]
    tag = field_tag(number, 2)
    if kind == "map":
        assert item
        entry = f"t = {_declare('write', _entry(item))}({{'key': k, 'value': m[k]}})"
        return ["m = v", "for k in sorted(m):", *_indented([entry, *_put(tag, out)])]
    if kind != "list" or field.ref:
        return [f"t = {_block(field)[1]}", *_put(tag, out)]
    assert item
    return ["for v in v:", *_indented(_written(_numbered(item, "", number), out))]


def _absent(field: Field) -> bytes:
    """What stands for a value that is not there."""
    if field.pointer or field.kind in ("map", "bytes") or (field.kind == "list"):
        return b""
    if field.kind not in _WIRE_TYPES:
        return block(field.number, b"")
    return field_tag(field.number, _WIRE_TYPES[field.kind]) + (bytes(8) if field.kind == "double" else b"\x00")


def _writes(fields: Iterable[Field], depth: int) -> list[str]:
    """Writes fields to `out<depth>` in the order of their numbers."""
    out = f"out{depth or ''}"
    inside: dict[int, list[Field]] = {}
    parts: list[tuple[int, list[str]]] = []
    for field in fields:
        if len(field.inline) > depth:
            inside.setdefault(field.inline[depth], []).append(field)
            continue
        absent = _absent(field)
        lines = [f"v = get({field.name!r})", "if v is not None:", *_indented(_written(field, out))]
        parts.append((field.number, [*lines, *([f"else: {out} += {absent!r}"] if absent else [])]))
    for number, members in inside.items():
        inner = f"out{depth + 1}"
        lines = [
            f"{inner} = bytearray()",
            *_writes(members, depth + 1),
            f"t = {inner}",
            *_put(field_tag(number, 2), out),
        ]
        parts.append((number, lines))
    return [line for _, lines in sorted(parts, key=lambda part: part[0]) for line in lines]


def _writer_source(name: str, info: TypeInfo) -> str:
    body = [
        "get = d.get",
        "out = bytearray()",
        *_writes((f for f in info.fields.values() if f.number), 0),
        "return out",
    ]
    return "\n".join((f"def {name}(d):", *_indented(body)))


# --- compiling


def _name(verb: str, type_name: str) -> str:
    return f"{verb}_" + type_name.replace(".", "_").replace("-", "_").replace(" ", "_")


def _function(verb: str, type_name: str) -> Any:
    name = _name(verb, type_name)
    return _namespace[name] if name in _compiled else _compile(verb, type_name)


def _declare(verb: str, type_name: str) -> str:
    """The name of a function that may not be compiled yet: types refer to each other in circles."""
    name = _name(verb, type_name)
    _namespace.setdefault(name, lambda *given: _function(verb, type_name)(*given))
    return name


def _compile(verb: str, type_name: str) -> Any:
    name = _name(verb, type_name)
    source = (_reader_source if verb == "read" else _writer_source)(
        name, _tables.get(type_name) or schema.get(type_name)
    )
    exec(compile(source, f"<protobuf {name}>", "exec"), _namespace)
    _compiled.add(name)
    return _namespace[name]


_compiled: set[str] = set()
_tables: dict[str, TypeInfo] = {}
_namespace: dict[str, Any] = {
    **{"SMALL": SMALL, "varint": varint, "read_varint": read_varint, "skip": skip, "pack": struct.pack},
    **{"unpack_from": struct.unpack_from, "b64encode": base64.b64encode, "b64decode": base64.b64decode},
    **{name: value for name, value in vars(wellknown).items() if name.startswith(("encode_", "decode_"))},
    **{function.__name__: function for function in (_raise_end, _raw, _write_raw, _parts, _packed, _double)},
    **{function.__name__: function for function in (_signed32, _signed64)},
    **{function.__name__: function for function in (_schema_or_array, _schema_or_bool, _schema_or_strings)},
}
