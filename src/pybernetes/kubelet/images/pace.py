"""How many pulls at a time and how many a second (serializeImagePulls, maxParallelImagePulls, registryPullQPS and -Burst).

A pull beyond the rate waits for its turn. puller.py takes a place for each pull that really goes to a registry.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pybernetes.aio.clock import Clock


class Pace:
    """`parallel` None and `rate` 0 are no limit."""

    def __init__(self, clock: Clock, parallel: int | None = None, rate: float = 0.0, burst: int = 1) -> None:
        self._clock = clock
        self._places = asyncio.Semaphore(parallel) if parallel else None
        self._rate = rate
        self._burst = max(1, burst)
        self._free_at = 0.0
        """When the bucket would be full again."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One pull."""
        if self._places is None:
            await self._turn()
            yield
            return
        async with self._places:
            await self._turn()
            yield

    async def _turn(self) -> None:
        if self._rate <= 0:
            return
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now) + 1 / self._rate
        await self._clock.sleep(self._free_at - now - self._burst / self._rate)
