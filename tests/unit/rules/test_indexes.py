"""Completion indexes as text."""

from hypothesis import given
from hypothesis import strategies as st

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


SETS = st.sets(st.integers(0, 30))


@given(SETS, SETS, st.integers(0, 32), st.integers(0, 32))
def test_intervals_are_sets(first: set[int], second: set[int], completions: int, most: int):
    ours, theirs = indexes.of(first), indexes.of(second)
    assert indexes.merged(ours, theirs) == indexes.of(first | second)
    assert indexes.total(ours) == len(first)
    assert indexes.shared(ours, theirs) == len(first & second)
    assert {n for n in range(32) if indexes.holds(ours, n)} == first
    assert indexes.missing(ours, completions, most) == [n for n in range(completions) if n not in first][:most]
    assert indexes.readable(indexes.written(ours), 31) == ours
    assert indexes.readable(indexes.written(ours), completions) == indexes.of(n for n in first if n < completions)


def test_intervals_are_written_as_upstream_does():
    assert indexes.written(indexes.of([0, 1, 3, 5, 6, 7])) == "0,1,3,5-7"
    assert indexes.readable("1,x,3-,4-5,9", 5) == ((1, 1), (4, 4))
