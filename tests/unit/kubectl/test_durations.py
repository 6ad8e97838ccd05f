"""Go's duration texts."""

import pytest

from pybernetes.kubectl.command import Refused
from pybernetes.kubectl.durations import seconds


def test_durations_are_seconds():
    assert seconds("1m30s") == 90


@pytest.mark.parametrize(
    ("text", "why"), [("30", "missing unit in"), ("abc", "invalid"), ("1m x", 'unknown unit "m x" in')]
)
def test_other_texts_are_refused_for_their_flag(text: str, why: str):
    with pytest.raises(Refused) as refused:
        seconds(text, "--since")
    assert str(refused.value) == f'invalid argument "{text}" for "--since" flag: time: {why} duration "{text}"'
