"""How fast an autoscaler may go: windows, policies and bounds, with the numbers of upstream's tests."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api.types.autoscaling_v2 import HPAScalingPolicy, HPAScalingRules
from pybernetes.controllers import _hpa_behavior as behavior
from pybernetes.controllers._hpa_behavior import History, Past, settled

NOW = 10_000.0
Pair = tuple[int, int]


def rules(
    pods: Pair | None = None, percent: Pair | None = None, select: str = "Max", window: int = 0
) -> HPAScalingRules:
    """Policies of so many (Pods, percent) in so many seconds."""
    policies = [
        HPAScalingPolicy(type=kind, value=given[0], periodSeconds=given[1])
        for kind, given in (("Pods", pods), ("Percent", percent))
        if given is not None
    ]
    return HPAScalingRules(stabilizationWindowSeconds=window, selectPolicy=select, policies=tuple(policies))


def spread(*changes: int, over: float = 120) -> list[Past]:
    """Changes evenly over the last seconds, each in the middle of its part."""
    part = over / len(changes)
    return [Past(NOW - over + part * (at + 0.5), change) for at, change in enumerate(changes)]


# Replicas now, wanted, least, most; the answer and its reason.
BOUNDS = [
    (5, 7, 3, 8, 7, "DesiredWithinRange"),
    (3, 1, 2, 8, 2, "TooFewReplicas"),
    (1, 0, 0, 10, 0, "DesiredWithinRange"),
    (20, 1000, 1, 10, 10, "TooManyReplicas"),
    (3, 1000, 1, 2000, 6, "ScaleUpLimit"),
    (1, 1000, 1, 2000, 4, "ScaleUpLimit"),
    (0, 1000, 0, 2000, 4, "ScaleUpLimit"),
]


@pytest.mark.parametrize(("current", "desired", "least", "most", "replicas", "reason"), BOUNDS)
def test_without_behavior_it_at_most_doubles(
    current: int, desired: int, least: int, most: int, replicas: int, reason: str
):
    found = behavior.limited(current, desired, least, most)
    assert (found.replicas, found.reason) == (replicas, reason)


UP, DOWN, EVENTS = "up", "down", (1, 5, 9)
# Direction, its rules, what was done before in it (and against it), replicas now, wanted, least, most; answer, reason.
POLICIES: list[tuple[Any, ...]] = [
    (UP, None, (), (), 5, 7, 3, 8, 7, "DesiredWithinRange"),
    (UP, None, (), (), 3, 1, 2, 8, 2, "TooFewReplicas"),
    (UP, None, (), (), 1, 0, 0, 10, 0, "DesiredWithinRange"),
    (UP, None, (), (), 100, 1000, 100, 150, 150, "TooManyReplicas"),
    (UP, rules(None, (1, 60)), (), (), 3, 1000, 1, 2000, 4, "ScaleUpLimit"),
    (DOWN, rules((20, 60)), (), (), 1000, 3, 3, 2000, 980, "ScaleDownLimit"),
    (UP, None, (), (), 10, 50, 1, 1000, 20, "ScaleUpLimit"),
    (UP, rules((100, 60), (100, 60)), (), (), 10, 500, 1, 1000, 110, "ScaleUpLimit"),
    (UP, rules((2, 60), (100, 60)), (), (), 10, 500, 1, 1000, 20, "ScaleUpLimit"),
    (UP, rules((100, 60)), (), (), 10, 50, 1, 1000, 50, "DesiredWithinRange"),
    (UP, rules((30, 60)), (), (), 10, 50, 1, 1000, 40, "ScaleUpLimit"),
    (UP, rules(None, (200, 60)), (), (), 10, 50, 1, 1000, 30, "ScaleUpLimit"),
    (DOWN, rules((20, 60), (1, 60)), (), (), 100, 2, 1, 1000, 80, "ScaleDownLimit"),
    (DOWN, rules((2, 60), (1, 60)), (), (), 100, 2, 1, 1000, 98, "ScaleDownLimit"),
    (DOWN, rules((100, 60)), (), (), 10, 0, 1, 1000, 1, "TooFewReplicas"),
    (DOWN, rules(None, (100, 60)), (), (), 10, 2, 5, 1000, 5, "TooFewReplicas"),
    (DOWN, rules((5, 60)), (), (), 10, 2, 1, 1000, 5, "ScaleDownLimit"),
    (DOWN, rules(None, (50, 60)), (), (), 10, 5, 1, 1000, 5, "DesiredWithinRange"),
    (UP, rules((300, 60)), EVENTS, (), 100, 500, 1, 200, 200, "TooManyReplicas"),
    (UP, rules(None, (10000, 60)), EVENTS, (), 100, 500, 1, 200, 200, "TooManyReplicas"),
    (UP, rules((5, 120)), EVENTS, (), 100, 500, 1, 1000, 100, "ScaleUpLimit"),
    (UP, rules((150, 120)), EVENTS, (), 100, 500, 1, 1000, 235, "ScaleUpLimit"),
    (UP, rules(None, (200, 120)), EVENTS, (), 100, 500, 1, 1000, 255, "ScaleUpLimit"),
    (UP, rules(None, (300, 300)), (4,), (2,), 6, 24, 1, 1000, 16, "ScaleUpLimit"),
    (DOWN, None, EVENTS, (), 10, 5, 1, 1000, 5, "DesiredWithinRange"),
    (DOWN, rules((115, 120)), EVENTS, (), 100, 0, 1, 1000, 1, "TooFewReplicas"),
    (DOWN, rules((130, 120)), EVENTS, (), 100, 0, 5, 1000, 5, "TooFewReplicas"),
    (DOWN, rules(None, (100, 120)), EVENTS, (), 100, 2, 5, 1000, 5, "TooFewReplicas"),
    (DOWN, rules((5, 120)), EVENTS, (), 100, 2, 1, 1000, 100, "ScaleDownLimit"),
    (DOWN, rules(None, (50, 120)), (2, 4, 6), (), 100, 0, 1, 1000, 56, "ScaleDownLimit"),
    (DOWN, rules(None, (50, 180)), (4,), (2,), 10, 1, 1, 1000, 6, "ScaleDownLimit"),
    (DOWN, rules(None, (10, 120)), (10, 10, 10), (), 100, 0, 1, 1000, 100, "ScaleDownLimit"),
    (DOWN, rules(None, (1000, 120)), (10, 10, 10), (), 10, 5, 1, 1000, 5, "DesiredWithinRange"),
    (UP, rules((1000, 60)), (8, 12, 9, 11), (), 100, 200, 1, 1000, 200, "DesiredWithinRange"),
    (UP, rules((2, 60), (50, 60), "Min"), (), (), 1, 10, 1, 1000, 2, "ScaleUpLimit"),
    (DOWN, rules((2, 60), (50, 60), "Min"), (), (), 5, 1, 1, 1000, 3, "ScaleDownLimit"),
    (UP, rules((2, 60), select="Disabled"), (), (), 5, 9, 1, 1000, 5, "ScaleUpLimit"),
    (DOWN, rules((2, 60), select="Disabled"), (), (), 5, 1, 1, 1000, 5, "ScaleDownLimit"),
]


@pytest.mark.parametrize("case", POLICIES)
def test_policies_look_at_the_start_of_their_periods(case: tuple[Any, ...]):
    direction, own, before, against, current, desired, least, most, replicas, reason = case
    done, undone = (spread(*part) if part else [] for part in (before, against))
    up = settled(own if direction == UP else None, up=True, window=300)
    down = settled(own if direction == DOWN else None, up=False, window=300)
    past = History(added=done, removed=undone) if direction == UP else History(added=undone, removed=done)
    found = behavior.limited_by(past, (least, most), current, desired, (up, down), NOW)
    assert (found.replicas, found.reason) == (replicas, reason)


def minutes(*told: Pair) -> list[Past]:
    """(minutes ago, replicas)."""
    return [Past(NOW - 60 * ago, replicas) for ago, replicas in told]


# What was recommended, wanted; the answer, and how much is remembered then.
STABLE = [
    ((), 5, 5, 1),
    (((2, 4), (1, 5)), 3, 5, 3),
    (((2, 1), (1, 2)), 3, 3, 3),
    (((10, 10), (9, 9)), 3, 3, 1),
    (((10, 10), (1, 4), (2, 5), (9, 9)), 3, 5, 3),
]


@pytest.mark.parametrize(("before", "desired", "replicas", "remembered"), STABLE)
def test_without_behavior_the_most_of_five_minutes_counts(before: Any, desired: int, replicas: int, remembered: int):
    past = History(recommended=minutes(*before))
    found = behavior.stabilized(past, desired, 300, NOW)
    assert found.replicas == replicas
    assert found.reason == ("ReadyForNewScale" if replicas == desired else "ScaleDownStabilized")
    assert len(past.recommended) == remembered


# Before, replicas now, wanted, windows for growing and shrinking in seconds; the answer and its reason.
WINDOWS = [
    ((), 100, 5, 0, 0, 5, "ReadyForNewScale"),
    (((2, 4), (1, 5)), 100, 3, 0, 180, 5, "ScaleDownStabilized"),
    (((2, 4), (1, 5)), 1, 7, 300, 0, 4, "ScaleUpStabilized"),
    (((2, 1), (1, 2)), 100, 3, 300, 0, 3, "ReadyForNewScale"),
    (((2, 4), (1, 5)), 1, 3, 0, 300, 3, "ReadyForNewScale"),
    (((10, 10), (9, 9)), 100, 3, 0, 0, 3, "ReadyForNewScale"),
    (((10, 10), (9, 9)), 1, 100, 0, 0, 100, "ReadyForNewScale"),
    (((10, 10), (1, 4), (2, 5), (9, 9)), 100, 3, 0, 180, 5, "ScaleDownStabilized"),
    (((100, 10), (1, 6), (2, 5), (3, 9)), 1, 100, 300, 0, 5, "ScaleUpStabilized"),
    (((100, 2), (3, 3)), 2, 1, 300, 300, 2, "ScaleDownStabilized"),
    (((100, 2), (3, 1)), 2, 3, 300, 300, 2, "ScaleUpStabilized"),
]


@pytest.mark.parametrize(("before", "current", "desired", "up", "down", "replicas", "reason"), WINDOWS)
def test_each_direction_has_its_window(
    before: Any, current: int, desired: int, up: int, down: int, replicas: int, reason: str
):
    past = History(recommended=minutes(*before))
    found = behavior.stabilized_by(past, current, desired, rules(window=up), rules(window=down), NOW)
    assert (found.replicas, found.reason) == (replicas, reason)


def test_changes_are_remembered_as_long_as_a_policy_looks_back():
    up, down = rules((10, 60), (100, 30)), rules((1, 20))
    past = History(added=[Past(NOW - ago, 1) for ago in (61, 60, 29)], removed=[Past(NOW - 90, 3)])
    past.changed(10, 15, up, down, NOW)
    past.changed(15, 12, up, down, NOW + 1)
    assert past.added == [Past(NOW - 29, 1), Past(NOW, 5)]
    assert past.removed == [Past(NOW + 1, 3)]


def test_what_rules_leave_out_is_upstreams():
    up, down = settled(None, up=True, window=120), settled(HPAScalingRules(tolerance="0"), up=False, window=120)
    assert (up.stabilizationWindowSeconds, down.stabilizationWindowSeconds) == (0, 120)
    assert [(p.type, p.value, p.periodSeconds) for p in up.policies] == [("Pods", 4, 15), ("Percent", 100, 15)]
    assert [(p.type, p.value, p.periodSeconds) for p in down.policies] == [("Percent", 100, 15)]
    assert settled(rules((1, 9), select="Min", window=7), up=False, window=120) == rules((1, 9), select="Min", window=7)


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30),
    st.integers(0, 5),
    st.integers(5, 40),
    st.booleans(),
    st.tuples(st.integers(1, 9), st.integers(15, 120)),
)
def test_bounds_hold_whatever_is_wanted_and_memory_stays_small(
    wanted: list[int], least: int, most: int, ruled: bool, policy: Pair
):
    past, current, now, sizes = History(), least, NOW, [Past(0, least)]
    up, down = (settled(rules(policy), up=going, window=60) for going in (True, False))
    for desired in wanted:
        past.begin(current, now)
        if ruled:
            stable = behavior.stabilized_by(past, current, desired, up, down, now)
            size = behavior.limited_by(past, (least, most), current, stable.replicas, (up, down), now).replicas
            start = [one.replicas for one in sizes if one.at <= now - policy[1]][-1]
            assert min(current, start - policy[0]) <= size <= max(current, start + policy[0])
        else:
            stable = behavior.stabilized(past, desired, 60, now)
            size = behavior.limited(current, stable.replicas, least, most).replicas
            assert size <= max(2 * current, 4)
        assert least <= size <= most
        if size != current:
            past.changed(current, size, up, down, now)
            sizes.append(Past(now, size))
        current, now = size, now + 15
    assert len(past.recommended) <= 6
    assert len(past.added) + len(past.removed) <= 20
