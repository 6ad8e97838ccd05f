"""Just enough protobuf to take messages apart, written from the wire format: not the server's own codec."""

from collections.abc import Iterator
from http.client import HTTPResponse

MAGIC = b"k8s\x00"


def fields(data: bytes) -> dict[int, list[bytes | int]]:
    """The fields of a message by number; messages and strings as bytes."""
    found: dict[int, list[bytes | int]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: bytes | int
        if tag & 7 == 0:
            value, at = _varint(data, at)
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            assert at + size <= len(data), "a field ends after its message"
            value, at = data[at : at + size], at + size
        else:
            size = {1: 8, 5: 4}[tag & 7]
            value, at = data[at : at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def text(message: dict[int, list[bytes | int]], number: int) -> str:
    """A string field; empty where it is missing."""
    value = message.get(number, [b""])[0]
    assert isinstance(value, bytes)
    return value.decode()


def inner(message: dict[int, list[bytes | int]], number: int) -> dict[int, list[bytes | int]]:
    """A field that is a message."""
    value = message.get(number, [b""])[0]
    assert isinstance(value, bytes)
    return fields(value)


def unwrapped(body: bytes) -> tuple[str, str, bytes]:
    """runtime.Unknown: apiVersion, kind, and the object's message."""
    assert body.startswith(MAGIC), body[:40]
    unknown = fields(body[4:])
    kind = inner(unknown, 1)
    raw = unknown.get(2, [b""])[0]
    assert isinstance(raw, bytes)
    return text(kind, 1), text(kind, 2), raw


def wrapped(api_version: str, kind: str, raw: bytes) -> bytes:
    """The body of a request, as client-go's serializer writes it."""
    type_meta = _block(1, api_version.encode()) + _block(2, kind.encode())
    return MAGIC + _block(1, type_meta) + _block(2, raw) + _block(3, b"") + _block(4, b"")


def events(answer: HTTPResponse) -> Iterator[tuple[str, bytes]]:
    """Type and enveloped object of each frame of a watch."""
    while size := answer.read(4):
        frame = answer.read(int.from_bytes(size, "big"))
        event = fields(frame)
        raw = inner(event, 2)[1][0]
        assert isinstance(raw, bytes)
        yield text(event, 1), raw


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _block(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data
