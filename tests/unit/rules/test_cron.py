"""Cron schedules: what is understood, what is refused and how, and when they come."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pybernetes.rules import cron

NEW_YORK = ZoneInfo("America/New_York")


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def coming(text, start, zone=UTC, count=1):
    found, when = [], at(start)
    for _ in range(count):
        when = cron.parse(text).next_after(when, zone)
        found.append(when.strftime("%Y-%m-%dT%H:%M"))
    return found if count > 1 else found[0]


@pytest.mark.parametrize(
    ("text", "start", "wanted"),
    [
        ("* * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01"),
        ("* * * * *", "2026-01-01T00:00:59.9", "2026-01-01T00:01"),
        ("*/15 * * * *", "2026-01-01T00:15:00", "2026-01-01T00:30"),
        ("5/20 * * * *", "2026-01-01T00:26:00", "2026-01-01T00:45"),
        ("0 9-17/4 * * MON-fri", "2026-01-02T17:00:00", "2026-01-05T09:00"),
        ("0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00"),
        ("0 0 13 * ?", "2026-01-01T00:00:00", "2026-01-13T00:00"),
        ("0 0 */2 * 1", "2026-01-05T00:00:00", "2026-01-07T00:00"),
        ("30 3 1 JAN,Jul *", "2026-01-01T03:30:00", "2026-07-01T03:30"),
        ("@hourly", "2026-12-31T23:30:00", "2027-01-01T00:00"),
        ("@weekly", "2026-01-01T00:00:00", "2026-01-04T00:00"),
        ("@yearly", "2026-01-01T00:00:00", "2027-01-01T00:00"),
        ("@every 1h30m", "2026-01-01T00:00:10.5", "2026-01-01T01:30"),
    ],
)
def test_the_next_time_is_the_first_that_fits(text, start, wanted):
    assert coming(text, start) == wanted


def test_a_day_that_never_comes_has_no_next_time():
    assert cron.parse("0 0 30 2 *").next_after(at("2026-01-01T00:00:00")) is None
    assert cron.parse(", * * * *").next_after(at("2026-01-01T00:00:00")) is None


def test_wall_clock_times_are_those_of_the_zone():
    assert coming("0 9 * * *", "2026-01-01T00:00:00", NEW_YORK) == "2026-01-01T14:00"
    assert coming("0 9 * * *", "2026-07-01T00:00:00", NEW_YORK) == "2026-07-01T13:00"
    assert coming("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T01:00:00", NEW_YORK) == "2026-01-02T00:00"


def test_an_hour_that_is_leapt_over_does_not_come():
    assert coming("30 2 * * *", "2026-03-08T06:00:00", NEW_YORK) == "2026-03-09T06:30"


def test_an_hour_that_is_passed_twice_comes_twice():
    assert coming("30 1 * * *", "2026-11-01T04:00:00", NEW_YORK, 3) == [
        "2026-11-01T05:30",
        "2026-11-01T06:30",
        "2026-11-02T06:30",
    ]


def test_a_day_without_midnight_begins_later():
    assert coming("0 1 * * *", "2018-11-04T00:00:00", ZoneInfo("America/Sao_Paulo")) == "2018-11-04T03:00"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("* 5-2 * * *", "beginning of range (5) beyond end of range (2): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("-1 * * * *", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        (
            "9" * 30 + " * * * *",
            f'failed to parse int from {"9" * 30}: strconv.Atoi: parsing "{"9" * 30}": value out of range',
        ),
        ("@often", "unrecognized descriptor: @often"),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@every 5d", 'failed to parse duration @every 5d: time: unknown unit "d" in duration "5d"'),
        ("@every ", 'failed to parse duration @every : time: invalid duration ""'),
        ("TZ=Nowhere 0 0 * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
        ("TZ=../x 0 0 * * *", "provided bad location ../x: time: invalid location name"),
        ("TZ=UTC", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
    ],
)
def test_what_is_no_schedule_is_refused_in_upstreams_words(text, refusal):
    with pytest.raises(ValueError) as caught:
        cron.parse(text)
    assert str(caught.value) == refusal


@pytest.mark.parametrize("name", ["America", "tzdata.zi", "no/such", "a\x00b", "éa", "x" * 300])
def test_a_zone_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="unknown time zone"):
        cron.time_zone(name)
