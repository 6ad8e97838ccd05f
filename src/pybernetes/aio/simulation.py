"""Virtual time: an event loop that jumps over idle waits, and the Clock that reads it. For tests and simulations."""

import asyncio
import selectors
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from pybernetes.aio.clock import Random

T = TypeVar("T")

EPOCH = 1_767_225_600.0
"""Where simulated wall time begins: 2026-01-01T00:00:00Z."""


TURNS = 1_000_000
"""So many turns of the loop at one moment are taken for work that repeats without waiting: real time would hide it."""


class Stalled(RuntimeError):
    """Time does not go on: nothing is runnable and no timer is set, or something runs again and again without waiting."""


class _JumpingSelector(selectors.BaseSelector):
    """Asks the real selector without waiting; when nothing is ready it moves the loop's time instead."""

    def __init__(self, loop: "SimulatedLoop") -> None:
        self._real = selectors.DefaultSelector()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or timeout == 0 or self._loop.settle():
            self._turns += 1
            if self._turns > TURNS:
                self._turns = 0  # what is left is cancelled next
                raise Stalled(f"time does not go on: {TURNS} turns of the loop at one moment; something never waits")
            return ready
        self._turns = 0
        if timeout is None:
            raise Stalled("simulation stalled: every task waits for something that never happens")
        self._loop.advance(timeout)
        return []

    def register(self, *args: Any, **kwargs: Any) -> selectors.SelectorKey:
        return self._real.register(*args, **kwargs)

    def unregister(self, *args: Any, **kwargs: Any) -> selectors.SelectorKey:
        return self._real.unregister(*args, **kwargs)

    def modify(self, *args: Any, **kwargs: Any) -> selectors.SelectorKey:
        return self._real.modify(*args, **kwargs)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Any:
        return self._real.get_map()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer as soon as nothing is runnable. One thread, no real waiting.

    `seed` is what the chance of clocks on it begins with where they are not told otherwise.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._virtual = 0.0
        self._settling: list[asyncio.Future[None]] = []
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._virtual

    def advance(self, seconds: float) -> None:
        """Moves virtual time on; called by the selector."""
        self._virtual += seconds

    async def settled(self) -> None:
        """Waits until nothing is left to do at this moment: everybody waits for time to pass."""
        done: asyncio.Future[None] = self.create_future()
        self._settling.append(done)
        await done

    def settle(self) -> bool:
        """Tells those who wait for it; called by the selector. Whether there was anybody."""
        waiting, self._settling = self._settling, []
        for done in waiting:
            if not done.done():
                done.set_result(None)
        return any(not done.cancelled() for done in waiting)


class SimulatedClock:
    """Clock of a SimulatedLoop. `seed` repeats a run exactly; None does not."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int | None = 0, start: float = EPOCH) -> None:
        self.random = Random(seed)
        self._loop = loop
        self._start = start
        """The wall clock where the loop's time is zero."""

    def now(self) -> float:
        return self._start + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run_simulated(main: Coroutine[Any, Any, T], seed: int = 0) -> T:
    """asyncio.run() on virtual time."""
    with asyncio.Runner(loop_factory=partial(SimulatedLoop, seed)) as runner:
        return runner.run(main)
