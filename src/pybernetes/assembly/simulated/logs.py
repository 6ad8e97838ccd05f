"""Logs of simulated containers, in memory, in CRI's format. kubelet_api.py serves them; the kubelet's reader renders them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from pybernetes.aio.clock import Clock, rfc3339_nano
from pybernetes.kubelet.server.logs import LogOptions, LogText

_MOST = 10 * 2**20
"""Bytes of one run that are kept, as containerLogMaxSize; the older half goes."""
_LINES, _LAST = 80, 2048
"""What of a log is a termination message: lines, bytes (terminationMessagePolicy FallbackToLogsOnError)."""


class RunLog:
    """What one run of a container has written."""

    __slots__ = ("_lines", "_size", "_waiting", "dropped")

    def __init__(self) -> None:
        self.dropped = 0
        """So many lines were there before those that are left."""
        self._lines: list[bytes] = []
        self._size = 0
        self._waiting: list[asyncio.Future[None]] = []

    def write(self, text: str, stream: str, now: float) -> None:
        """Lines; the last one ends with the text. `stream` is stdout or stderr."""
        stamp = f"{rfc3339_nano(now)} {stream} F ".encode()
        for line in text.removesuffix("\n").split("\n"):
            self._lines.append(stamp + line.encode() + b"\n")
            self._size += len(self._lines[-1])
        if self._size > _MOST:
            half = len(self._lines) // 2
            self.dropped += half
            del self._lines[:half]
            self._size = sum(map(len, self._lines))
        self.wake()

    def wake(self) -> None:
        """Whoever follows it looks again: there is more, or the end has come."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def last_words(self) -> str:
        """Of a run that failed without a message of its own."""
        text = LogText(LogOptions()).render(b"".join(self._lines[-_LINES:]))
        return text[-_LAST:].decode(errors="replace")

    async def read(self, options: LogOptions, running: Callable[[], bool]) -> AsyncIterator[bytes]:
        """As GET /containerLogs shows it; `running` says whether more can still come."""
        left, text = options.limit, LogText(options)
        at = self.dropped + (0 if options.tail is None else max(0, len(self._lines) - options.tail))
        while left != 0:
            alive = running()  # before reading: what is written before the end is read after it
            at = max(at, self.dropped)
            found = text.render(b"".join(self._lines[at - self.dropped :]))
            at = self.dropped + len(self._lines)
            if left is not None:
                found = found[:left]
                left -= len(found)
            if found:
                yield found
            if not options.follow or not alive:
                return
            if at == self.dropped + len(self._lines) and running():
                await self._more()

    async def _more(self) -> None:
        one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(one)
        await one


class Logs:
    """Of one node's containers, by the id of the run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[str, RunLog] = {}

    def of(self, id: str) -> RunLog:
        """Made where there is none."""
        return self._runs.setdefault(id, RunLog())

    def write(self, id: str, text: str, stream: str = "stdout") -> None:
        """Adds lines to a run's log."""
        self.of(id).write(text, stream, self._clock.now())

    def read(self, id: str, options: LogOptions, running: Callable[[], bool]) -> AsyncIterator[bytes]:
        """What a run has written; nothing is no error."""
        return self.of(id).read(options, running)

    def last_words(self, id: str) -> str:
        """The end of a run's log."""
        log = self._runs.get(id)
        return log.last_words() if log is not None else ""

    def ended(self, id: str) -> None:
        """Nothing is written to it any more."""
        if id in self._runs:
            self._runs[id].wake()

    def keep(self, ids: Iterable[str]) -> None:
        """All others are gone."""
        kept = set(ids)
        for id in [id for id in self._runs if id not in kept]:
            self.remove(id)

    def remove(self, id: str) -> None:
        """It is gone; who follows it has read all there was."""
        log = self._runs.pop(id, None)
        if log is not None:
            log.wake()
