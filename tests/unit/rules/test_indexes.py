"""Completion indexes as text."""

from pybernetes.rules import indexes


def test_indexes_are_counted_by_their_intervals():
    assert indexes.count("", 5) == 0
    assert indexes.count("0,2-4", 5) == 4
    assert list(indexes.intervals("0,2-4", 5)) == [(0, 0), (2, 4)]


def test_the_first_index_in_both_is_found():
    assert indexes.overlap("0,2-4,8", "1,5-9", 10) == 8
    assert indexes.overlap("0,2", "1,3", 10) is None
    assert indexes.overlap("x,3", "2-3,9", 10) == 3
    assert indexes.overlap("", "1", 10) is None
