"""Requests by a token bucket: a burst at once, then one after another."""

import asyncio

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.client.pacing import Paced
from pybernetes.wire.http import Request, Response


def times(count: int, qps: float, burst: int, rest: float = 0.0) -> list[float]:
    """When each of so many requests goes out; the second half after a rest."""
    sent: list[float] = []

    async def play() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())

        async def send(request: Request) -> Response:
            sent.append(clock.monotonic() - began)
            return Response(200)

        began = clock.monotonic()
        paced = Paced(send, clock, qps, burst)
        half = count // 2 if rest else count
        await asyncio.gather(*(paced(Request("GET", "/")) for _ in range(half)))
        if rest:
            await clock.sleep(rest)
            await asyncio.gather(*(paced(Request("GET", "/")) for _ in range(count - half)))

    run_simulated(play())
    return [round(one, 6) for one in sent]


def test_a_burst_goes_at_once_and_the_rest_in_time() -> None:
    assert times(6, qps=2, burst=3) == [0, 0, 0, 0.5, 1.0, 1.5]


def test_a_burst_of_one_is_a_steady_pace() -> None:
    assert times(3, qps=4, burst=1) == [0, 0.25, 0.5]


def test_after_a_rest_there_is_a_burst_again_and_no_larger_one() -> None:
    assert times(8, qps=2, burst=2, rest=60) == [0, 0, 0.5, 1.0, 61, 61, 61.5, 62]
