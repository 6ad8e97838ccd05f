"""Reads and follows container logs: GET /containerLogs/<namespace>/<pod>/<container>. log_format.py has the format.

A followed log ends when its container has and all is read, or when its reader goes away (the server cancels).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from pybernetes.aio.clock import Clock, parse_time
from pybernetes.api.errors import BadRequest
from pybernetes.kubelet.server.log_format import LogLine, parse, tail_offset

_CHUNK = 256 * 1024
_POLL_FIRST, _POLL_MOST = 0.05, 0.5


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
    """From query parameters. Raises BadRequest."""

    def first(name: str) -> str:
        return query.get(name, [""])[0]

    def number(name: str) -> int | None:
        text = first(name)
        if not text:
            return None
        if not text.lstrip("-").isdigit():
            raise BadRequest(f'{name}: invalid value "{text}"')
        return int(text)

    seconds, since = number("sinceSeconds"), None
    if seconds is not None:
        since = now - seconds
    elif first("sinceTime"):
        try:
            since = parse_time(first("sinceTime"))
        except ValueError:
            raise BadRequest(f'sinceTime: invalid value "{first("sinceTime")}"') from None
    stream = first("stream")
    return LogOptions(
        follow=first("follow").lower() in ("1", "t", "true"),
        previous=first("previous").lower() in ("1", "t", "true"),
        since=since,
        timestamps=first("timestamps").lower() in ("1", "t", "true"),
        tail=number("tailLines"),
        limit=number("limitBytes"),
        stream=b"" if stream in ("", "All") else stream.lower().encode(),
    )


async def read_log(file: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The text of a log in chunks; `running` says whether more can still come. A missing file is an empty log."""
    left = options.limit
    writer = _Writer(options)
    async for data in _follow(file, options, clock, running):
        text = writer.render(data)
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


async def _follow(file: Path, options: LogOptions, clock: Clock, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Whole lines of the file as they are written, over rotations."""
    opened = await asyncio.to_thread(_open, file, options.tail)
    delay = _POLL_FIRST
    rest = b""
    try:
        while True:
            alive = running()  # before reading: what is written before the end is read after it
            data = await asyncio.to_thread(opened.read, _CHUNK) if opened is not None else b""
            if data:
                whole, newline, rest = (rest + data).rpartition(b"\n")
                if whole or newline:
                    yield whole + newline
                delay = _POLL_FIRST
                continue
            if not options.follow:
                break
            fresh = await asyncio.to_thread(_rotated, file, opened)
            if fresh is not None:
                if opened is not None:
                    opened.close()
                opened = fresh
                continue
            if not alive:
                break
            await clock.sleep(delay)
            delay = min(_POLL_MOST, 2 * delay)
        if rest:
            yield rest
    finally:
        if opened is not None:
            opened.close()


def _open(file: Path, tail: int | None) -> BinaryIO | None:
    try:
        offset = tail_offset(file, tail) if tail is not None else 0
        opened = file.open("rb")
    except FileNotFoundError:
        return None
    opened.seek(offset)
    return opened


def _rotated(file: Path, opened: BinaryIO | None) -> BinaryIO | None:
    """The new file of that name, once the one that is open is another."""
    try:
        fresh = file.open("rb")
    except FileNotFoundError:
        return None
    if opened is not None and os.path.sameopenfile(fresh.fileno(), opened.fileno()):
        fresh.close()
        return None
    return fresh


class _Writer:
    """Renders records: streams chosen, times compared, parts of long lines joined."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._within: dict[bytes, bool] = {}
        self._since = options.since

    def render(self, lines: bytes) -> bytes:
        """The text of whole lines of the file."""
        return b"".join(self._line(line) for line in lines.splitlines(keepends=True))

    def _line(self, line: bytes) -> bytes:
        record = parse(line)
        if record is None or (self._options.stream and record.stream != self._options.stream):
            return b""
        if self._since is not None:
            if _seconds(record) < self._since:
                return b""
            self._since = None  # lines are in order: the rest is newer
        begins = not self._within.get(record.stream, False)
        self._within[record.stream] = record.partial
        prefix = record.time + b" " if self._options.timestamps and begins else b""
        return prefix + record.text


def _seconds(record: LogLine) -> float:
    """Seconds of a time with nanoseconds, which fromisoformat() of Python 3.11 cuts to six digits itself."""
    try:
        return parse_time(record.time.decode())
    except ValueError:
        return 0.0
