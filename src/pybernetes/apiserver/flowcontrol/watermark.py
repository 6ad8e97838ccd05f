"""Watermark: the most there were at once within a second, by kind: what upstream's gauges of requests in flight tell."""

from collections.abc import Callable, Mapping

KINDS = ("readOnly", "mutating")


class Watermark:
    """Counts what comes and goes; `now` gives seconds that only rise."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = int(now())
        self._counts = dict.fromkeys(KINDS, 0)
        self._peaks = dict.fromkeys(KINDS, 0)
        self._before = dict.fromkeys(KINDS, 0)

    def add(self, kind: str, change: int) -> None:
        """So many more, or fewer."""
        self._turn()
        count = self._counts[kind] = self._counts[kind] + change
        if count > self._peaks[kind]:
            self._peaks[kind] = count

    def read(self) -> Mapping[str, int]:
        """The most of this second and of the one before."""
        self._turn()
        return {kind: max(peak, self._before[kind]) for kind, peak in self._peaks.items()}

    def _turn(self) -> None:
        second = int(self._now())
        if second != self._second:
            self._before = self._peaks if second == self._second + 1 else dict(self._counts)
            self._peaks = dict(self._counts)
            self._second = second
