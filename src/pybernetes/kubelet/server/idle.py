"""streamingConnectionIdleTimeout: exec, attach and port-forward end when nothing has come or gone for so long.

Whatever is on the wire counts, also a ping that keeps a connection alive: kubectl's own do, as they do with containerd.
"""

import asyncio
import logging

from pybernetes.aio.clock import Clock
from pybernetes.wire.http import ByteStream, Response, Upgrade

log = logging.getLogger(__name__)


class _Watched:
    """A connection that remembers when something was last read or written."""

    def __init__(self, inner: ByteStream, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.last = clock.monotonic()

    async def read(self) -> bytes:
        data = await self._inner.read()
        self.last = self._clock.monotonic()
        return data

    async def write(self, data: bytes) -> None:
        self.last = self._clock.monotonic()
        await self._inner.write(data)

    async def write_eof(self) -> None:
        await self._inner.write_eof()

    async def close(self) -> None:
        await self._inner.close()


def ends_when_idle(response: Response, seconds: float, clock: Clock) -> Response:
    """The response, whose streams end after so many idle seconds; 0: never. A refusal stays as it is."""
    if response.upgrade is not None and seconds > 0:
        response.upgrade = _bounded(response.upgrade, seconds, clock)
    return response


def _bounded(upgrade: Upgrade, seconds: float, clock: Clock) -> Upgrade:
    async def run(near: ByteStream) -> None:
        watched = _Watched(near, clock)
        work = asyncio.ensure_future(upgrade(watched))
        idle = asyncio.ensure_future(_idle(watched, seconds, clock))
        try:
            await asyncio.wait({work, idle}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                log.info("streams were idle, they end seconds=%g", seconds)
                await near.close()
        finally:
            for task in (work, idle):
                task.cancel()
            await asyncio.wait({work, idle})
        if not work.cancelled():
            work.result()

    return run


async def _idle(watched: _Watched, seconds: float, clock: Clock) -> None:
    """Returns when nothing has happened for so long."""
    while (left := watched.last + seconds - clock.monotonic()) > 0:
        await clock.sleep(left)
