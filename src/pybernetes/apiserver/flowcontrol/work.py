"""Work: how many seats a request takes, and how long after its answer. filter.py asks before a request may begin.

As upstream's work estimator: a list by the bytes that are in memory for it at once, a write by the watchers that will
hear of it. Everything else takes one seat.
"""

from collections.abc import Callable
from math import ceil

from msgspec import Struct

from pybernetes.apiserver.requestinfo import RequestInfo

SERVICE_SECONDS = 0.003
"""What a request is taken to last while it has not ended (upstream's estimatedServiceDuration)."""
_MOST_SEATS = 10
_BYTES_A_SEAT = 100_000
_BYTES_AT_ONCE = 1_000_000
"""A list that is made in slices has no more of it in memory."""
_WATCHERS_A_SEAT = 10
_SECONDS_A_SEAT = 0.005
"""What ten watchers keep a seat busy with one event."""


class Work(Struct, frozen=True):
    """Seats while a request is answered, and `final` ones for `linger` seconds after it."""

    initial: int = 1
    final: int = 0
    linger: float = 0.0

    @property
    def seats(self) -> int:
        """How many must be free for it to begin."""
        return max(self.initial, self.final)

    @property
    def total(self) -> float:
        """Seat-seconds, before it is known how long it takes."""
        return self.initial * SERVICE_SECONDS + self.final * self.linger


ONE = Work()
"""A get, and whatever is not known to be more."""


class Stored(Struct, frozen=True):
    """What there is of a resource."""

    count: int
    size: int
    """Bytes of all."""


class Estimator(Struct, frozen=True):
    """Looks up what a request is about."""

    stored: Callable[[RequestInfo], Stored | None]
    """None where nothing is stored of the resource here."""
    watchers: Callable[[RequestInfo], int]
    """How many will hear of a write."""


def of_list(stored: Stored | None, limit: int, *, single: bool, most: int) -> Work:
    """A list, or a watch that begins with one. `most`: what its level gives one request at most; 0: no such limit."""
    if stored is None or not stored.count:
        return ONE
    listed = 1 if single else min(limit, stored.count) if limit > 0 else stored.count
    size = min(listed * stored.size / stored.count, _BYTES_AT_ONCE)
    return _seated(ceil(size / _BYTES_A_SEAT), most)


def of_write(watchers: int, *, most: int) -> Work:
    """A write that so many watchers will hear of: the work is theirs, however few seats it is squeezed into."""
    if watchers < _WATCHERS_A_SEAT:
        return ONE
    wanted = ceil(watchers / _WATCHERS_A_SEAT)
    final = min(wanted, most or _MOST_SEATS, _MOST_SEATS)
    return Work(1, final, wanted * _SECONDS_A_SEAT / final)


def _seated(seats: int, most: int) -> Work:
    seats = min(seats, most or _MOST_SEATS)
    return Work(seats) if seats > 1 else ONE
