"""Virtual time jumps, keeps order, and says when it is stalled."""

import asyncio

import pytest

from pybernetes.aio.simulation import EPOCH, SimulatedClock, SimulatedLoop, Stalled, run_simulated


def test_an_hour_passes_at_once_and_in_order():
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())

        async def wait(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            seen.append((name, clock.now() - EPOCH))

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("late", 3600))
            group.create_task(wait("early", 60))

    run_simulated(main())
    assert seen == [("early", 60.0), ("late", 3600.0)]


def test_the_wall_clock_may_begin_later():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop(), start=EPOCH + 1000)
        await clock.sleep(5)
        assert (clock.now(), clock.monotonic()) == (EPOCH + 1005, 5)

    run_simulated(main())


def test_a_seed_repeats_chance():
    async def draw() -> list[float]:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=7)
        return [clock.random.random() for _ in range(3)]

    assert run_simulated(draw()) == run_simulated(draw())


def test_waiting_for_nothing_is_an_error_not_a_hang():
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled):
        run_simulated(main())


def test_work_that_never_waits_is_an_error_not_a_hang(monkeypatch):
    monkeypatch.setattr("pybernetes.aio.simulation.TURNS", 1000)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="1000 turns of the loop at one moment"):
        run_simulated(main())


def test_settled_waits_for_all_that_is_to_do_at_this_moment():
    steps: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)

        async def work() -> None:
            for step in range(5):
                steps.append(step)
                await asyncio.sleep(0)
            await asyncio.sleep(1)
            steps.append(99)

        task = asyncio.create_task(work())
        await loop.settled()
        assert steps == [0, 1, 2, 3, 4]
        assert loop.time() == 0
        await task

    run_simulated(main())
    assert steps[-1] == 99
