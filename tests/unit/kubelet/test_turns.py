"""Who goes first where places are few."""

import asyncio

from pybernetes.kubelet.turns import Turns


async def test_the_most_urgent_goes_first_and_nobody_is_forgotten() -> None:
    turns, order = Turns(1), []
    go = asyncio.Event()

    async def work(name: str, urgency: int) -> None:
        async with turns.take(urgency):
            order.append(name)
            await go.wait()

    tasks = [asyncio.create_task(work(n, u)) for n, u in (("first", 9), ("c", 2), ("a", 0), ("b", 1), ("a2", 0))]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["first", "a", "a2", "c"]


async def test_a_place_that_comes_at_the_moment_of_the_end_is_passed_on() -> None:
    turns = Turns(1)

    async def hold(go: asyncio.Event) -> None:
        async with turns.take(0):
            await go.wait()

    go = asyncio.Event()
    holder, waiter = asyncio.create_task(hold(go)), asyncio.create_task(hold(go))
    await asyncio.sleep(0)
    go.set()
    await holder
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    async with asyncio.timeout(1), turns.take(0):
        pass
