"""Times as the API writes and reads them."""

import pytest

from pybernetes.aio.clock import parse_time, rfc3339, rfc3339_micro, rfc3339_nano


def test_time_has_whole_seconds_and_micro_time_six_digits():
    assert rfc3339(1_767_225_600.9) == "2026-01-01T00:00:00Z"
    assert rfc3339_micro(1_767_225_600.25) == "2026-01-01T00:00:00.250000Z"
    assert rfc3339_nano(1_767_225_600.25) == "2026-01-01T00:00:00.25Z"
    assert rfc3339_nano(1_767_225_600) == "2026-01-01T00:00:00Z"


def test_what_is_written_is_read_back():
    assert parse_time(rfc3339(1_767_225_601)) == 1_767_225_601
    assert parse_time("2026-01-01T01:00:00+01:00") == 1_767_225_600


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="without zone"):
        parse_time("2026-01-01T00:00:00")
