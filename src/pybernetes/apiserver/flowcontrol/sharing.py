"""Sharing: what each priority level has of the server's seats, as configured and as its demand asks for. Pure.

Levels lend what they do not use and borrow what they need (KEP-1040, "borrowing"): every ten seconds each gets a part
in proportion to its smoothed demand, within its bounds. levels.py does it.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor, sqrt

from msgspec import Struct

SMOOTHING = 0.977
"""How much of a demand is left after ten seconds without any: half of it after five minutes."""
_SMALLEST = 0.001
"""A target of nothing counts as so much, that it can be a divisor."""
_CLOSE = 1e-7


class Limits(Struct, frozen=True):
    """Seats of a level: by its shares, without what it lends, with what it may borrow."""

    nominal: int = 0
    lower: int = 0
    upper: int = 0


def limits_of(server: int, shares: int, of: int, lendable: int, borrowing: int | None) -> Limits:
    """The Limits of a level with `shares` of all `of`; percents of what it may lend and borrow (None: without limit)."""
    nominal = ceil(server * shares / of) if of else 0
    lent = rounded(nominal * lendable / 100)
    borrowed = server if borrowing is None else rounded(nominal * borrowing / 100)
    return Limits(nominal, nominal - lent, nominal + borrowed)


def rounded(value: float) -> int:
    """To the next whole number, halves up, as Go does."""
    return floor(value + 0.5)


class Want(Struct, frozen=True):
    """One part of an allocation: what it should be, between bounds. `target` is not below `lower`."""

    target: float
    lower: float
    upper: float


def allocated(total: float, wants: Sequence[Want]) -> tuple[list[float], float]:
    """Parts that sum up to `total`, and the fraction: each is its target times that, unless one of its bounds is nearer.

    Raises ValueError where the bounds leave no way.
    """
    targets = [max(want.target, _SMALLEST) for want in wants]
    low, high = sum(want.lower for want in wants), sum(want.upper for want in wants)
    if not wants or total < low - _CLOSE or total > high + _CLOSE:
        raise ValueError(f"{total} seats cannot be divided among levels that take {low} to {high}")

    def at(fraction: float) -> list[float]:
        return [
            max(want.lower, min(want.upper, fraction * target)) for want, target in zip(wants, targets, strict=True)
        ]

    # Between two bounds the sum rises in a straight line: find the two, then the place between them.
    bounds = sorted({want.lower / t for want, t in zip(wants, targets, strict=True)}
                    | {want.upper / t for want, t in zip(wants, targets, strict=True)})  # fmt: skip
    if total <= low + _CLOSE:
        return [want.lower for want in wants], bounds[0]
    if total >= high - _CLOSE:
        return [want.upper for want in wants], bounds[-1]
    below = bounds[0]
    for above in bounds[1:]:
        least, most = sum(at(below)), sum(at(above))
        if total <= most:
            fraction = below + (above - below) * (total - least) / (most - least) if most > least else below
            return at(fraction), fraction
        below = above
    return at(below), below


class Observed(Struct, frozen=True):
    """Demand for seats during a time: by time, and its peak."""

    seconds: float
    average: float
    deviation: float
    highest: float


class Demand:
    """Sums up over time how many seats a level could use."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since = self._at = now()
        self._value = self._highest = 0.0
        self._sum = self._squares = 0.0

    def set(self, value: float) -> None:
        """From now on it is so many."""
        now = self._now()
        self._pass(now)
        self._value = value
        self._highest = max(self._highest, value)

    def reset(self) -> Observed:
        """What it was since the last reset."""
        now = self._now()
        self._pass(now)
        seconds, average, deviation = now - self._since, 0.0, 0.0
        if seconds > 0:
            average = self._sum / seconds
            deviation = sqrt(max(0.0, self._squares / seconds - average * average))
        found = Observed(seconds, average, deviation, self._highest)
        self._since, self._sum, self._squares, self._highest = now, 0.0, 0.0, self._value
        return found

    def _pass(self, now: float) -> None:
        value, passed = self._value, now - self._at
        self._at = now
        self._sum += value * passed
        self._squares += value * value * passed


def smoothed(before: float, observed: Observed) -> float:
    """What counts as a level's demand: up at once, down slowly."""
    if observed.seconds <= 0:
        return before
    envelope = observed.average + observed.deviation
    return max(envelope, SMOOTHING * before + (1 - SMOOTHING) * envelope)
