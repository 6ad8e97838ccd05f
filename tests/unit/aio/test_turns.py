"""Bulk work takes turns: whatever is ready runs between two of them."""

import asyncio
from itertools import pairwise

from pybernetes.aio.turns import Turns


async def test_short_work_goes_on_between_any_two_turns_however_many_wait():
    turns, order = Turns(), []

    async def bulk(name):
        for _ in range(3):
            await turns.take()
            order.append(name)

    async def short():
        while not lists.done():
            order.append("short")
            await asyncio.sleep(0)

    lists = asyncio.gather(*(bulk(name) for name in "abcd"))
    await asyncio.gather(lists, short())
    slices = [at for at, name in enumerate(order) if name != "short"]
    assert all("short" in order[before:after] for before, after in pairwise(slices))


async def test_who_comes_alone_need_not_wait_and_who_comes_again_waits_for_the_loop():
    turns, order = Turns(), []
    asyncio.get_running_loop().call_soon(order.append, "loop")
    await turns.take()
    order.append("first")
    await turns.take()
    order.append("second")
    assert order == ["first", "loop", "second"]


async def test_who_waits_longest_goes_first():
    turns, order = Turns(), []

    async def bulk(name):
        for _ in range(3):
            await turns.take()
            order.append(name)

    await asyncio.gather(*(bulk(name) for name in "abc"))
    assert "".join(order) == "a" + "abcabc" + "bc"  # the first need not wait


async def test_a_worker_that_gives_up_holds_nobody_up():
    turns = Turns()
    tasks = [asyncio.create_task(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(tasks[0], *tasks[2:])
    assert turns.taken == 3
    await turns.take()
    assert turns.taken == 4
