"""@simulated: a test on virtual time. The loop below it is aio.simulation's; Cluster() in it takes its time and chance."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, overload

from pybernetes.aio.simulation import run_simulated
from pybernetes.testing.errors import OptionError, WrongLoopError

P = ParamSpec("P")
T = TypeVar("T")

_Test = Callable[P, Coroutine[Any, Any, T]]


@overload
def simulated(test: "_Test[P, T]") -> Callable[P, T]: ...


@overload
def simulated(*, seed: int = 0) -> "Callable[[_Test[P, T]], Callable[P, T]]": ...


def simulated(test: Any = None, *, seed: int = 0) -> Any:
    """Makes an async test function a plain one that runs on virtual time, and the same way each time by its seed.

    `@simulated` or `@simulated(seed=7)`. Name, documentation and signature stay, so that pytest gives it its fixtures
    (those that are not async themselves). Raises OptionError.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise OptionError(f"seed: {seed!r} is not allowed; allowed: a whole number")
    return partial(_on_virtual_time, seed=seed) if test is None else _on_virtual_time(test, seed=seed)


def _on_virtual_time(test: "_Test[P, T]", *, seed: int) -> Callable[P, T]:
    if not asyncio.iscoroutinefunction(test):
        raise OptionError(f"@simulated is for async functions; {getattr(test, '__name__', test)!r} is none")

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if asyncio._get_running_loop() is not None:
            raise WrongLoopError(f"{test.__name__} runs a loop of its own: call it where none runs")
        return run_simulated(test(*args, **kwargs), seed)

    return run
