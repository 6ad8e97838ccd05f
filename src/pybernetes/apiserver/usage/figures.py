"""Figures: what a kubelet's /metrics/resource says, and the rate of CPU between two readings. Pure; scraper.py reads."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

Owner: TypeAlias = tuple[str, str]
"""Namespace and name of a Pod; NODE for the node itself."""
NODE: Owner = ("", "")
FRESH_SECONDS = 10.0
"""A container that has run for so long, and came since the last reading, is measured from its start."""

_LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)(?: (\d+))?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CPU, _MEMORY, _STARTED = "cpu", "memory", "started"
_SERIES = {
    "node_cpu_usage_seconds_total": _CPU,
    "node_memory_working_set_bytes": _MEMORY,
    "container_cpu_usage_seconds_total": _CPU,
    "container_memory_working_set_bytes": _MEMORY,
    "container_start_time_seconds": _STARTED,
}


class Point(Struct, frozen=True):
    """One reading: core-seconds since the start, bytes. Times are seconds since 1970."""

    at: float
    cpu: float
    memory: int
    started: float = 0.0


class Rate(Struct, frozen=True):
    """What was used between two readings: `cores` on average over `window` seconds, and the last number of bytes."""

    at: float
    window: float
    cores: float
    memory: int


Sample: TypeAlias = Mapping[Owner, Mapping[str, Point]]
"""Owner to container (empty for the node) to its reading."""


def parse(text: str) -> Sample:
    """The readings in a kubelet's answer. Raises ValueError for a value that is no number."""
    found: dict[tuple[Owner, str], dict[str, float]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        kind = _SERIES.get(match[1]) if match is not None else None
        if match is None or kind is None:
            continue
        labels = dict(_LABEL.findall(match[2] or ""))
        owner = (labels.get("namespace", ""), labels.get("pod", ""))
        point = found.setdefault((owner, labels.get("container", "")), {})
        point[kind] = float(match[3])
        if kind == _CPU and match[4]:
            point["at"] = int(match[4]) / 1000
    sample: dict[Owner, dict[str, Point]] = {}
    for (owner, container), known in found.items():
        if {_CPU, _MEMORY, "at"} <= known.keys():
            point_of = Point(known["at"], known[_CPU], int(known[_MEMORY]), known.get(_STARTED, 0.0))
            sample.setdefault(owner, {})[container] = point_of
    return sample


class History:
    """The last two readings of one node. `take` is told of each; `rates` is what they give."""

    def __init__(self) -> None:
        self._last: Sample = {}
        self._before: Sample = {}

    def take(self, sample: Sample) -> None:
        """A new reading. What has not been read anew by the kubelet since keeps what came before it."""
        before: dict[Owner, dict[str, Point]] = {}
        for owner, points in sample.items():
            known, older = self._last.get(owner, {}), self._before.get(owner, {})
            kept = {}
            for container, point in points.items():
                last = known.get(container)
                found = last if last is not None and point.at > last.at else older.get(container)
                if found is not None and point.started < found.at < point.at:
                    kept[container] = found
            before[owner] = kept
        self._last, self._before = sample, before

    def rates(self, owner: Owner, interval: float) -> Mapping[str, Rate]:
        """Container to rate; nothing while one of its containers has none. `interval` is that of the readings."""
        found: dict[str, Rate] = {}
        for container, point in self._last.get(owner, {}).items():
            before = self._before.get(owner, {}).get(container)
            if before is None and FRESH_SECONDS <= point.at - point.started < interval:
                before = Point(point.started, 0.0, 0)
            if before is None or point.cpu < before.cpu:
                return {}
            window = point.at - before.at
            found[container] = Rate(point.at, window, (point.cpu - before.cpu) / window, point.memory)
        return found
