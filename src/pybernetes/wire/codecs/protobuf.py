"""application/vnd.kubernetes.protobuf: objects to bytes and back by the tables of api.schema.

`wrap` and `unwrap` are the envelope (`k8s`, a zero byte, runtime.Unknown). A plan is made of each type the first time
it is met: a reader a tag, a writer a field. What is read goes through api.canonical, so that JSON and protobuf of one
object are the same dict. Custom resources have no protobuf form.
"""

import base64
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import msgspec
import orjson

from pybernetes.api import canonical, schema
from pybernetes.api.errors import BadRequest, UnsupportedMediaType
from pybernetes.api.objects import GroupVersionKind, Object, split_api_version
from pybernetes.api.schema import Field
from pybernetes.wire.codecs import wellknown
from pybernetes.wire.codecs.varint import Malformed, block, field_tag, read_block, read_varint, skip, varint

MAGIC = b"k8s\x00"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"

Reader: TypeAlias = Callable[[bytes, int, int, Object], int]
"""(buffer, where the value begins, where the message ends, what to fill) -> where the value ends."""
Writer: TypeAlias = Callable[[bytearray, Any], None]
Decoder: TypeAlias = Callable[[bytes], Any]
Encoder: TypeAlias = Callable[[Any], bytes]

_SCALARS = {"string": 2, "bytes": 2, "int32": 0, "int64": 0, "bool": 0, "double": 1}


class Envelope(msgspec.Struct, frozen=True):
    """runtime.Unknown: whose object `raw` is."""

    api_version: str
    kind: str
    raw: bytes
    content_type: str = ""

    @property
    def gvk(self) -> GroupVersionKind:
        return GroupVersionKind(*split_api_version(self.api_version), self.kind)


def wrap(raw: bytes, api_version: str, kind: str) -> bytes:
    """The message of an object in its envelope: the body of a request or an answer."""
    type_meta = block(1, api_version.encode()) + block(2, kind.encode())
    return MAGIC + block(1, type_meta) + block(2, raw) + b"\x1a\x00\x22\x00"


def unwrap(data: bytes) -> Envelope:
    """The envelope of a body. Raises BadRequest."""
    if not data.startswith(MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        fields = _blocks(data[len(MAGIC) :])
        type_meta = _blocks(fields.get(1, b""))
        return Envelope(
            api_version=type_meta.get(1, b"").decode(),
            kind=type_meta.get(2, b"").decode(),
            raw=fields.get(2, b""),
            content_type=fields.get(4, b"").decode(),
        )
    except (Malformed, UnicodeDecodeError) as error:
        raise BadRequest(f"unable to decode the protobuf envelope: {error}") from None


def supported(type_name: str) -> bool:
    """Whether the type has a protobuf form (Table has none)."""
    return bool(schema.get(type_name).message)


def encode(obj: Object, type_name: str) -> bytes:
    """The message of a canonical object, without envelope. Raises UnsupportedMediaType where the type has none."""
    if not supported(type_name):
        raise UnsupportedMediaType(f"{type_name.rpartition('.')[2]} has no protobuf form")
    out = bytearray()
    _write(out, obj, _plan(type_name))
    return bytes(out)


def decode(data: bytes, type_name: str) -> Object:
    """The canonical object of a message without envelope. Raises BadRequest where it is malformed."""
    try:
        loose = _read(data, 0, len(data), _plan(type_name), {})
    except (Malformed, UnicodeDecodeError, orjson.JSONDecodeError, RecursionError) as error:
        gvk = schema.get(type_name).gvk
        kind = gvk.kind if gvk else type_name.rpartition(".")[2]
        version = gvk.version if gvk else ""
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None
    return canonical.canonicalize(loose, type_name).object


def encode_object(obj: Object, type_name: str) -> bytes:
    """The body of a canonical object, in its envelope."""
    return wrap(encode(obj, type_name), obj.get("apiVersion", ""), obj.get("kind", ""))


def decode_object(data: bytes, default: GroupVersionKind | None = None) -> Object:
    """The canonical object of a body; `default` names its kind where the envelope does not. Raises BadRequest."""
    envelope = unwrap(data)
    gvk = envelope.gvk if envelope.kind or default is None else default
    name = schema.type_name(gvk)
    if name is None:
        raise BadRequest(f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}"')
    obj = decode(envelope.raw, name)
    return {**obj, "kind": gvk.kind, "apiVersion": gvk.api_version} if "kind" in obj else obj


def watch_event(event_type: str, body: bytes) -> bytes:
    """One frame of a watch: four bytes of length, then metav1.WatchEvent around the enveloped object."""
    event = block(1, event_type.encode()) + block(2, block(1, body))
    return struct.pack(">I", len(event)) + event


class _Plan:
    """How a message, or a message inside that JSON does not show, is read and written."""

    def __init__(self) -> None:
        self.readers: dict[int, Reader] = {}
        self.writers: list[tuple[int, str, Writer | None, bytes]] = []
        """(number, JSON name, writer, what stands for an absent value); without a name: the object itself."""


@cache
def _plan(type_name: str) -> _Plan:
    fields = [f for f in schema.get(type_name).fields.values() if f.number]
    return _plan_of(fields, 0)


def _plan_of(fields: list[Field], depth: int) -> _Plan:
    plan = _Plan()
    nested: dict[int, list[Field]] = {}
    for field in fields:
        if len(field.inline) > depth:
            nested.setdefault(field.inline[depth], []).append(field)
        else:
            _add(plan, field)
    for number, members in nested.items():
        inner = _plan_of(members, depth + 1)
        plan.readers[number << 3 | 2] = _inline_reader(inner)
        plan.writers.append((number, "", _inline_writer(number, inner), b""))
    plan.writers.sort(key=lambda writer: writer[0])
    return plan


def _inline_reader(inner: _Plan) -> Reader:
    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        _read(data, start, stop, inner, out)
        return stop

    return read


def _inline_writer(number: int, inner: _Plan) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        nested = bytearray()
        _write(nested, value, inner)
        out += block(number, nested)

    return write


def _add(plan: _Plan, field: Field) -> None:
    number, name = field.number, field.name
    if field.kind == "list":
        assert field.item
        if field.ref:  # a message that holds the list
            plan.readers[number << 3 | 2] = _message_reader(name, _wrapped_decoder(field.item))
            plan.writers.append((number, name, _block_writer(number, _wrapped_encoder(field.item)), b""))
            return
        _add_list(plan, field, field.item)
    elif field.kind == "map":
        assert field.item
        plan.readers[number << 3 | 2] = _map_reader(name, field.item)
        plan.writers.append((number, name, _map_writer(number, field.item), b""))
    elif field.kind in _SCALARS and field.kind != "bytes":
        plan.readers[number << 3 | _SCALARS[field.kind]] = _scalar_reader(name, field.kind)
        zero = b"" if field.pointer else field_tag(number, _SCALARS[field.kind]) + _zero(field.kind)
        plan.writers.append((number, name, _scalar_writer(number, field.kind), zero))
    else:
        of_object = field.kind == "object"
        reader = _object_reader(name, field.ref) if of_object else _message_reader(name, _decoder(field))
        plan.readers[number << 3 | 2] = reader
        empty = b"" if field.pointer or field.kind == "bytes" else block(number, b"")
        plan.writers.append((number, name, _block_writer(number, _encoder(field)), empty))


def _zero(kind: str) -> bytes:
    return bytes(8) if kind == "double" else b"\x00"


def _add_list(plan: _Plan, field: Field, item: Field) -> None:
    number, name = field.number, field.name
    if item.kind in _SCALARS and item.kind not in ("string", "bytes"):
        plan.readers[number << 3 | _SCALARS[item.kind]] = _repeated_reader(name, item.kind)
        plan.readers[number << 3 | 2] = _packed_reader(name, item.kind)
        plan.writers.append((number, name, _repeated(_scalar_writer(number, item.kind)), b""))
    else:
        of_object = item.kind == "object"
        reader = _objects_reader(name, item.ref) if of_object else _list_reader(name, _decoder(item))
        plan.readers[number << 3 | 2] = reader
        plan.writers.append((number, name, _repeated(_block_writer(number, _encoder(item))), b""))


def _write(out: bytearray, obj: Any, plan: _Plan) -> None:
    for _, name, write, absent in plan.writers:
        value = obj.get(name) if name else obj
        if value is None:
            out += absent
        elif write is not None:
            write(out, value)


def _read(data: bytes, at: int, end: int, plan: _Plan, out: Object) -> Object:
    readers = plan.readers
    while at < end:
        tag = data[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = read_varint(data, at, end)
        reader = readers.get(tag)
        at = reader(data, at, end, out) if reader else skip(data, at, end, tag)
    return out


def _blocks(data: bytes) -> dict[int, bytes]:
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


# Values of one wire type: varints and doubles, alone or repeated.


def _take(kind: str) -> Callable[[bytes, int, int], tuple[Any, int]]:
    if kind == "string":

        def take_string(data: bytes, at: int, end: int) -> tuple[Any, int]:
            start, stop = read_block(data, at, end)
            return str(data[start:stop], "utf-8"), stop

        return take_string
    if kind == "double":

        def take_double(data: bytes, at: int, end: int) -> tuple[Any, int]:
            if at + 8 > end:
                raise Malformed("unexpected EOF")
            return struct.unpack_from("<d", data, at)[0], at + 8

        return take_double
    converters: dict[str, Callable[[int], Any]] = {"bool": bool, "int32": _signed32, "int64": _signed64}
    convert = converters[kind]

    def take_integer(data: bytes, at: int, end: int) -> tuple[Any, int]:
        value, at = read_varint(data, at, end)
        return convert(value), at

    return take_integer


def _signed64(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value


def _string_reader(name: str) -> Reader:
    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        out[name] = str(data[start:stop], "utf-8")
        return stop

    return read


def _scalar_reader(name: str, kind: str) -> Reader:
    if kind == "string":
        return _string_reader(name)
    take = _take(kind)

    def read(data: bytes, at: int, end: int, out: Object) -> int:
        out[name], at = take(data, at, end)
        return at

    return read


def _repeated_reader(name: str, kind: str) -> Reader:
    take = _take(kind)

    def read(data: bytes, at: int, end: int, out: Object) -> int:
        value, at = take(data, at, end)
        out.setdefault(name, []).append(value)
        return at

    return read


def _packed_reader(name: str, kind: str) -> Reader:
    take = _take(kind)

    def read(data: bytes, at: int, end: int, out: Object) -> int:
        at, stop = read_block(data, at, end)
        while at < stop:
            value, at = take(data, at, stop)
            out.setdefault(name, []).append(value)
        return at

    return read


def _scalar_writer(number: int, kind: str) -> Writer:
    tag = field_tag(number, _SCALARS[kind])
    if kind == "string":

        def write_string(out: bytearray, value: Any) -> None:
            text = value.encode()
            out += tag + varint(len(text)) + text

        return write_string

    def write(out: bytearray, value: Any) -> None:
        out += tag
        out += struct.pack("<d", value) if kind == "double" else varint(int(value))

    return write


def _repeated(write: Writer) -> Writer:
    def write_all(out: bytearray, values: Any) -> None:
        for value in values:
            write(out, value)

    return write_all


# Values that are a block of bytes: messages, byte strings, and what Kubernetes makes of messages.


def _message_reader(name: str, decoder: Decoder) -> Reader:
    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        out[name] = decoder(data[start:stop])
        return stop

    return read


def _object_reader(name: str, ref: str) -> Reader:
    """As _message_reader, without a copy: most of what is read are nested objects."""

    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        out[name] = _read(data, start, stop, _plan(ref), {})
        return stop

    return read


def _objects_reader(name: str, ref: str) -> Reader:
    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        out.setdefault(name, []).append(_read(data, start, stop, _plan(ref), {}))
        return stop

    return read


def _list_reader(name: str, decoder: Decoder) -> Reader:
    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        out.setdefault(name, []).append(decoder(data[start:stop]))
        return stop

    return read


def _map_reader(name: str, item: Field) -> Reader:
    entry = _plan_of([Field(name="key", kind="string", number=1), _numbered(item, "value", 2)], 0)

    def read(data: bytes, at: int, end: int, out: Object) -> int:
        start, stop = read_block(data, at, end)
        pair = _read(data, start, stop, entry, {})
        out.setdefault(name, {})[pair.get("key", "")] = pair.get("value")
        return stop

    return read


def _map_writer(number: int, item: Field) -> Writer:
    entry = _plan_of([Field(name="key", kind="string", number=1), _numbered(item, "value", 2)], 0)

    def write(out: bytearray, value: Any) -> None:
        for key in sorted(value):
            pair = bytearray()
            _write(pair, {"key": key, "value": value[key]}, entry)
            out += block(number, pair)

    return write


def _numbered(item: Field, name: str, number: int) -> Field:
    return Field(name=name, kind=item.kind, ref=item.ref, item=item.item, number=number)


def _block_writer(number: int, encoder: Encoder) -> Writer:
    tag = field_tag(number, 2)

    def write(out: bytearray, value: Any) -> None:
        data = encoder(value)
        out += tag + varint(len(data)) + data

    return write


def _wrapped_decoder(item: Field) -> Decoder:
    """ExtraValue and Verbs: a message whose field 1 is the list."""
    plan = _plan_of([Field(name="items", kind="list", item=item, number=1)], 0)
    return lambda data: _read(data, 0, len(data), plan, {}).get("items", [])


def _wrapped_encoder(item: Field) -> Encoder:
    plan = _plan_of([Field(name="items", kind="list", item=item, number=1)], 0)

    def encode_items(value: Any) -> bytes:
        out = bytearray()
        _write(out, {"items": value}, plan)
        return bytes(out)

    return encode_items


def _decoder(field: Field) -> Decoder:
    match field.kind:
        case "object":
            return lambda data: _read(data, 0, len(data), _plan(field.ref), {})
        case "raw" if "JSONSchemaPropsOr" in field.ref:
            return _union_decoder(field.ref)
        case "raw":
            return _raw_decoder
        case "string":
            return bytes.decode
        case "bytes":
            return lambda data: base64.b64encode(data).decode()
    return wellknown.DECODERS[field.kind]


def _encoder(field: Field) -> Encoder:
    match field.kind:
        case "object":
            return lambda value: _encoded(value, _plan(field.ref))
        case "raw" if "JSONSchemaPropsOr" in field.ref:
            return _union_encoder(field.ref)
        case "raw":
            return lambda value: block(1, orjson.dumps(value))
        case "string":
            return str.encode
        case "bytes":
            return base64.b64decode
    return wellknown.ENCODERS[field.kind]


def _encoded(value: Any, plan: _Plan) -> bytes:
    out = bytearray()
    _write(out, value, plan)
    return bytes(out)


def _raw_decoder(data: bytes) -> Any:
    """RawExtension, FieldsV1, JSON: JSON in a message; of other kinds the object may be protobuf itself."""
    raw = _blocks(data).get(1, b"")
    if raw.startswith(MAGIC):
        return decode_object(raw)
    return orjson.loads(raw) if raw else None


_SCHEMA_LIST = Field(name="list", kind="list", item=Field(kind="string"), number=2)


@cache
def _union_plan(ref: str) -> _Plan:
    """JSONSchemaPropsOrArray, OrBool, OrStringArray."""
    props = Field(name="schema", kind="object", ref=ref.rpartition("Or")[0], pointer=True)
    if ref.endswith("OrBool"):
        allows = Field(name="allows", kind="bool", number=1)
        return _plan_of([allows, _numbered_pointer(props, 2)], 0)
    if ref.endswith("OrStringArray"):
        return _plan_of([_numbered_pointer(props, 1), _SCHEMA_LIST], 0)
    many = Field(name="list", kind="list", item=Field(kind="object", ref=props.ref), number=2)
    return _plan_of([_numbered_pointer(props, 1), many], 0)


def _numbered_pointer(field: Field, number: int) -> Field:
    return msgspec.structs.replace(field, number=number)


def _union_decoder(ref: str) -> Decoder:
    def decode_union(data: bytes) -> Any:
        found = _read(data, 0, len(data), _union_plan(ref), {})
        if "schema" in found:
            return found["schema"]
        return found.get("allows", False) if ref.endswith("OrBool") else found.get("list", [])

    return decode_union


def _union_encoder(ref: str) -> Encoder:
    def encode_union(value: Any) -> bytes:
        if isinstance(value, dict):
            parts = {"allows": True, "schema": value}
        else:
            parts = {"allows": value} if isinstance(value, bool) else {"list": value}
        return _encoded(parts, _union_plan(ref))

    return encode_union
