"""Virtual time jumps, keeps order, and says when it is stalled."""

import asyncio

import pytest

from pybernetes.aio.simulation import EPOCH, SimulatedClock, Stalled, run_simulated


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
