"""Keys that go by themselves after a time: when each is due, on the event loop. Shared by memory.py and sqlite.py.

A running store counts by the loop's clock, which nobody sets: a jump of the wall clock changes nothing. sqlite.py keeps
the wall clock's deadline for the next start; `left()` says what remains of it then.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from pybernetes.store.protocol import Revision

_SLACK = 100
"""A key goes up to this part of its time late, at most a second, so that many go in one batch."""


class Expiry:
    """Calls `due` with the keys whose time has come, each with the revision that was given that time."""

    def __init__(self, due: Callable[[Sequence[tuple[str, Revision]]], None]) -> None:
        self._due = due
        self._heap: list[tuple[float, Revision, str]] = []
        self._newest: dict[str, Revision] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, key: str, revision: Revision, seconds: float) -> None:
        """`key` is due in so many seconds, unless it is added again before."""
        loop = asyncio.get_running_loop()
        slack = min(1.0, max(seconds, 0.001) / _SLACK)
        at = math.ceil((loop.time() + seconds) / slack) * slack
        self._newest[key] = revision
        heappush(self._heap, (at, revision, key))
        if self._timer is None or at < self._timer.when():
            self._arm(loop)

    def remaining(self) -> dict[tuple[str, Revision], float]:
        """Seconds until each key is due, with the revision that was given that time."""
        now = asyncio.get_running_loop().time()
        due = ((key, revision, at) for at, revision, key in self._heap if self._newest.get(key) == revision)
        return {(key, revision): max(0.0, at - now) for key, revision, at in due}

    def close(self) -> None:
        """Nothing is due any more."""
        self._heap.clear()
        self._newest.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._heap[0][0], self._ring, loop) if self._heap else None

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now, found = loop.time(), list[tuple[str, Revision]]()
        while self._heap and self._heap[0][0] <= now:
            _, revision, key = heappop(self._heap)
            if self._newest.get(key) == revision:
                del self._newest[key]
                found.append((key, revision))
        self._arm(loop)
        if found:
            self._due(found)


def left(deadline: float, ttl: float, now: float) -> float:
    """Seconds that a key has yet by the wall clock.

    A clock that was set back gives no key more than its whole time; one set forward takes no more than it jumped.
    """
    return min(max(0.0, deadline - now), ttl)
