"""Metrics in Prometheus' text format: families that are counted up where things happen, and lines made when asked for.

A process has one set of them (the API server's is apiserver/metrics.py, the kubelet's kubelet/metrics.py). Names are
upstream's, so that dashboards made for Kubernetes work.
"""

import os
import resource
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Prometheus' own bounds, which upstream uses where it says nothing else."""

Stability: TypeAlias = Literal["ALPHA", "BETA", "STABLE"]
Values: TypeAlias = Iterable[tuple[Sequence[str], float]]


class Histogram:
    """Observations by bound, each in the first bucket that holds it."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Counts one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Its series; `labels` without braces, as labelled() makes them."""
        so_far, comma, braced = 0, "," if labels else "", f"{{{labels}}}" if labels else ""
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            so_far += count
            yield f'{name}_bucket{{{labels}{comma}le="{bound}"}} {so_far}'
        yield f"{name}_sum{braced} {number(self.sum)}"
        yield f"{name}_count{braced} {so_far}"


class Family(ABC):
    """What all kinds of metrics share."""

    kind = ""

    def __init__(self, name: str, about: str, labels: str = "", stability: Stability = "ALPHA") -> None:
        self.name = name
        self._names = tuple(labels.split())
        self._head = head(name, f"[{stability}] {about}", self.kind)

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """The exposition; nothing before the first value."""


class Counter(Family):
    """Counts up."""

    kind = "counter"

    def __init__(self, name: str, about: str, labels: str = "", stability: Stability = "ALPHA") -> None:
        super().__init__(name, about, labels, stability)
        self.values: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Label values in the order of their names."""
        self.values[labels] = self.values.get(labels, 0) + by

    def lines(self) -> Iterator[str]:
        """The exposition; nothing before the first value."""
        if self.values:
            yield from self._head
            for labels, value in self.values.items():
                yield series(self.name, labelled(self._names, labels), value)


class Gauge(Counter):
    """Goes up and down."""

    kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        """What it is now."""
        self.values[labels] = value

    def forget(self, *labels: str) -> None:
        """What one value told of is no more."""
        self.values.pop(labels, None)

    def clear(self) -> None:
        """What it told of is no more."""
        self.values.clear()


class Current(Family):
    """A gauge that nobody keeps: what there is, counted when somebody asks."""

    kind = "gauge"

    def __init__(
        self, name: str, about: str, count: Callable[[], Values], labels: str = "", stability: Stability = "ALPHA"
    ) -> None:
        super().__init__(name, about, labels, stability)
        self._count = count

    def lines(self) -> Iterator[str]:
        """The exposition; nothing while there is nothing."""
        found = [series(self.name, labelled(self._names, labels), value) for labels, value in self._count()]
        if found:
            yield from self._head
            yield from found


class Distribution(Family):
    """Histograms by labels."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        about: str,
        labels: str = "",
        stability: Stability = "ALPHA",
        bounds: tuple[float, ...] = SECONDS,
    ) -> None:
        super().__init__(name, about, labels, stability)
        self._bounds = bounds
        self.values: dict[tuple[str, ...], Histogram] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Label values in the order of their names."""
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = Histogram(self._bounds)
        found.add(value)

    def lines(self) -> Iterator[str]:
        """The exposition; nothing before the first value."""
        if self.values:
            yield from self._head
            for labels, histogram in self.values.items():
                yield from histogram.lines(self.name, labelled(self._names, labels))


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Bounds, each so many times the one before."""
    return tuple(round(start * factor**i, 9) for i in range(count))


def head(name: str, about: str, kind: str) -> tuple[str, str]:
    """The two comments before a family."""
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def labelled(names: Iterable[str], values: Iterable[str]) -> str:
    """`verb="get",code="200"`."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in zip(names, values, strict=True))


def series(name: str, labels: str, value: float, at: float | None = None) -> str:
    """One line; `at` is its time in seconds since 1970."""
    braced = f"{{{labels}}}" if labels else ""
    return f"{name}{braced} {number(value)}" + ("" if at is None else f" {round(at * 1000)}")


def number(value: float) -> str:
    """A value, whole numbers as such."""
    return str(int(value)) if value == int(value) else repr(float(value))


def escaped(text: str) -> str:
    """A label's value between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def text(families: Iterable[Family], more: Iterable[str] = ()) -> str:
    """The whole answer."""
    return "\n".join([*(line for family in families for line in family.lines()), *more]) + "\n"


def process_lines(began: float, proc: Path = Path("/proc/self")) -> Iterator[str]:
    """process_*: this process, which began at `began` (seconds since 1970)."""
    times = os.times()
    pages = [int(field) for field in (proc / "statm").read_text().split()[:2]]
    size = os.sysconf("SC_PAGE_SIZE")
    found: Mapping[str, tuple[str, str, float]] = {
        "process_cpu_seconds_total": ("Total user and system CPU time spent in seconds.", "counter",
                                      times.user + times.system),
        "process_max_fds": ("Maximum number of open file descriptors.", "gauge",
                            resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        "process_open_fds": ("Number of open file descriptors.", "gauge", len(os.listdir(proc / "fd"))),
        "process_resident_memory_bytes": ("Resident memory size in bytes.", "gauge", pages[1] * size),
        "process_start_time_seconds": ("Start time of the process since unix epoch in seconds.", "gauge", began),
        "process_virtual_memory_bytes": ("Virtual memory size in bytes.", "gauge", pages[0] * size),
    }  # fmt: skip
    for name, (about, kind, value) in found.items():
        yield from head(name, about, kind)
        yield series(name, "", value)
