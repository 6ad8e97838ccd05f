"""The primitives of protobuf's wire: varints, tags, blocks. protobuf.py builds messages of them."""


class Malformed(ValueError):
    """Bytes that are no protobuf message."""


def varint(value: int) -> bytes:
    """A varint; negative numbers take ten bytes, as int32 and int64 do."""
    if 0 <= value < 0x80:
        return SMALL[value]
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


SMALL = [bytes((n,)) for n in range(0x80)]
"""The varints of a byte."""


def field_tag(number: int, wire_type: int) -> bytes:
    """What stands before a value."""
    return varint(number << 3 | wire_type)


def block(number: int, data: bytes | bytearray) -> bytes:
    """A length-delimited field."""
    return b"".join((varint(number << 3 | 2), varint(len(data)), data))


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends). Raises Malformed."""
    result = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift >= 64:
            raise Malformed("proto: integer overflow")
    raise Malformed("unexpected EOF")


def read_block(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(where a block's content begins, where it ends). Raises Malformed."""
    if at < end and data[at] < 0x80:
        size, at = data[at], at + 1
    else:
        size, at = read_varint(data, at, end)
    stop = at + size
    if stop > end:
        raise Malformed("unexpected EOF")
    return at, stop


def skip(data: bytes, at: int, end: int, tag: int) -> int:
    """Where the value of an unknown field ends. Raises Malformed."""
    if tag >> 3 == 0:
        raise Malformed(f"proto: illegal tag {tag >> 3} (wire type {tag & 7})")
    match tag & 7:
        case 0:
            return read_varint(data, at, end)[1]
        case 1:
            stop = at + 8
        case 2:
            return read_block(data, at, end)[1]
        case 5:
            stop = at + 4
        case other:
            raise Malformed(f"proto: illegal wireType {other}")
    if stop > end:
        raise Malformed("unexpected EOF")
    return stop
