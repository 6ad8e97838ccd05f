"""protobuf messages of containerd's own services by hand: compiled ones would be a dependency of 200 KB for few fields."""

from collections.abc import Iterator

from pybernetes.wire.codecs.varint import block, field_tag, read_block, read_varint, skip, varint


def text(number: int, value: str) -> bytes:
    """A string field."""
    return block(number, value.encode())


def number(number: int, value: int) -> bytes:
    """A field that is a number of any size, or a truth."""
    return field_tag(number, 0) + varint(value)


def fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message by number: bytes, or numbers as varints; of fixed size are none. Raises Malformed."""
    at, end = 0, len(data)
    while at < end:
        tag, at = read_varint(data, at, end)
        if tag & 7 == 2:
            begin, at = read_block(data, at, end)
            yield tag >> 3, data[begin:at]
        elif tag & 7 == 0:
            number, at = read_varint(data, at, end)
            yield tag >> 3, number
        else:
            at = skip(data, at, end, tag)


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """The fields that are bytes."""
    return [(number, value) for number, value in fields(data) if isinstance(value, bytes)]
