"""Benchmarks: a figure, a floor measured in the same run, and their ratio. `python -m bench [name]` runs them.

One file a benchmark; it exports BENCHMARK. A machine's speed cancels out of the ratio, so that ratios can be compared
between machines and over time; nothing here fails because of time.
"""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct


class Row(Struct, frozen=True):
    """One line of a benchmark's table."""

    what: str
    figure: float
    """What ours takes, in `unit`."""
    floor: float
    """What the least that could do the same work takes, in `unit`."""
    unit: str = "µs"

    @property
    def ratio(self) -> float:
        """How many floors ours costs."""
        return self.figure / self.floor if self.floor else float("inf")


class Benchmark(Struct, frozen=True):
    """What BENCHMARK in bench/<name>.py is. `run` may say SkipBenchmark with the reason."""

    name: str
    help: str
    run: Callable[[], Sequence[Row]]


class SkipBenchmark(Exception):
    """This machine cannot run the benchmark; the text says why."""


def microseconds(call: Callable[[], object], *, calls: int, repeats: int = 5) -> float:
    """What one call takes: the best of `repeats` series of `calls`, which is the least disturbed one."""
    return min(_series(call, calls) for _ in range(repeats)) * 1e6


def _series(call: Callable[[], object], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls
