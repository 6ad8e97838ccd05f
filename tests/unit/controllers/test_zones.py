"""The arithmetic of zones: states, rates, turns."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.controllers._zones import Limiter, Rates, Seen, State, Turn, Zones, rate_of, state_of, zone_of

RATES = Rates()


@pytest.mark.parametrize(
    ("size", "unhealthy", "state"),
    [
        (0, 0, State.NORMAL),
        (1, 0, State.NORMAL),
        (1, 1, State.FULL),
        (3, 2, State.NORMAL),
        (5, 3, State.PARTIAL),
        (6, 3, State.NORMAL),
        (100, 54, State.NORMAL),
        (100, 55, State.PARTIAL),
        (100, 100, State.FULL),
    ],
)
def test_a_zone_has_the_state_that_upstream_gives_it(size: int, unhealthy: int, state: State) -> None:
    assert state_of(size, unhealthy, RATES) is state


def test_only_a_disrupted_part_slows_down_and_in_a_small_zone_stops() -> None:
    assert rate_of(State.NORMAL, 10, RATES) == rate_of(State.FULL, 10, RATES) == 0.1
    assert rate_of(State.PARTIAL, 50, RATES) == 0
    assert rate_of(State.PARTIAL, 51, RATES) == 0.01


def test_a_zone_is_named_by_region_and_zone_old_labels_and_new() -> None:
    assert zone_of({}) == ""
    new = {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"}
    old = {"failure-domain.beta.kubernetes.io/region": "r", "failure-domain.beta.kubernetes.io/zone": "z"}
    assert zone_of(new) == zone_of(old) == zone_of(old | {"topology.kubernetes.io/zone": "z"}) == "r:\x00:z"
    assert zone_of({"topology.kubernetes.io/zone": "z"}) == ":\x00:z"


def test_a_limiter_gives_one_at_once_and_then_one_in_ten_seconds() -> None:
    limiter = Limiter()
    limiter.change(0.1, 0)
    assert [limiter.take(now) for now in (0, 5, 10, 11, 19.9, 20)] == [True, False, True, False, False, True]
    assert limiter.wait(25) == pytest.approx(5)
    limiter.change(0, 30)
    assert limiter.wait(1000) == inf
    assert not limiter.take(1000)
    limiter.change(0.1, 1000)
    assert not limiter.take(1009)
    assert limiter.take(1010)


def seen(ready: bool = True, zone: str = "z") -> Seen:
    return Seen(uid="u", zone=zone, ready=ready, empties=not ready)


def test_who_moves_to_another_zone_waits_on_there() -> None:
    zones = Zones()
    zones.saw("other", seen(), 0)
    zones.saw("a", seen(ready=False), 0)
    zones.saw("a", seen(ready=False, zone="y"), 3)
    zones.judge(3, RATES)
    assert zones.grant(4, 5) == []
    assert zones.wait(4, 5) == pytest.approx(1)
    assert zones.grant(5, 5) == ["a"]


def test_who_was_granted_and_is_stopped_waits_again() -> None:
    zones = Zones()
    zones.saw("a", seen(ready=False), 0)
    zones.saw("b", seen(), 0)
    assert zones.judge(0, RATES) is Turn.NONE
    assert zones.grant(9, 5) == ["a"]
    zones.saw("b", seen(ready=False), 9)
    assert zones.judge(9, RATES) is Turn.STOPPED
    assert not zones.granted
    assert zones.grant(99, 5) == []
    zones.saw("b", seen(), 100)
    assert zones.judge(100, RATES) is Turn.RESUMED
    assert zones.grant(109, 5) == []
    assert zones.grant(110, 5) == ["a"]


steps = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["ready", "not", "gone"]), st.sampled_from("yz")), max_size=40
)


@given(steps)
def test_the_books_agree_with_a_recount_and_nobody_is_emptied_while_none_answers(
    found: list[tuple[str, str, str]],
) -> None:
    zones, now = Zones(), 0.0
    for name, what, zone in found:
        now += 7
        if what == "gone":
            zones.gone(name)
        else:
            zones.saw(name, seen(what == "ready", zone), now)
        zones.judge(now, RATES)
        granted = zones.grant(now, 5)
        assert not (granted and not any(one.ready for one in zones.nodes.values()))
        for one, books in zones.zones.items():
            here = [node for node in zones.nodes.values() if node.zone == one]
            assert (books.size, books.unhealthy) == (len(here), sum(not node.ready for node in here))
            assert len(granted) <= len(zones.zones)
        waiting = {name for books in zones.zones.values() for name in books.waiting} | zones.granted
        assert waiting == {name for name, node in zones.nodes.items() if node.empties}
