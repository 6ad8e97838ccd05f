"""Quantity, IntOrString, Time and MicroTime: scalars in JSON, messages in protobuf. protobuf.py calls these."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pybernetes.wire.codecs.varint import Malformed, block, field_tag, read_block, read_varint, skip, varint

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _scalars(data: bytes) -> dict[int, Any]:
    """Number to integer or bytes of a small message."""
    found: dict[int, Any] = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at, len(data))
        if tag & 7 == 0:
            value, at = read_varint(data, at, len(data))
            found[tag >> 3] = value - 2**64 if value >= 2**63 else value
        elif tag & 7 == 2:
            start, at = read_block(data, at, len(data))
            found[tag >> 3] = data[start:at]
        else:
            at = skip(data, at, len(data), tag)
    return found


def _encode_quantity(value: Any) -> bytes:
    return block(1, str(value).encode())


def _decode_quantity(data: bytes) -> Any:
    text = _scalars(data).get(1, b"0")
    return str(text, "utf-8") or "0"


def _encode_int_or_string(value: Any) -> bytes:
    """{type 1: 0 int, 1 string; intVal 2; strVal 3}, all of them written."""
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + block(3, value.encode())
    return b"\x08\x00\x10" + varint(value) + b"\x1a\x00"


def _decode_int_or_string(data: bytes) -> Any:
    fields = _scalars(data)
    return str(fields.get(3, b""), "utf-8") if fields.get(1) else fields.get(2, 0)


def _encode_time(value: Any) -> bytes:
    """{seconds 1, nanos 2}; the zero time is an empty message."""
    since = datetime.fromisoformat(value[:-1]).replace(tzinfo=UTC) - _EPOCH
    seconds = since.days * 86400 + since.seconds
    return field_tag(1, 0) + varint(seconds) + field_tag(2, 0) + varint(since.microseconds * 1000)


def _moment(data: bytes) -> tuple[datetime, int] | None:
    if not data:
        return None
    fields = _scalars(data)
    try:
        return _EPOCH + timedelta(seconds=fields.get(1, 0)), fields.get(2, 0) // 1000
    except OverflowError:
        raise Malformed(f"time of {fields.get(1, 0)} seconds is out of range") from None


def _decode_time(data: bytes) -> Any:
    found = _moment(data)
    return found and f"{found[0].isoformat()[:19]}Z"


def _decode_micro_time(data: bytes) -> Any:
    found = _moment(data)
    return found and f"{found[0].isoformat()[:19]}.{found[1]:06}Z"


ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "quantity": _encode_quantity,
    "intorstring": _encode_int_or_string,
    "time": _encode_time,
    "microtime": _encode_time,
}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "quantity": _decode_quantity,
    "intorstring": _decode_int_or_string,
    "time": _decode_time,
    "microtime": _decode_micro_time,
}
