"""What commands have in common."""

import argparse

import pytest

from pybernetes.cmd._daemon import duration


def test_durations_of_flags_are_those_of_go() -> None:
    assert duration("1m30s") == 90
    for text, why in (("40", "missing unit"), ("-1s", '"-1s" is less than nothing')):
        with pytest.raises(argparse.ArgumentTypeError, match=why):
            duration(text)
