"""What a Guard lets through and what it keeps."""

import asyncio

import pytest

from pybernetes.api.errors import Refused
from pybernetes.client.guard import Guard


async def test_an_error_is_kept_and_the_loop_goes_on() -> None:
    with Guard("here") as guard:
        raise ValueError("x")
    assert isinstance(guard.error, ValueError)


async def test_a_refusal_is_told_in_one_line_and_a_fault_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with Guard("here"):
        raise Refused("not today")
    with Guard("there"):
        raise ValueError("x")
    refused, fault = caplog.records
    assert (refused.getMessage(), refused.exc_info) == ("here: Refused: not today", None)
    assert fault.exc_info


async def test_a_cancellation_that_gather_loses_ends_the_task_all_the_same() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def fails() -> None:
        await gate
        raise OSError("away")

    async def loop_of_a_worker() -> None:
        while True:
            with Guard("observation"):
                await asyncio.gather(fails(), asyncio.Event().wait())
            await asyncio.sleep(0)

    task = asyncio.create_task(loop_of_a_worker())
    await asyncio.sleep(0)
    gate.set_result(None)
    await asyncio.sleep(0)  # the call has failed, and nobody has heard of it yet
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    task.cancel()
    assert done
    with pytest.raises(asyncio.CancelledError):
        await task
