"""Go's duration texts."""

import pytest

from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.durations import seconds


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("-1s", -1), ("1.5h", 5400)]
)
def test_durations_are_seconds(text: str, value: float):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["30", "abc", "1m x"])
def test_a_number_without_unit_is_refused(text: str):
    with pytest.raises(Refused, match="invalid duration"):
        seconds(text)
