"""application/vnd.kubernetes.protobuf: objects to bytes and back by the tables of api.schema.

`wrap` and `unwrap` are the envelope (`k8s`, a zero byte, runtime.Unknown), messages.py does what is in it. JSON and
protobuf of one object are the same dict. Custom resources have no protobuf form.
"""

import struct
from functools import lru_cache

import msgspec

from pybernetes.api import schema
from pybernetes.api.errors import BadRequest, UnsupportedMediaType
from pybernetes.api.objects import GroupVersionKind, Object, split_api_version
from pybernetes.wire.codecs import messages
from pybernetes.wire.codecs.messages import MAGIC, blocks
from pybernetes.wire.codecs.varint import Malformed, block, field_tag, varint


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
    head, end = envelope(len(raw), api_version, kind)
    return b"".join((head, raw, end))


def enclose(field: bytes, api_version: str, kind: str) -> bytes:
    """As wrap(), of a message that is field 2 already, as the items of lists are."""
    return b"".join((_opening(api_version, kind), field, _CLOSING))


def envelope(size: int, api_version: str, kind: str) -> tuple[bytes, bytes]:
    """What stands before and after a message of that size."""
    return b"".join((_opening(api_version, kind), field_tag(2, 2), varint(size))), _CLOSING


@lru_cache(maxsize=1024)
def _opening(api_version: str, kind: str) -> bytes:
    return MAGIC + block(1, block(1, api_version.encode()) + block(2, kind.encode()))


_CLOSING = b"\x1a\x00\x22\x00"
"""No encoding and no media type of the content: both empty, and there."""


def unwrap(data: bytes) -> Envelope:
    """The envelope of a body. Raises BadRequest."""
    if not data.startswith(MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        fields = blocks(data[len(MAGIC) :])
        type_meta = blocks(fields.get(1, b""))
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
    return bytes(messages.writer(type_name)(obj))


def decode(data: bytes, type_name: str) -> Object:
    """The canonical object of a message without envelope. Raises BadRequest where it is malformed."""
    try:
        return messages.reader(type_name)(data, 0, len(data))
    except (IndexError, struct.error):
        why = "unexpected EOF"
    except (ValueError, RecursionError) as error:
        why = str(error)
    gvk = schema.get(type_name).gvk
    kind = gvk.kind if gvk else type_name.rpartition(".")[2]
    version = gvk.version if gvk else ""
    raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


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
