"""Progress: a line a step with its time, also for the step that failed."""

import asyncio
import io

import pytest

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.assembly.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def failing(progress: Progress, clock: SimulatedClock) -> None:
    with progress.step("two"):
        await clock.sleep(1)
        raise ValueError


def lines(out: io.StringIO, *, quiet: bool = False) -> list[str]:
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        progress = Progress(clock, out, quiet=quiet)
        progress.title("nodes")
        with progress.step("one"):
            await clock.sleep(2.5)
        progress.show("text\nof two lines")
        with pytest.raises(ValueError):
            await failing(progress, clock)
        assert progress.elapsed == 3.5

    run_simulated(main())
    return out.getvalue().split("\n")


def test_each_step_says_how_it_ended_and_how_long_it_took() -> None:
    expected = ["", "[  0.0 s] nodes", "  ok   one (2.5 s)", "       text", "       of two lines"]
    assert lines(io.StringIO()) == [*expected, "  FAIL two (1.0 s)", ""]


def test_a_terminal_sees_the_step_that_runs() -> None:
    assert "  ...  one\r  ok   one (2.5 s)" in lines(Terminal())


def test_quiet_prints_nothing() -> None:
    assert lines(Terminal(), quiet=True) == [""]
