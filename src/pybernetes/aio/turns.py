"""Turns: bulk work in small pieces, one piece a turn of the loop, so that short work goes on between any two of them.

A piece waits with `take()`. However many wait, the loop polls its sockets and runs all that is ready before the next
one has its turn; who waits longest goes first, so bulk workers share what is left evenly.
"""

import asyncio
from collections import deque


class Turns:
    """The queue of one loop's bulk work."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken_now = False  # one has had its turn since the loop polled
        self.taken = 0
        """How many pieces have had their turn."""

    async def take(self) -> None:
        """Waits for a turn: the caller's piece of work follows, without waiting for anything in its middle.

        Who comes when nobody has had one since the loop polled need not wait.
        """
        loop = asyncio.get_running_loop()
        if not self._taken_now:
            self._taken_now = True
            self.taken += 1
            loop.call_soon(self._hand_out, loop)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _hand_out(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its worker has given up
                self.taken += 1
                turn.set_result(None)
                loop.call_soon(self._hand_out, loop)
                return
        self._taken_now = False
