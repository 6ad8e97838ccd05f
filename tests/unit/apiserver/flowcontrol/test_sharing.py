"""How the server's seats are divided: by shares, and by what levels ask for."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pybernetes.apiserver.flowcontrol.sharing import (
    Demand,
    Limits,
    Observed,
    Want,
    allocated,
    limits_of,
    rounded,
    smoothed,
)


@pytest.mark.parametrize(
    ("shares", "lendable", "borrowing", "limits"),
    [
        (30, 33, None, Limits(74, 50, 674)),
        (40, 25, None, Limits(98, 73, 698)),
        (20, 50, 0, Limits(49, 24, 49)),
        (5, 0, 100, Limits(13, 13, 26)),
        (0, 0, None, Limits(0, 0, 600)),
    ],
)
def test_bounds_follow_from_shares_and_percents(
    shares: int, lendable: int, borrowing: int | None, limits: Limits
) -> None:
    assert limits_of(600, shares, 245, lendable, borrowing) == limits


def test_halves_are_rounded_up_as_go_does() -> None:
    assert [rounded(value) for value in (0.5, 1.5, 2.5, 24.49)] == [1, 2, 3, 24]


amounts = st.floats(0, 50).map(lambda value: round(value, 3))
wants = st.tuples(amounts, amounts, amounts).map(lambda t: Want(t[0] + t[1], t[0], t[0] + t[2]))


@given(st.lists(wants, min_size=1, max_size=9), st.floats(0, 1))
def test_parts_sum_up_and_are_fair_within_their_bounds(given_wants: list[Want], place: float) -> None:
    low, high = sum(want.lower for want in given_wants), sum(want.upper for want in given_wants)
    total = low + (high - low) * place
    parts, fraction = allocated(total, given_wants)
    assert sum(parts) == pytest.approx(total, abs=1e-5)
    for want, part in zip(given_wants, parts, strict=True):
        assert want.lower <= part <= want.upper
        fair = fraction * max(want.target, 0.001)
        assert part == pytest.approx(max(want.lower, min(want.upper, fair)), abs=1e-5)


@given(st.lists(wants, max_size=5), st.floats(0.1, 10))
def test_what_the_bounds_do_not_allow_is_refused(given_wants: list[Want], too_much: float) -> None:
    high = sum(want.upper for want in given_wants)
    with pytest.raises(ValueError, match="cannot be divided"):
        allocated(high + too_much, given_wants)
    low = sum(want.lower for want in given_wants)
    assume(low > too_much)
    with pytest.raises(ValueError, match="cannot be divided"):
        allocated(low - too_much, given_wants)


def test_a_level_that_wants_more_borrows_what_others_do_not_use() -> None:
    idle = [Want(10, 10, 600)] * 2
    (one, two, busy), _ = allocated(120, [*idle, Want(200, 20, 600)])
    assert one == two == 10
    assert busy == 100


def test_demand_is_averaged_over_time() -> None:
    now = 0.0
    demand = Demand(lambda: now)
    demand.set(10)
    now = 5.0
    demand.set(0)
    now = 10.0
    assert demand.reset() == Observed(10.0, 5.0, 5.0, 10)
    now = 20.0
    assert demand.reset() == Observed(10.0, 0.0, 0.0, 0.0)
    assert demand.reset() == Observed(0.0, 0.0, 0.0, 0.0)


def test_demand_is_believed_at_once_and_forgotten_slowly() -> None:
    assert smoothed(0, Observed(10, 20, 5, 40)) == 25
    assert smoothed(25, Observed(0, 0, 0, 0)) == 25
    demand = 100.0
    for _ in range(30):  # five minutes
        demand = smoothed(demand, Observed(10, 0, 0, 0))
    assert demand == pytest.approx(50, abs=1)
