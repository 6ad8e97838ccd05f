"""The replica calculator, by the numbers that upstream's own tests of it have, and the laws behind them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.controllers._hpa_replicas import (
    MOST,
    CannotCompute,
    Groups,
    Sample,
    Seen,
    Start,
    Tolerances,
    by_average,
    by_share,
    by_total,
    by_utilization,
    grouped,
    requested,
)

NOW = 1_700_000_000.0
START = Start(initialization=120, readiness_delay=10)
INT64 = 2**63 - 1
MINUTE = 60.0


def pod(
    name: str,
    *,
    ready: str = "True",
    phase: str = "Running",
    started: float | None = 0.0,
    changed: float = 0.0,
    going: bool = False,
    requests: tuple[str, ...] = ("1", "1"),
    **spec: Any,
) -> core_v1.Pod:
    """Started long ago; `ready` empty: nothing is said of that. A container for each request, empty: it has none."""
    containers = tuple(
        core_v1.Container(
            name=f"c{number}",
            resources=core_v1.ResourceRequirements(requests={"cpu": amount} if amount else {}),
        )
        for number, amount in enumerate(requests, 1)
    )
    condition = core_v1.PodCondition(type="Ready", status=ready, lastTransitionTime=rfc3339(changed))
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, deletionTimestamp=rfc3339(NOW) if going else None),
        spec=core_v1.PodSpec(containers=containers, **spec),
        status=core_v1.PodStatus(
            phase=phase,
            startTime=None if started is None else rfc3339(started),
            conditions=(condition,) if ready else (),
        ),
    )


def pods(count: int, states: str = "", **how: Any) -> tuple[core_v1.Pod, ...]:
    """Of each a letter: r(eady), n(ot ready), p(ending), f(ailed), s(ucceeded), g(oing), h(ot: it has just started)."""
    states = states or "r" * count
    kinds: dict[str, dict[str, Any]] = {
        "r": {},
        "n": {"ready": "False"},
        "p": {"ready": "False", "phase": "Pending"},
        "f": {"ready": "False", "phase": "Failed"},
        "s": {"ready": "False", "phase": "Succeeded"},
        "g": {"ready": "False", "going": True},
        "h": {"started": NOW, "changed": NOW},
    }
    return tuple(pod(f"p{number}", **kinds[state], **how) for number, state in enumerate(states))


def seen(current: int, among: tuple[core_v1.Pod, ...], up: float = 0.1, down: float = 0.1) -> Seen:
    return Seen(current, among, Tolerances(up, down), START, NOW)


def samples(*levels: int, times: int = 1) -> dict[str, Sample]:
    return {f"p{number}": Sample(times * level, NOW, 60.0) for number, level in enumerate(levels)}


# What it is; replicas now; states of Pods; use of each of two containers; target; replicas, percent, use of each.
UTILIZATION = [
    ("up", 3, "", (300, 500, 700), 30, 5, 50, 500),
    ("up: one that is not ready weakens", 3, "nrr", (300, 500, 700), 30, 4, 60, 600),
    ("up: one that has just started weakens", 3, "hrr", (300, 500, 700), 30, 4, 60, 600),
    ("those not ready are not counted", 3, "rnn", (400, 500, 700), 30, 3, 40, 400),
    ("failed ones do not count", 2, "rrff", (500, 700), 30, 4, 60, 600),
    ("ended ones do not count", 2, "rrss", (500, 700), 30, 4, 60, 600),
    ("deleted ones do not count", 2, "rrgg", (500, 700), 30, 4, 60, 600),
    ("down", 5, "", (100, 300, 500, 250, 250), 50, 3, 28, 280),
    ("down: without those not ready", 5, "rrrnn", (100, 300, 500, 250, 250), 50, 2, 30, 300),
    ("down: without those not scheduled", 5, "rpppp", (100,), 50, 1, 10, 100),
    ("down: without those that have just started", 5, "rrrhh", (100, 300, 500, 250, 250), 50, 2, 30, 300),
    ("down: without failed ones", 5, "rrrrrff", (100, 300, 500, 250, 250), 50, 3, 28, 280),
    ("down: without ended ones", 5, "rrrrrss", (100, 300, 500, 250, 250), 50, 3, 28, 280),
    ("down: without deleted ones", 5, "rrrrrgg", (100, 300, 500, 250, 250), 50, 3, 28, 280),
    ("more metrics than Pods", 4, "", (4000, 9500, 3000, 7000, 3200, 2000), 100, 24, 587, 5875),
    ("down: some tell nothing", 4, "", (400, 95), 100, 3, 24, 247.5),
    ("as wanted, one tells nothing", 2, "", (1000,), 100, 2, 100, 1000),
    ("above, one tells nothing", 2, "", (1900,), 100, 2, 190, 1900),
    ("below, one tells nothing", 2, "", (600,), 100, 2, 60, 600),
    ("one not ready, one silent", 3, "nrr", (100, 450), 50, 3, 45, 450),
    ("one that has just started, one silent", 3, "hrr", (100, 450), 50, 3, 45, 450),
    ("up: one not ready, one silent", 3, "nrr", (100, 2000), 50, 4, 200, 2000),
    ("down: one not ready, one silent", 4, "nrrr", (100, 100, 100), 50, 3, 10, 100),
    ("a rollout's further Pod is silent", 2, "rrr", (100, 100), 50, 2, 10, 100),
]


@pytest.mark.parametrize("case", UTILIZATION, ids=[case[0] for case in UTILIZATION])
def test_utilization(case: tuple[Any, ...]):
    _, current, states, levels, target, replicas, percent, each = case
    found = by_utilization(seen(current, pods(current, states)), samples(*levels, times=2), "cpu", "", target)
    assert (found.replicas, found.percent, found.value) == (replicas, percent, 2 * each)


def test_a_target_above_the_request_is_what_silent_pods_are_taken_to_use():
    among = (
        pod("p0", ready="False"),
        pod("p1"),
        *(pod(name, requests=("2", "2")) for name in ("p2", "p3")),
    )
    found = by_utilization(seen(4, among), samples(200, 100, 100, times=2), "cpu", "", 300)
    assert (found.replicas, found.percent, found.value) == (2, 6, 200)


TOLERANCES = [
    (0.1, 0.1, (1010, 1030, 1020), 3, 102),
    (0.0, 0.0, (909, 1010, 1111), 4, 101),
    (2.0, 0.1, (1890, 1910, 1900), 3, 190),
    (0.08, 2.0, (1100, 1080, 1090), 4, 109),
    (0.1, 0.36, (660, 640, 650), 3, 65),
    (0.1, 0.34, (660, 640, 650), 2, 65),
]


@pytest.mark.parametrize(("up", "down", "levels", "replicas", "percent"), TOLERANCES)
def test_tolerances_are_of_each_direction(up: float, down: float, levels: Any, replicas: int, percent: int):
    among = tuple(pod(f"p{at}", requests=(text, text)) for at, text in enumerate(("0.9", "1", "1.1")))
    found = by_utilization(seen(3, among, up, down), samples(*levels, times=2), "cpu", "", 100)
    assert (found.replicas, found.percent) == (replicas, percent)


def test_a_container_counts_alone():
    found = by_utilization(seen(3, pods(3)), samples(300, 500, 700), "cpu", "c2", 30)
    assert (found.replicas, found.percent, found.value) == (5, 50, 500)


@pytest.mark.parametrize(
    ("among", "levels", "said"),
    [
        ((), (1,), "no pods returned by selector while calculating replica count"),
        (pods(1, "n"), (100,), "did not receive metrics for targeted pods (pods might be unready)"),
        (pods(1), (), "did not receive metrics for targeted pods (pods might be unready)"),
        ((pod("other"),), (100,), "no metrics returned matched known pods"),
        (pods(1, requests=("", "1")), (100,), "missing request for cpu in container c1 of Pod p0"),
        (pods(1, requests=("0", "0")), (100,), "no metrics returned matched known pods"),
    ],
)
def test_what_cannot_be_computed_says_why(among: Any, levels: Any, said: str):
    with pytest.raises(CannotCompute) as error:
        by_utilization(seen(1, among), samples(*levels), "cpu", "", 50)
    assert str(error.value) == said


AVERAGE = [
    ("up", 3, "", (20000, 10000, 30000), 15000, 4, 20000),
    ("up: who has just started counts whole", 3, "rrh", (50000, 10000, 30000), 15000, 6, 30000),
    ("up: who is not ready counts whole", 3, "nrn", (50000, 15000, 30000), 15000, 7, 31666),
    ("down", 5, "", (12000,) * 5, 20000, 3, 12000),
    ("within tolerance", 3, "", (20000, 21000, 21000), 20000, 3, 20666),
    ("as wanted, some tell nothing", 5, "", (20000, 19000, 21000), 20000, 5, 20000),
    ("a rollout's further Pod is silent", 2, "rrr", (10000, 10000), 17000, 2, 10000),
]


@pytest.mark.parametrize("case", AVERAGE, ids=[case[0] for case in AVERAGE])
def test_a_metric_of_pods(case: tuple[Any, ...]):
    _, current, states, levels, target, replicas, average = case
    found = by_average(seen(current, pods(current, states)), samples(*levels), "", target)
    assert (found.replicas, found.value, found.percent) == (replicas, average, None)


def test_metrics_of_pods_that_are_gone_count_for_nothing():
    told = samples(10000, 10000) | {"gone": Sample(90000, NOW)}
    assert by_average(seen(2, pods(2)), told, "", 10000).replicas == 2
    with pytest.raises(CannotCompute, match="did not receive metrics"):
        by_average(seen(1, pods(1)), {"gone": Sample(1, NOW)}, "", 10)


TOTAL = [
    (3, "", 20000, 15000, 4),
    (3, "nrn", 50000, 10000, 5),
    (5, "", 12000, 20000, 3),
    (3, "", 20666, 20000, 3),
    (3, "nrn", 8600, 4400, 2),
    (5, "", 8600, 14334, 3),
    (3, "", 8600, 8888, 3),
    (3, "", INT64, 1, MOST),
    (3, "", INT64 + 1, INT64, 3),
]


@pytest.mark.parametrize(("current", "states", "value", "target", "replicas"), TOTAL)
def test_one_number_for_all_pods(current: int, states: str, value: int, target: int, replicas: int):
    found = by_total(seen(current, pods(current, states)), value, target)
    assert (found.replicas, found.value) == (replicas, min(value, INT64))


def test_one_number_says_how_many_where_there_are_none():
    assert by_total(seen(0, ()), 2500, 1000).replicas == 3
    assert by_total(seen(0, ()), 0, 1000).replicas == 0
    with pytest.raises(CannotCompute, match="unable to calculate ready pods: no pods returned by selector"):
        by_total(seen(1, ()), 2500, 1000)


SHARE = [
    (3, 8600, 2150, 4, 2867),
    (5, 8600, 2867, 3, 1720),
    (3, 8600, 2900, 3, 2867),
    (3, 20000, 5000, 4, 6667),
    (5, 6000, 2000, 3, 1200),
    (4, 20166, 5000, 4, 5042),
    (1, INT64, 1, MOST, INT64),
    (1, INT64, INT64, 1, INT64),
    (0, 0, 10, 0, 0),
    (0, 95, 10, 10, 95),
]


@pytest.mark.parametrize(("there", "value", "target", "replicas", "share"), SHARE)
def test_one_number_that_all_share(there: int, value: int, target: int, replicas: int, share: int):
    found = by_share(there, value, target, Tolerances())
    assert (found.replicas, found.value) == (replicas, share)


def test_a_smaller_tolerance_lets_small_changes_through():
    tight = Tolerances(up=0.01)
    assert by_share(3, 8600, 2800, tight).replicas == 4
    assert by_share(4, 20208, 5000, tight).replicas == 5
    assert by_total(seen(3, pods(3), up=0.01), 20666, 20000).replicas == 4
    assert by_average(seen(3, pods(3), up=0.01), samples(20000, 21000, 21000), "", 20000).replicas == 4


def test_negative_numbers_want_no_pods_and_no_target_is_an_error():
    assert by_average(seen(2, pods(2)), samples(-500, -300), "", 100).replicas <= 0
    assert by_share(2, -500, 100, Tolerances()).replicas <= 0
    with pytest.raises(CannotCompute, match="must be positive"):
        by_share(2, 500, 0, Tolerances())


# A Pod's state and when it came to it, when it was measured and over how long; does it count?
STARTING = [
    ("no condition", {"ready": "", "started": NOW}, NOW, 60, False),
    ("no start", {"started": None}, NOW, 60, False),
    ("ready for a window", {"started": NOW - 60, "changed": NOW - 30}, NOW, 30, True),
    ("ready for less than a window", {"started": NOW - 60, "changed": NOW - 30}, NOW, 60, False),
    ("not ready while it starts", {"ready": "False", "started": NOW - 60, "changed": NOW - 30}, NOW, 30, False),
    ("never was ready", {"ready": "False", "started": NOW - 600, "changed": NOW - 594}, NOW, 60, False),
    ("was ready once", {"ready": "False", "started": NOW - 600, "changed": NOW - 300}, NOW, 60, True),
    ("ready long since, measured before", {"started": NOW - 180, "changed": NOW - 180}, NOW - 600, 60, True),
]


@pytest.mark.parametrize("case", STARTING, ids=[case[0] for case in STARTING])
def test_cpu_of_a_pod_that_starts_says_nothing(case: tuple[Any, ...]):
    _, how, at, window, counts = case
    told = {"p": Sample(1, at, window)}
    found = grouped((pod("p", **how),), told, "cpu", START, NOW)
    assert found == (Groups(1, set(), set(), set()) if counts else Groups(0, {"p"}, set(), set()))
    assert grouped((pod("p", **how),), told, "memory", START, NOW).ready == 1


def test_requests_are_of_containers_and_sidecars_or_of_the_pod():
    def asking(**requests: str) -> core_v1.ResourceRequirements:
        return core_v1.ResourceRequirements(requests=requests)

    inits = (
        core_v1.Container(name="init", resources=asking(cpu="20m")),
        core_v1.Container(name="side", restartPolicy="Always", resources=asking(cpu="30m")),
    )
    both = pod("p", requests=("100m", "50m"), initContainers=inits)
    assert requested(both, "cpu") == 180
    assert requested(both, "cpu", "side") == 30
    assert requested(pod("p", requests=("", "50m")), "cpu", "c2") == 50
    whole = pod("p", requests=("", "50m"), resources=asking(cpu="800m", memory="1Ki"))
    assert (requested(whole, "cpu"), requested(whole, "memory")) == (800, 1024000)
    with pytest.raises(CannotCompute, match="missing pod-level request for memory in Pod p"):
        requested(pod("p", resources=asking(cpu="800m")), "memory")
    with pytest.raises(CannotCompute, match="container nobody not found in Pod p"):
        requested(both, "cpu", "nobody")


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from("rnpfgh"), min_size=1, max_size=8),
    st.lists(st.integers(0, 5000), max_size=8),
    st.integers(1, 300),
    st.integers(1, 10),
)
def test_silent_and_unready_pods_never_turn_a_change_round(
    states: list[str], levels: list[int], target: int, current: int
):
    try:
        found = by_utilization(seen(current, pods(0, "".join(states))), samples(*levels), "cpu", "", target)
    except CannotCompute:
        return
    assert found.percent is not None
    assert 0 <= found.replicas <= MOST
    if "g" not in states and "f" not in states and current >= len(states):
        ratio = found.percent / target
        assert found.replicas <= current or ratio > 1
