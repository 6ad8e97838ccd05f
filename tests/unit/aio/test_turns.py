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


async def test_who_waits_longest_goes_first():
    turns, order = Turns(), []

    async def bulk(name):
        for _ in range(3):
            await turns.take()
            order.append(name)

    await asyncio.gather(*(bulk(name) for name in "abc"))
    assert "".join(order) == "abcabcabc"


async def test_a_worker_that_gives_up_holds_nobody_up():
    turns = Turns()
    tasks = [asyncio.create_task(turns.take()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.gather(*tasks[1:])
    assert turns.taken == 2
    await turns.take()
    assert turns.taken == 3
