"""Values of flags that commands have in common."""

import argparse

import pytest

from pybernetes.cmd._flags import count, duration, lasting


def test_durations_of_flags_are_those_of_go() -> None:
    assert duration("1m30s") == 90
    for text, why in (("40", "missing unit"), ("-1s", '"-1s" is less than nothing')):
        with pytest.raises(argparse.ArgumentTypeError, match=why):
            duration(text)


def test_what_must_be_more_than_nothing_and_what_is_counted() -> None:
    assert (lasting("1h"), count("12")) == (3600, 12)
    for kind, text in ((lasting, "0s"), (lasting, "-1s"), (count, "-1"), (count, "\u0663")):
        with pytest.raises(argparse.ArgumentTypeError):
            kind(text)
