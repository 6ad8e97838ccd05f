"""Paces requests by a token bucket, as client-go's flowcontrol: for whoever sets --kube-api-qps.

Nothing is paced unless somebody asks for it. A client that holds itself back does so whether the server is busy or idle;
API priority and fairness knows, and shares what there is among all.
"""

from pybernetes.aio.clock import Clock
from pybernetes.wire.http import Request, Response, Transport


class Paced:
    """A Transport with so many requests a second, and so many at once after a rest. They go in the order in which they came."""

    def __init__(self, transport: Transport, clock: Clock, qps: float, burst: int) -> None:
        self._send, self._clock = transport, clock
        self._each = 1.0 / qps
        self._ahead = (max(1, burst) - 1) * self._each
        """Seconds of tokens that may be used before they are there."""
        self._due = clock.monotonic()

    async def __call__(self, request: Request) -> Response:
        """Waits for its turn, and sends."""
        now = self._clock.monotonic()
        turn = max(self._due, now)
        self._due = turn + self._each
        wait = turn - self._ahead - now
        if wait > 0:
            await self._clock.sleep(wait)
        return await self._send(request)
