"""Work queue: keys that wait to be worked on, each once. controllers.runtime takes from it; so may other loops.

As client-go's: a key added many times waits once; a key added while it is worked on comes back afterwards and is never
handed out twice at a time; failures come back later and later.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from pybernetes.aio.clock import Clock
from pybernetes.rules.backoff import exponential
from pybernetes.wire.metrics import Histogram
from pybernetes.wire.metrics import exponential as bounds

K = TypeVar("K", bound=Hashable)

BASE = 0.005
"""Seconds before a key's first retry; every failure doubles it (client-go's numbers)."""
MOST = 1000.0
"""Seconds before a retry at most."""


_SECONDS = bounds(1e-8, 10, 12)
"""Bounds of how long keys wait and are worked on; client-go's."""


class QueueMetrics:
    """What the queues of one name count, for workqueue_* of /metrics; controllers/_metrics.py shows it."""

    __slots__ = ("adds", "retries", "waited", "worked")

    def __init__(self) -> None:
        self.adds = self.retries = 0
        self.waited, self.worked = Histogram(_SECONDS), Histogram(_SECONDS)
        """Seconds from a key's coming to its being taken, and from there to its end."""


class WorkQueue(Generic[K]):
    """Keys in order of arrival. Take with get(), then always done(). Runs in one event loop."""

    def __init__(
        self, clock: Clock, *, base: float = BASE, most: float = MOST, metrics: QueueMetrics | None = None
    ) -> None:
        self.metrics = metrics or QueueMetrics()
        self._clock = clock
        self._base, self._most = base, most
        self._waiting: deque[K] = deque()
        self._dirty: dict[K, float] = {}
        """Since when each waits."""
        self._working: dict[K, float] = {}
        """Since when each is worked on."""
        self._failures: dict[K, int] = {}
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._count = 0
        self._wake = asyncio.Event()
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Keys that could be taken now, or that come back after their work."""
        return len(self._dirty)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked on; delayed keys may be there."""
        return not self._dirty and not self._working

    def unfinished(self) -> list[float]:
        """Seconds that the keys which are worked on have taken so far."""
        now = self._clock.monotonic()
        return [now - began for began in self._working.values()]

    def add(self, key: K) -> None:
        """Adds a key, unless it waits already."""
        if key in self._dirty:
            return
        self._dirty[key] = self._clock.monotonic()
        self.metrics.adds += 1
        if key not in self._working:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Adds a key later; of several times for one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._delayed, (due, self._count, key))
        self._wake.set()

    def retry(self, key: K) -> float:
        """Adds a key that failed after its next delay; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.metrics.retries += 1
        delay = exponential(failures, self._base, self._most)
        self.add_after(key, delay)
        return delay

    def failures(self, key: K) -> int:
        """How often a key failed since it last went well."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """The key went well: its next failure counts as the first."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; waits for one. It is worked on until done()."""
        while not self._waiting:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled() and self._waiting:
                    self._wake_one()  # the key meant for us goes to another
                raise
            finally:
                if getter in self._getters:
                    self._getters.remove(getter)
        key = self._waiting.popleft()
        now = self._working[key] = self._clock.monotonic()
        self.metrics.waited.add(now - self._dirty.pop(key))
        return key

    def done(self, key: K) -> None:
        """The work on a key ended; if it was added meanwhile, it waits again."""
        self.metrics.worked.add(self._clock.monotonic() - self._working.pop(key))
        if key in self._dirty:
            self._push(key)

    async def run(self) -> None:
        """Brings delayed keys back when they are due. Runs until cancelled."""
        while True:
            now = self._clock.monotonic()
            while self._delayed and self._delayed[0][0] <= now:
                due, _, key = heapq.heappop(self._delayed)
                if self._due.get(key) == due:
                    del self._due[key]
                    self.add(key)
            self._wake.clear()
            if not self._delayed:
                await self._wake.wait()
                continue
            try:
                async with asyncio.timeout(self._delayed[0][0] - now):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _push(self, key: K) -> None:
        self._waiting.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
