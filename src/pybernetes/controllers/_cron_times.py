"""Which scheduled time of a CronJob is due, and when the next one is. Pure; cronjob.py acts on it."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from pybernetes.rules.cron import Schedule

MANY = 100
"""Missed times above which something is wrong: a clock, or the controller was away for long."""
_NEAR = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Due:
    """The most recent scheduled time that has come, and how many there were (MANY + 1: more than MANY)."""

    at: datetime | None = None
    times: int = 0


def due(schedule: Schedule, zone: tzinfo, since: datetime, now: datetime) -> Due:
    """Scheduled times later than `since` and not later than `now`."""
    if schedule.every is not None:
        times = (now - since) // schedule.every
        return Due(since + times * schedule.every, min(times, MANY + 1)) if times > 0 else Due()
    at, times = None, 0
    following = schedule.next_after(since, zone)
    while following is not None and following <= now:
        at, times = following, times + 1
        if times > MANY:
            return Due(_last(schedule, zone, at, now), times)
        following = schedule.next_after(following, zone)
    return Due(at, times)


def _last(schedule: Schedule, zone: tzinfo, known: datetime, now: datetime) -> datetime:
    """The last scheduled time up to now. Looks back farther and farther: going on from `known` could take years of minutes."""
    back = _NEAR
    while now - back > known:
        found = schedule.next_after(now - back, zone)
        if found is not None and found <= now:
            known = found
            break
        back *= 2
    following = schedule.next_after(known, zone)
    while following is not None and following <= now:
        known, following = following, schedule.next_after(following, zone)
    return known


def following(schedule: Schedule, zone: tzinfo, since: datetime, now: datetime) -> datetime | None:
    """The first scheduled time later than now; None for a schedule that never comes."""
    if schedule.every is not None:
        return since + max(1, (now - since) // schedule.every + 1) * schedule.every
    return schedule.next_after(now, zone)
