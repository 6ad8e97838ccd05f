"""The CRI log format: `<RFC 3339 time, nanoseconds> <stdout|stderr> <P|F> <text>` a line, P being part of a longer one.

logs.py follows such files; messages.py takes their end.
"""

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

_CHUNK = 64 * 1024


class LogLine(Struct, frozen=True):
    """One record of a log file. `text` has its newline unless it is partial."""

    time: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse(line: bytes) -> LogLine | None:
    """One line of the file, with or without its newline; None for what is no record (a torn write)."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    time, stream, tag, text = parts
    partial = tag.split(b":")[0] == b"P"
    return LogLine(time, stream, partial, text if partial else text + b"\n")


def tail_offset(file: Path, lines: int) -> int:
    """Where the last `lines` lines of the container begin. Blocking.

    Partial records are parts of one line, also of one that its writer has not ended.
    """
    with file.open("rb") as opened:
        opened.seek(0, 2)
        end = at = opened.tell()
        if lines <= 0:
            return end
        found, last = 0, True
        rest = b""  # of a line that begins further ahead
        while at > 0:
            size = min(_CHUNK, at)
            at -= size
            opened.seek(at)
            data = opened.read(size) + rest
            spans = _spans(data, whole=at == 0)
            for start, stop in reversed(spans):
                record = parse(data[start:stop])
                if record is None:
                    continue
                found += last or not record.partial
                last = False
                if found > lines:
                    return at + stop
            rest = data[: spans[0][0]] if spans else data
    return 0


def _spans(data: bytes, *, whole: bool) -> list[tuple[int, int]]:
    """Start and end of each line that is complete in `data`."""
    begin = 0 if whole else data.find(b"\n") + 1 or len(data)
    spans = []
    while begin < len(data):
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end + 1
        spans.append((begin, end))
        begin = end
    return spans


def tail(file: Path, lines: int) -> bytes:
    """The text of the last lines. Blocking. Raises OSError."""
    offset = tail_offset(file, lines)
    with file.open("rb") as opened:
        opened.seek(offset)
        return b"".join(_texts(opened))


def _texts(lines: Iterable[bytes]) -> Iterable[bytes]:
    for line in lines:
        record = parse(line)
        if record is not None:
            yield record.text
