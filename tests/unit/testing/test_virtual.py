"""@simulated makes an async test a plain one, and it stays what it was for pytest."""

import asyncio
import inspect
from pathlib import Path

import pytest

from pybernetes.testing import OptionError, WrongLoopError, simulated


@simulated(seed=7)
async def test_time_jumps_and_fixtures_are_given(tmp_path: Path):
    loop = asyncio.get_running_loop()
    await asyncio.sleep(3600)
    assert loop.time() == 3600
    assert tmp_path.exists()


def test_name_documentation_and_signature_stay():
    @simulated
    async def wanted(one: int, *, two: str = "b") -> str:
        """What it is for."""
        return f"{one}{two}"

    assert not inspect.iscoroutinefunction(wanted)
    assert wanted.__name__ == "wanted"
    assert wanted.__doc__ == "What it is for."
    assert list(inspect.signature(wanted).parameters) == ["one", "two"]
    assert wanted(1) == "1b"


def test_errors_of_the_test_are_those_of_the_function():
    @simulated
    async def failing() -> None:
        raise AssertionError("as written")

    with pytest.raises(AssertionError, match="as written"):
        failing()


async def test_it_does_not_run_in_another_loop():
    @simulated
    async def inner() -> None:
        raise AssertionError

    with pytest.raises(WrongLoopError, match="inner runs a loop of its own"):
        inner()


def test_it_is_for_async_functions_and_whole_seeds():
    with pytest.raises(OptionError, match="'plain' is none"):

        @simulated
        def plain() -> None:
            raise AssertionError

    with pytest.raises(OptionError, match="seed: 'a' is not allowed"):
        simulated(seed="a")
