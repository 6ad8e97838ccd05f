"""When streams are idle for too long, on virtual time."""

import asyncio

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.kubelet.server.idle import ends_when_idle
from pybernetes.wire.http import ByteStream, Headers, Response


class Wire:
    """A connection whose client says something now and then, until it is closed."""

    def __init__(self, *pauses: float) -> None:
        self._pauses = list(pauses)
        self._closed = asyncio.Event()
        self.closed = False

    async def read(self) -> bytes:
        if self._pauses:
            await asyncio.sleep(self._pauses.pop(0))
            return b"x"
        await self._closed.wait()
        return b""

    async def write(self, data: bytes) -> None:
        assert not self.closed

    async def write_eof(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True
        self._closed.set()


async def _reads(near: ByteStream) -> None:
    while await near.read():
        pass


async def _writes(near: ByteStream) -> None:
    for _ in range(6):
        await asyncio.sleep(8)
        await near.write(b"x")


async def ended_at(wire: Wire, seconds: float, upgrade=_reads, limit: float = 3600.0) -> float | None:
    clock = SimulatedClock(asyncio.get_running_loop())
    response = ends_when_idle(Response(101, Headers(), upgrade=upgrade), seconds, clock)
    began = clock.monotonic()
    try:
        async with asyncio.timeout(limit):
            await response.upgrade(wire)
    except TimeoutError:
        return None
    return clock.monotonic() - began


def test_streams_end_when_nothing_was_read_or_written_for_so_long():
    async def main() -> None:
        wire = Wire(6, 8)
        assert await ended_at(wire, 10) == 24
        assert wire.closed
        assert await ended_at(Wire(), 10, upgrade=_writes) == 48  # it ended by itself

    run_simulated(main())


def test_without_a_limit_streams_stay():
    async def main() -> None:
        assert await ended_at(Wire(), 0) is None

    run_simulated(main())


def test_a_refusal_stays_as_it_is():
    response = Response(404, Headers(), b"no such token")
    assert ends_when_idle(response, 10, clock=None) is response
    assert response.upgrade is None
