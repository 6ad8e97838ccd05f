"""Time and chance: the only module that touches `time` and `random`. simulation.py gives the same on virtual time."""

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from random import Random as Random  # from here alone
from typing import Protocol


class Clock(Protocol):
    """Time and chance as an argument. Seconds everywhere."""

    @property
    def random(self) -> Random:
        """The source of chance; seeded in a simulation."""

    def now(self) -> float:
        """Wall clock: seconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """A clock that never goes back; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Waits; negative or zero yields once to the loop."""


class SystemClock:
    """The machine's own clock."""

    # The functions themselves: every request asks several times.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __init__(self, seed: int | None = None) -> None:
        self.random = Random(seed)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def rfc3339(seconds: float) -> str:
    """metav1.Time: whole seconds, `2026-01-31T08:00:00Z`."""
    return _second(int(seconds))


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}Z"


def rfc3339_micro(seconds: float) -> str:
    """metav1.MicroTime: always six digits, `2026-01-31T08:00:00.000000Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat(timespec='microseconds')[:26]}Z"


def rfc3339_nano(seconds: float) -> str:
    """Go's RFC3339Nano: a fraction as long as it must be, `2026-01-31T08:00:00.25Z`; none where it is zero."""
    whole = int(seconds)
    shown = f"{int((seconds - whole) * 1_000_000_000):09d}".rstrip("0")
    return f"{_second(whole)[:-1]}.{shown}Z" if shown else _second(whole)


def parse_time(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without zone: {text!r}")
    return moment.timestamp()


def seconds_of(text: str) -> float:
    """The same of a time that somebody else wrote: 0 for what is none."""
    try:
        return parse_time(text)
    except ValueError:
        return 0.0
