"""Cron schedules: five fields, `@hourly` and its kin, `@every 90s`. CronJob validation parses them, its controller asks when next.

The dialect and the words of refusals are those of robfig/cron v3's standard parser.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from msgspec import Struct

from pybernetes.rules import durations
from pybernetes.rules.goquote import quoted

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_YEARS = 5
"""A schedule without a time in that long has none: the 30th of February."""


class _Bounds(Struct, frozen=True):
    low: int
    high: int
    names: Mapping[str, int] = {}


_MINUTES, _HOURS, _DAYS = _Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = _Bounds(1, 12, {name: at for at, name in enumerate(_MONTH_NAMES, 1)})
_WEEKDAYS = _Bounds(0, 6, {name: at for at, name in enumerate(_DAY_NAMES)})


class Schedule(Struct, frozen=True):
    """A parsed schedule. Sunday is 0."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False
    """Days of the month and of the week are both restricted: one of them is enough."""
    every: timedelta | None = None
    """Takes the place of all the rest."""
    zone: tzinfo | None = None
    """From a `TZ=` prefix, which only old objects have."""

    def next_after(self, when: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first time later than `when` (aware), in UTC. Wall clock times are those of `zone`.

        Times that a clock leaps over do not come; those it passes twice come twice.
        """
        if self.every is not None:
            return (when + self.every).replace(microsecond=0).astimezone(UTC)
        zone = self.zone or zone
        here = (when.replace(second=0, microsecond=0) + timedelta(minutes=1)).astimezone(zone)
        last = here.year + _YEARS
        while here.year <= last:
            if here.month not in self.months:
                here = _midnight(here.year + here.month // 12, here.month % 12 + 1, 1, zone)
            elif not self._on(here):
                following = here.date() + timedelta(days=1)
                here = _midnight(following.year, following.month, following.day, zone)
            elif here.hour not in self.hours:
                here = _later(here, 60 - here.minute, zone)
            elif here.minute not in self.minutes:
                here = _later(here, 1, zone)
            else:
                return here.astimezone(UTC)
        return None

    def _on(self, here: datetime) -> bool:
        day, weekday = here.day in self.days, here.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either_day else day and weekday


def _midnight(year: int, month: int, day: int, zone: tzinfo) -> datetime:
    """The first moment of a day; by way of UTC, since a clock may leap over midnight."""
    return datetime(year, month, day, tzinfo=zone).astimezone(UTC).astimezone(zone)


def _later(here: datetime, minutes: int, zone: tzinfo) -> datetime:
    """So much real time later: not wall clock time."""
    return (here.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(zone)


def parse(text: str) -> Schedule:
    """The schedule that the text stands for. Raises ValueError."""
    if not text:
        raise ValueError("empty spec string")
    zone = None
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, space, rest = text.partition("=")[2].partition(" ")
        if not space:
            raise ValueError("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        try:
            zone = time_zone(name)
        except ValueError as error:
            raise ValueError(f"provided bad location {name}: {error}") from None
        text = rest.strip()
    if text.startswith(_EVERY):
        return Schedule(every=_every(text), zone=zone)
    if text.startswith("@"):
        if text not in _MACROS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, _ = _field(fields[0], _MINUTES)
    hours, _ = _field(fields[1], _HOURS)
    days, any_day = _field(fields[2], _DAYS)
    months, _ = _field(fields[3], _MONTHS)
    weekdays, any_weekday = _field(fields[4], _WEEKDAYS)
    either = not any_day and not any_weekday
    return Schedule(minutes, hours, days, months, weekdays, either_day=either, zone=zone)


def time_zone(name: str) -> tzinfo:
    """A zone of the IANA database, by name; empty is UTC. Raises ValueError."""
    if name in ("", "UTC"):
        return UTC
    if ".." in name or name[0] in "/\\":
        raise ValueError("time: invalid location name")
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only schedules that name a zone need it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def _field(text: str, bounds: _Bounds) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it restricts nothing."""
    found: set[int] = set()
    free = False
    for part in text.split(","):
        if part:
            numbers, star = _range(part, bounds)
            found.update(numbers)
            free |= star
    return frozenset(found), free


def _range(text: str, bounds: _Bounds) -> tuple[range, bool]:
    """`number | number-number | *`, each with `/step`."""
    span, *steps = text.split("/")
    low, *highs = span.split("-")
    star = low in ("*", "?")
    if star:
        start, end = bounds.low, bounds.high
    else:
        start = end = _number(low, bounds.names)
        if len(highs) == 1:
            end = _number(highs[0], bounds.names)
        elif highs:
            raise ValueError(f"too many hyphens: {text}")
    step = 1
    if len(steps) == 1:
        step = _number(steps[0])
        end = end if highs else bounds.high
        star = star and step <= 1
    elif steps:
        raise ValueError(f"too many slashes: {text}")
    if start < bounds.low:
        raise ValueError(f"beginning of range ({start}) below minimum ({bounds.low}): {text}")
    if end > bounds.high:
        raise ValueError(f"end of range ({end}) above maximum ({bounds.high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if not step:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star


def _number(text: str, names: Mapping[str, int] | None = None) -> int:
    known = (names or {}).get(text.lower())
    if known is not None:
        return known
    if not re.fullmatch("[+-]?[0-9]+", text, re.ASCII):
        raise ValueError(f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: invalid syntax")
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"failed to parse int from {text}: strconv.Atoi: parsing {quoted(text)}: value out of range")
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


def _every(text: str) -> timedelta:
    """Whole seconds, at least one."""
    try:
        seconds = durations.seconds_of(text.removeprefix(_EVERY))
    except ValueError as error:
        raise ValueError(f"failed to parse duration {text}: {error}") from None
    return timedelta(seconds=max(1, int(seconds)))
