"""The time limit of requests: nothing is lost of an answer, whether it waits or not."""

import asyncio
from contextlib import suppress

import pytest

from pybernetes.aio.simulation import run_simulated
from pybernetes.apiserver.pipeline import within
from pybernetes.wire.http import Response

ANSWER = Response(200, body=b"x")


async def answer(*waits: float) -> Response:
    for seconds in waits:
        await asyncio.sleep(seconds)
    return ANSWER


async def refuse(*waits: float) -> Response:
    await answer(*waits)
    raise KeyError("gone")


@pytest.mark.parametrize("waits", [(), (0,), (1, 0, 5)])
def test_an_answer_and_a_refusal_arrive_however_often_they_wait(waits: tuple[float, ...]) -> None:
    async def scenario() -> None:
        assert await within(10, answer(*waits)) is ANSWER
        with pytest.raises(KeyError):
            await within(10, refuse(*waits))

    run_simulated(scenario())


@pytest.mark.parametrize("waits", [(11,), (0, 11), (5, 6)])
def test_a_late_answer_is_cancelled_at_the_limit(waits: tuple[float, ...]) -> None:
    ended: list[float] = []

    async def slow() -> Response:
        try:
            return await answer(*waits)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def scenario() -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await within(10, slow())
        assert ended == [began + 10]
        await asyncio.sleep(1)  # nothing of the limit is left on the task

    run_simulated(scenario())


def test_what_handles_its_own_time_limit_may_go_on() -> None:
    async def patient() -> Response:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.sleep(100)
        return await answer(3)

    async def scenario() -> None:
        assert await within(10, patient()) is ANSWER

    run_simulated(scenario())


def test_a_cancelled_request_is_cancelled_and_no_timeout() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(within(10, answer(0, 100)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_simulated(scenario())
