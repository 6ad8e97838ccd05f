"""The executor's own rules; what it does to a machine is tried in tests/node/kubelet."""

import asyncio

import pytest

from pybernetes.kubelet.executor import let_finish


async def test_a_call_that_is_called_off_ends_first():
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        await go.wait()
        ended.set()

    task = asyncio.create_task(let_finish(call()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_call_that_does_not_end_is_called_off_in_the_end():
    begun = asyncio.Event()

    async def call() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(let_finish(call(), patience=0.01))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_error_of_a_call_is_its_callers():
    async def call() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await let_finish(call())
