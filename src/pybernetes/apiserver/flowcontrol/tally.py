"""Tally: what happened to the requests of one schema at one level. figures.py tells it to /metrics."""

from pybernetes.wire.metrics import Histogram

SECONDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
_LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
_SEATS = (1, 2, 4, 10)
_WATCHERS = (0, 1, 10, 100, 1000, 10000)
_QUICK = SECONDS[1]


class Tally:
    """Counts since the server began; upstream's buckets."""

    __slots__ = (
        *("dispatched", "given_up", "lengths", "level", "quick", "ran", "rejected", "schema", "seats"),
        *("unaccommodated", "waited", "watched", "watchers"),
    )

    def __init__(self, level: str, schema: str) -> None:
        self.level = level
        self.schema = schema
        self.quick = self.dispatched = 0
        """Served: those of one seat that found it free, and all others."""
        self.rejected: dict[str, int] = {}
        """By reason."""
        self.ran, self.watched = Histogram(SECONDS), Histogram(SECONDS)
        """Seconds to an answer, and to the first state of a watch."""
        self.waited, self.given_up = Histogram(SECONDS), Histogram(SECONDS)
        """Seconds in a queue: who was served then, and who was not."""
        self.lengths = Histogram(_LENGTHS)
        self.seats = Histogram(_SEATS)
        self.watchers = Histogram(_WATCHERS)
        self.unaccommodated = 0
        """Tries to begin one that took more seats than were free."""

    def answered(self, seconds: float) -> None:
        """One more that has run so long."""
        ran = self.ran
        if 0 < seconds <= _QUICK:  # nearly all
            ran.counts[1] += 1
            ran.sum += seconds
        else:
            ran.add(seconds)

    def refused(self, reason: str) -> None:
        """One more that was not served."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
