"""One kubelet at a time."""

import asyncio
from pathlib import Path

import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.kubelet.lock_file import locked, until_contended


def test_a_second_one_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    done: list[str] = []

    async def one(name: str, seconds: float, clock: SimulatedClock) -> None:
        async with locked(tmp_path / "lock", clock):
            done.append(f"{name} begins")
            await clock.sleep(seconds)
            done.append(f"{name} ends")

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        await asyncio.gather(one("first", 10, clock), one("second", 1, clock))

    run_simulated(main())
    assert done == ["first begins", "first ends", "second begins", "second ends"]


async def test_the_first_one_goes_as_soon_as_another_comes(tmp_path: Path) -> None:
    file, clock = tmp_path / "lock", SystemClock()
    begun = asyncio.Event()

    async def works() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def first() -> None:
        async with locked(file, clock):
            work = asyncio.ensure_future(works())
            await until_contended(file, work)
            assert work.cancelled()

    async with asyncio.timeout(20):
        task = asyncio.create_task(first())
        await begun.wait()
        async with locked(file, clock):
            assert task.done()
    task.result()


async def test_work_that_ends_by_itself_ends_as_it_does(tmp_path: Path) -> None:
    async def fails() -> None:
        raise ValueError("broken")

    async with locked(tmp_path / "lock", SystemClock()):
        with pytest.raises(ValueError, match="broken"):
            await until_contended(tmp_path / "lock", asyncio.ensure_future(fails()))


async def test_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with locked(tmp_path / "none" / "lock", SystemClock()):
            pass
