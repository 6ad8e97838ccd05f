"""Units of work that are held up together."""

import asyncio

from pybernetes.aio.pause import Pause
from pybernetes.aio.simulation import run_simulated


def test_no_unit_begins_while_somebody_holds_and_all_go_on_afterwards():
    async def main() -> None:
        pause, done = Pause(), list[int]()

        async def work(number: int) -> None:
            async with pause:
                await asyncio.sleep(1)
                done.append(number)

        first = asyncio.create_task(work(1))
        await asyncio.sleep(0.5)
        with pause.holding():
            later = [asyncio.create_task(work(number)) for number in (2, 3)]
            await asyncio.sleep(10)
            assert (done, pause.under_way) == ([1], 0), "what had begun ends, what comes waits"
            with pause.holding():
                pass
            await asyncio.sleep(10)
            assert done == [1], "somebody still holds"
        await asyncio.gather(first, *later)
        assert sorted(done) == [1, 2, 3]
        assert pause.under_way == 0

    run_simulated(main())


def test_what_follows_from_a_unit_counts_and_is_not_held_up():
    pause = Pause()
    with pause.holding():
        pause.begin()
        assert pause.under_way == 1
        pause.end()
    assert pause.under_way == 0


def test_a_unit_that_is_given_up_while_it_waits_is_forgotten():
    async def main() -> None:
        pause = Pause()

        async def work() -> None:
            async with pause:
                raise AssertionError("it was cancelled")

        with pause.holding():
            task = asyncio.create_task(work())
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert pause.under_way == 0

    run_simulated(main())
