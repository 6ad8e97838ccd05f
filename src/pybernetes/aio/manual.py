"""Time that moves by hand, over real sockets: a loop whose timers wait for advance(), and the Clock that reads it.

simulation.py is the other half: there time jumps by itself, and nothing outside of the process takes part.
"""

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock

PATIENCE = 5.0
"""Real seconds that a step waits at most for what comes in or goes out half: a peer may have stopped in its middle."""


class _WaitingSelector(selectors.DefaultSelector):
    """The real selector; where it would wait for a timer, the loop says how time goes on."""

    loop: "ManualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        wait = self.loop.idle(timeout)
        return super().select(wait) if wait != 0 else []


class ManualLoop(asyncio.SelectorEventLoop):
    """Its time stands still but for advance(). `busy` says whether something is under way that is not to be overtaken."""

    def __init__(self, busy: Callable[[], bool] = lambda: False) -> None:
        self.busy = busy
        self._now = 0.0
        self._target: float | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._working = 0
        self._turn = asyncio.Lock()
        self._patience = 0.0
        self._real = SystemClock()
        selector = _WaitingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]  # mypy knows no *args of a TypeVarTuple here
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """As any loop's; time does not pass before the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._worked)
        return future

    async def advance(self, seconds: float) -> None:
        """Moves time on, from timer to timer; at each, everything that is to do is done before the next.

        Returns when all that was due is done and nothing is under way. Called in this loop.
        """
        async with self._turn:
            self._arrived = self.create_future()
            self._target = self._now + seconds
            self._patience = 0.0
            try:
                await self._arrived
            finally:
                self._target = self._arrived = None

    def idle(self, timeout: float | None) -> float | None:
        """Nothing is to do until a timer after `timeout` seconds: the real seconds to wait for sockets; 0: time has moved."""
        if self._target is None or self._arrived is None or self._working:
            return None  # whatever comes wakes the selector
        if self.busy():
            now = self._real.monotonic()
            self._patience = self._patience or now + PATIENCE
            if now < self._patience:
                return self._patience - now
        self._patience = 0.0
        if self._now < self._target:
            due = self._target if timeout is None else self._now + timeout
            self._now = min(due, self._target)
        elif not self._arrived.done():  # timers of this very moment have been
            self._arrived.set_result(None)
        return 0

    def _worked(self, future: asyncio.Future[Any]) -> None:
        self._working -= 1


class ManualClock(SimulatedClock):
    """Clock of a ManualLoop. Wall time begins with the machine's: certificates are checked by that one."""

    def __init__(self, loop: ManualLoop, seed: int | None = None) -> None:
        super().__init__(loop, seed, SystemClock().now())
