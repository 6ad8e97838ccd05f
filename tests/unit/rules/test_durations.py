"""Go's duration texts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.rules.durations import seconds_of, text_of

TEXTS = [("0s", 0), ("10s", 10), ("1m0s", 60), ("1m30s", 90), ("100ms", 0.1), ("4h0m0s", 14400), ("1.5s", 1.5),
         ("-1s", -1), ("2µs", 2e-6), ("1h0m0.25s", 3600.25), ("7ns", 7e-9)]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), TEXTS)
def test_durations_are_read_and_written_as_go_does(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
    assert text_of(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1.5h", 5400), ("+2m", 120), (".5s", 0.5), ("90s", 90), ("0" * 50 + "1s", 1), ("0." + "3" * 50 + "s", 1 / 3),
     ("8760h", 8760 * 3600), ("-9223372036854775808ns", -(2**63) / 10**9)],
)  # fmt: skip
def test_other_forms_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "why"),
    [("", 'time: invalid duration ""'), ("5", 'time: missing unit in duration "5"'), (".s", 'invalid duration ".s"'),
     ("1x", 'time: unknown unit "x" in duration "1x"'), ("-", 'time: invalid duration "-"'), ("1 s", "unknown unit"),
     ("1..5s", "missing unit"), ("\u0661s", r'invalid duration "\\xd9\\xa1s"'), ("9" * 5000 + "s", "invalid"),
     ("2562048h", "invalid duration"), ('5"', re.escape(r'unit "\"" in duration "5\""'))],
)  # fmt: skip
def test_what_is_no_duration_is_told_in_gos_words(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        seconds_of(text)


@given(st.integers(0, 10**15))
def test_every_duration_survives_the_round_trip(micros: int) -> None:
    assert round(seconds_of(text_of(micros / 10**6)) * 10**6) == micros
