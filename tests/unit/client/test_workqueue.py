import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.client.workqueue import WorkQueue


@asynccontextmanager
async def running() -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(SimulatedClock(asyncio.get_running_loop()))
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_key_added_many_times_waits_once():
    async def main() -> None:
        async with running() as queue:
            for key in ("a", "b", "a"):
                queue.add(key)
            assert [await queue.get(), await queue.get()] == ["a", "b"]
            assert len(queue) == 0

    run_simulated(main())


def test_a_key_added_while_worked_on_comes_back_only_after_done():
    async def main() -> None:
        async with running() as queue:
            queue.add("a")
            await queue.get()
            queue.add("a")
            queue.add("b")
            assert await queue.get() == "b"
            queue.done("a")
            assert await queue.get() == "a"

    run_simulated(main())


def test_failures_come_back_later_and_later_until_forgotten():
    async def main() -> None:
        async with running() as queue:
            assert [queue.retry("a") for _ in range(3)] == [0.005, 0.01, 0.02]
            queue.forget("a")
            assert queue.retry("a") == 0.005

    run_simulated(main())


def test_of_several_delays_the_earliest_counts():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with running() as queue:
            queue.add_after("a", 9)
            queue.add_after("a", 3)
            queue.add_after("a", 5)
            await queue.get()
            assert loop.time() == 3
            queue.done("a")
            await asyncio.sleep(20)
            assert len(queue) == 0

    run_simulated(main())


def test_a_cancelled_worker_loses_no_key():
    async def main() -> None:
        async with running() as queue:
            first = asyncio.create_task(queue.get())
            second = asyncio.create_task(queue.get())
            await asyncio.sleep(0)
            queue.add("a")
            first.cancel()
            assert await second == "a"

    run_simulated(main())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=20), st.integers(1, 4))
def test_no_key_is_ever_worked_on_twice_at_a_time_and_none_is_lost(adds: list[tuple[str, float]], workers: int):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        working: set[str] = set()
        last: dict[str, float] = {}
        async with running() as queue:

            async def work() -> None:
                while True:
                    key = await queue.get()
                    assert key not in working
                    working.add(key)
                    last[key] = loop.time()
                    await asyncio.sleep(0.7)
                    working.discard(key)
                    queue.done(key)

            tasks = [asyncio.create_task(work()) for _ in range(workers)]
            for key, delay in adds:
                queue.add(key) if delay < 1 else queue.add_after(key, delay)
                await asyncio.sleep(delay / 4)
            added = loop.time()
            await asyncio.sleep(30)
            assert queue.idle
            assert set(last) == {key for key, _ in adds}
            assert all(not task.done() for task in tasks)
            if adds:
                assert last[adds[-1][0]] >= added - adds[-1][1] / 4 - 1e-6  # sums of floats
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run_simulated(main())


def test_a_key_that_is_always_added_again_lets_the_others_have_their_turns():
    async def main() -> None:
        done: Counter[str] = Counter()
        queue: WorkQueue[str] = WorkQueue(SimulatedClock(asyncio.get_running_loop()))
        for name in ("hot", *"abcdefgh"):
            queue.add(name)
        for _ in range(18):
            key = await queue.get()
            queue.add("hot")
            done[key] += 1
            queue.done(key)
        assert all(done[name] for name in "abcdefgh")
        assert done["hot"] >= 2

    run_simulated(main())
