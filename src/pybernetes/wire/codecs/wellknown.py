"""Quantity, IntOrString, Time and MicroTime: scalars in JSON, messages in protobuf. messages.py calls these."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pybernetes.api import quantity
from pybernetes.wire.codecs.varint import Malformed, block, field_tag, read_block, read_varint, skip, varint

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = datetime(1, 1, 1, tzinfo=UTC)


def _scalars(data: bytes, text: int = 0) -> dict[int, Any]:
    """Number to integer of a small message, to bytes of the one field that is a text."""
    found: dict[int, Any] = {}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at, len(data))
        number = tag >> 3
        if tag & 7 == 0 and number != text:
            value, at = read_varint(data, at, len(data))
            found[number] = value - 2**64 if value >= 2**63 else value
        elif tag & 7 == 2 and number == text:
            start, at = read_block(data, at, len(data))
            found[number] = data[start:at]
        else:
            at = skip(data, at, len(data), tag)
    return found


def encode_quantity(value: str) -> bytes:
    return block(1, value.encode())


@lru_cache(maxsize=4096)
def decode_quantity(data: bytes) -> str:
    """The canonical text. Raises ValueError."""
    text = str(_scalars(data, 1).get(1, b""), "utf-8") or "0"
    return quantity.canonical(text.strip())


def encode_int_or_string(value: int | str) -> bytes:
    """{type 1: 0 int, 1 string; intVal 2; strVal 3}, all of them written."""
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + block(3, value.encode())
    return b"\x08\x00\x10" + varint(value) + b"\x1a\x00"


@lru_cache(maxsize=4096)
def decode_int_or_string(data: bytes) -> int | str:
    fields = _scalars(data, 3)
    return str(fields.get(3, b""), "utf-8") if fields.get(1) else int(fields.get(2, 0))


@lru_cache(maxsize=4096)
def encode_time(value: str) -> bytes:
    """{seconds 1, nanos 2}; the zero time is an empty message."""
    since = datetime.fromisoformat(value[:-1]).replace(tzinfo=UTC) - _EPOCH
    seconds = since.days * 86400 + since.seconds
    return field_tag(1, 0) + varint(seconds) + field_tag(2, 0) + varint(since.microseconds * 1000)


def _moment(data: bytes) -> datetime | None:
    """The time of a message; an empty one is the zero time."""
    fields = _scalars(data)
    try:
        since = timedelta(seconds=fields.get(1, 0), microseconds=fields.get(2, 0) // 1000)
        return _EPOCH + since if data else None
    except OverflowError:
        raise Malformed(f"time of {fields.get(1, 0)} seconds is out of range") from None


@lru_cache(maxsize=4096)
def decode_time(data: bytes) -> str | None:
    found = _moment(data)
    return f"{found.isoformat()[:19]}Z" if found and found.replace(microsecond=0) != _ZERO else None


@lru_cache(maxsize=4096)
def decode_micro_time(data: bytes) -> str | None:
    found = _moment(data)
    return f"{found.isoformat(timespec='microseconds')[:26]}Z" if found and found != _ZERO else None
