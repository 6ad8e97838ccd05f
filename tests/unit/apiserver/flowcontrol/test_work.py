"""What a request takes: lists by their bytes, writes by their watchers."""

import pytest

from pybernetes.apiserver.flowcontrol.work import ONE, Stored, Work, of_list, of_write


@pytest.mark.parametrize(
    ("stored", "limit", "single", "most", "seats"),
    [
        (None, 0, False, 10, 1),
        (Stored(0, 0), 0, False, 10, 1),
        (Stored(10, 99_999), 0, False, 10, 1),
        (Stored(1000, 999_999), 0, False, 10, 10),
        (Stored(1000, 999_999), 100, False, 10, 1),
        (Stored(1000, 999_999), 500, False, 10, 5),
        (Stored(1000, 9_999_999), 0, False, 0, 10),
        (Stored(1000, 9_999_999), 0, False, 4, 4),
        (Stored(1000, 9_999_999), 0, True, 10, 1),
        (Stored(10, 9_999_999), 0, True, 10, 10),
    ],
)
def test_lists(stored, limit, single, most, seats):
    found = of_list(stored, limit, single=single, most=most)
    assert found == Work(seats)
    assert (found is ONE) is (seats == 1), "the usual one is always the same"


@pytest.mark.parametrize(
    ("watchers", "most", "final", "linger"),
    [(9, 10, 0, 0), (10, 10, 1, 0.005), (95, 10, 10, 0.005), (95, 4, 4, 0.0125), (1000, 0, 10, 0.05)],
)
def test_writes(watchers, most, final, linger):
    found = of_write(watchers, most=most)
    assert (found.initial, found.final, found.linger) == (1, final, pytest.approx(linger))
    assert found.seats == max(1, final)
