"""Which scheduled time is due, and when a Job that has ended goes: pure parts of the CronJob and TTL controllers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import batch_v1, meta_v1
from pybernetes.controllers._cron_times import MANY, Due, due, following
from pybernetes.controllers.ttl_after_finished import left
from pybernetes.rules.cron import Schedule, parse, time_zone

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULES = ["* * * * *", "*/7 3-5 * * *", "30 6-16/4 * * 1-5", "0 0 31 * *", "@hourly", "@every 90s", "@every 5h"]


def one_by_one(schedule: Schedule, since: datetime, now: datetime) -> list[datetime]:
    found = []
    at = schedule.next_after(since)
    while at is not None and at <= now:
        found.append(at)
        at = schedule.next_after(at)
    return found


@settings(max_examples=60)
@given(st.sampled_from(SCHEDULES), st.integers(0, 10_000_000), st.integers(0, 400_000))
def test_the_last_of_the_times_that_have_come_is_due(text: str, start: int, seconds: int):
    schedule, since = parse(text), NEW_YEAR + timedelta(seconds=start)
    now = since + timedelta(seconds=seconds)
    times = one_by_one(schedule, since, now)
    assert due(schedule, UTC, since, now) == (Due(times[-1], min(len(times), MANY + 1)) if times else Due())
    later = following(schedule, UTC, since, now)
    assert later is not None
    assert later > now
    assert due(schedule, UTC, since, later).at == later
    assert due(schedule, UTC, since, later - timedelta(seconds=1)).at == (times[-1] if times else None)


def test_years_of_minutes_are_not_gone_through():
    class Counted(Schedule, frozen=True):
        def next_after(self, when: datetime, zone: object = UTC) -> datetime | None:
            calls.append(when)
            return super().next_after(when)

    calls: list[datetime] = []
    every = parse("* * * * *")
    schedule = Counted(every.minutes, every.hours, every.days, every.months, every.weekdays)
    now = datetime(2036, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert due(schedule, UTC, NEW_YEAR, now) == Due(datetime(2036, 5, 6, 7, 8, tzinfo=UTC), MANY + 1)
    assert len(calls) < 200


def test_a_schedule_that_never_comes_has_no_times():
    schedule = parse("0 0 30 2 *")
    assert due(schedule, UTC, NEW_YEAR, NEW_YEAR + timedelta(days=1000)) == Due()
    assert following(schedule, UTC, NEW_YEAR, NEW_YEAR) is None


def test_a_time_that_a_clock_leaps_over_does_not_come():
    zone = time_zone("Europe/Berlin")
    begin, end = datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
    assert due(parse("30 2 * * *"), zone, begin, end) == Due(datetime(2026, 3, 28, 1, 30, tzinfo=UTC), 1)


def test_a_clock_that_went_back_starts_nothing():
    assert due(parse("@every 10s"), UTC, NEW_YEAR, NEW_YEAR - timedelta(days=1)) == Due()
    assert due(parse("* * * * *"), UTC, NEW_YEAR, NEW_YEAR - timedelta(days=1)) == Due()


@pytest.mark.parametrize(("kind", "ttl", "expected"), [
    ("Complete", 60, 50.0), ("Failed", 5, -5.0), ("FailureTarget", 5, None), ("Complete", None, None),
])  # fmt: skip
def test_a_job_goes_so_long_after_its_end(kind: str, ttl: int | None, expected: float | None):
    end = batch_v1.JobCondition(type=kind, status="True", lastTransitionTime=rfc3339(1000))
    job = batch_v1.Job(spec=batch_v1.JobSpec(ttlSecondsAfterFinished=ttl), status=batch_v1.JobStatus(conditions=(end,)))
    assert left(job, 1010) == expected
    going = batch_v1.Job(metadata=meta_v1.ObjectMeta(deletionTimestamp=rfc3339(1005)), spec=job.spec, status=job.status)
    assert left(going, 1010) is None
