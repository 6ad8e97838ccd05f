"""Reads and follows container logs: GET /containerLogs/<namespace>/<pod>/<container>. log_format.py has the format.

A followed log ends when its container has and all is read, or when its reader goes away (the server cancels).
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pybernetes.aio.clock import Clock, parse_time, seconds_of
from pybernetes.api.errors import BadRequest, Invalid
from pybernetes.kubelet.server.log_format import parse, tail_offset

_CHUNK = 256 * 1024
_POLL_FIRST, _POLL_MOST = 0.05, 0.5
_ALL = "All"
_DIGITS = re.compile(rb"\.(\d+)")


class LogOptions(Struct, frozen=True):
    """core/v1 PodLogOptions as the kubelet gets them. `since` in seconds since 1970."""

    follow: bool = False
    previous: bool = False
    since: float | None = None
    timestamps: bool = False
    tail: int | None = None
    limit: int | None = None
    stream: bytes = b""
    """`stdout` or `stderr` alone; empty for both."""


def options_of(query: Mapping[str, list[str]], now: float) -> LogOptions:
    """From query parameters, as upstream decodes and validates them. Raises BadRequest, Invalid."""

    def first(name: str) -> str:
        return query.get(name, [""])[0]

    def number(name: str) -> int | None:
        text = first(name)
        if not text:
            return None
        if not text.removeprefix("-").isdecimal():
            raise _undecodable()
        return int(text)

    def flag(name: str) -> bool:
        return name in query and first(name).lower() not in ("0", "false")

    tail, limit, seconds = number("tailLines"), number("limitBytes"), number("sinceSeconds")
    if first("tail"):  # what tailLines was called once
        tail = None if first("tail") == "all" else number("tail")
    try:
        since = parse_time(first("sinceTime")) if first("sinceTime") else None
    except ValueError:
        raise _undecodable() from None
    stream = first("stream") or _ALL
    wrong = (
        (tail is not None and tail < 0)
        or (limit is not None and limit < 1)
        or (seconds is not None and (seconds < 1 or since is not None))
        or stream not in (_ALL, "Stdout", "Stderr")
        or (stream != _ALL and tail is not None)
    )
    if wrong:
        raise Invalid('{"message": "Invalid request."}')
    return LogOptions(
        follow=flag("follow"),
        previous=flag("previous"),
        since=since if seconds is None else now - seconds,
        timestamps=flag("timestamps"),
        tail=tail,
        limit=limit,
        stream=b"" if stream == _ALL else stream.lower().encode(),
    )


def _undecodable() -> BadRequest:
    return BadRequest('{"message": "Unable to decode query."}')


async def read_log(file: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The text of a log in chunks; `running` says whether more can still come. A missing file is an empty log."""
    left = options.limit
    reader = _Reader(file, options)
    delay = _POLL_FIRST
    try:
        while left != 0:
            alive = running()  # before reading: what is written before the end is read after it
            text, found = await asyncio.to_thread(reader.read)
            if left is not None:
                text = text[:left]
                left -= len(text)
            if text:
                yield text
            if found == _CHUNK:
                continue
            if not options.follow or not (found or alive):
                if found or (options.follow and await asyncio.to_thread(reader.rotated)):
                    continue
                break
            # Lines come in one by one: whoever follows them waits for a few, and longer where there are none.
            delay = _POLL_FIRST if found else min(_POLL_MOST, 2 * delay)
            await clock.sleep(delay)
            if not found:
                await asyncio.to_thread(reader.rotated)
        if left != 0 and (text := reader.rest()):
            yield text if left is None else text[:left]
    finally:
        reader.close()


class _Reader:
    """Whole lines of a file as they are written, rendered; over rotations. Blocking."""

    def __init__(self, file: Path, options: LogOptions) -> None:
        self._file = file
        self._writer = LogText(options)
        self._tail = options.tail
        self._opened: BinaryIO | None = None
        self._older: BinaryIO | None = None
        self._rest = b""

    def read(self) -> tuple[bytes, int]:
        """The next text, and of how many bytes it was made; (empty, 0) at the end of what there is."""
        if self._opened is None:
            self._opened = _open(self._file, self._tail)
            self._tail = None
        if self._opened is None:
            return b"", 0
        # What was written to the old file before its writer had the new one comes first.
        data = self._older.read(_CHUNK) if self._older is not None else b""
        if not data:
            self._forget_older()
            data = self._opened.read(_CHUNK)
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        return self._writer.render(whole + newline), len(data)

    def rotated(self) -> bool:
        """Goes on with the new file of that name, once the one that is open is another."""
        try:
            now = self._file.stat()
        except FileNotFoundError:
            return False
        if self._opened is not None and os.path.samestat(now, os.fstat(self._opened.fileno())):
            return False
        self._forget_older()
        self._older, self._opened = self._opened, _open(self._file, None)
        return True

    def rest(self) -> bytes:
        """A last line that its writer did not end."""
        return self._writer.render(self._rest)

    def _forget_older(self) -> None:
        if self._older is not None:
            self._older.close()
            self._older = None

    def close(self) -> None:
        """May be called twice."""
        self._forget_older()
        if self._opened is not None:
            self._opened.close()


def _open(file: Path, tail: int | None) -> BinaryIO | None:
    try:
        offset = tail_offset(file, tail) if tail is not None else 0
        opened = file.open("rb")
    except FileNotFoundError:
        return None
    opened.seek(offset)
    return opened


class LogText:
    """Renders records: streams chosen, times compared, parts of long lines joined."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._within: dict[bytes, bool] = {}
        self._since = options.since

    def render(self, lines: bytes) -> bytes:
        """The text of whole lines of the file."""
        # Not splitlines(), for which a carriage return ends a line, too: progress bars have many in one.
        return b"".join(self._line(line) for line in lines.split(b"\n") if line)

    def _line(self, line: bytes) -> bytes:
        record = parse(line)
        if record is None or (self._options.stream and record.stream != self._options.stream):
            return b""
        if self._since is not None:
            if seconds_of(record.time.decode(errors="replace")) < self._since:
                return b""
            self._since = None  # lines are in order: the rest is newer
        begins = not self._within.get(record.stream, False)
        self._within[record.stream] = record.partial
        prefix = _fixed(record.time) + b" " if self._options.timestamps and begins else b""
        return prefix + record.text


def _fixed(time: bytes) -> bytes:
    """With all nine digits of the second, as upstream shows it: runtimes leave out zeros at the end."""
    second, offset = time[:19], time[19:]
    digits = _DIGITS.match(offset)
    return second + b"." + (digits[1] if digits else b"").ljust(9, b"0") + offset[digits.end() if digits else 0 :]
