"""Pause: units of work of several loops that can be held up together, so that the world may be changed between them.

A unit is one decision and what it writes: a controller's reconcile, a scheduler's cycle. Nothing here waits for units that
are under way: whoever holds looks at `under_way` and decides how long to be patient.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Pause:
    """`async with pause:` is a unit of work. It costs nothing while nobody holds."""

    def __init__(self) -> None:
        self.under_way = 0
        """Units that have begun and not ended."""
        self._holders = 0
        self._released = asyncio.Event()

    async def __aenter__(self) -> None:
        while self._holders:
            await self._released.wait()
        self.under_way += 1

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """A unit that follows from one that has begun: it is not held up. end() ends it."""
        self.under_way += 1

    def end(self) -> None:
        """Ends what begin() began."""
        self.under_way -= 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A unit that has begun waits for others: it is not under way meanwhile."""
        self.end()
        try:
            yield
        finally:
            self.begin()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Meanwhile no unit begins; those under way go on."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._released.set()  # wakes those who wait
                self._released.clear()
