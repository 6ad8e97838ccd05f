"""What a DaemonSet does next, by its Nodes and Pods: laws over any of them, and single cases."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybernetes.api.types import core_v1
from pybernetes.controllers import _daemons as daemons
from pybernetes.controllers._daemons import GENERATION, DaemonSet, Fleet, Node, Pod

NOW = 1_767_225_600.0
STATES = ("unready", "ready", "failed", "terminating")


def daemon_set(surge: int | str = 0, unavailable: int | str = 1, **pod: Any) -> DaemonSet:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c"}], **pod}}
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"template": template, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    return msgspec.convert({"metadata": {"name": "agent", "uid": "ds"}, "spec": spec}, DaemonSet)


def node(name: str, *taints: tuple[str, str], **labels: str) -> Node:
    listed = [{"key": key, "effect": effect} for key, effect in taints]
    return msgspec.convert({"metadata": {"name": name, "labels": labels}, "spec": {"taints": listed}}, Node)


def pod(on: str, state: str = "ready", revision: str = "new", number: int = 0) -> Pod:
    meta = {"name": f"agent-{on}-{number}", "uid": f"{on}-{number}", "labels": {"controller-revision-hash": revision}}
    if state == "terminating":
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ready = "True" if state in ("ready", "terminating") else "False"
    status = {
        "phase": "Failed" if state == "failed" else "Running",
        "conditions": [{"type": "Ready", "status": ready}],
    }
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": on}, "status": status}, Pod)


def names(pods: list[Pod]) -> list[str]:
    return [p.metadata.name for p in pods]


fleets = st.tuples(
    st.lists(st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(("old", "new"))), max_size=3), max_size=5),
    st.integers(0, 3),
)


def made(world: Any, *, surge: bool) -> Fleet:
    pods, most = world
    ds = daemon_set(most, 0) if surge else daemon_set(0, most)
    everywhere = [
        pod(f"n{at}", state, revision, number)
        for at, there in enumerate(pods)
        for number, (state, revision) in enumerate(there)
    ]
    return Fleet(ds, [node(f"n{at}") for at in range(len(pods))], everywhere, "new", NOW)


@given(fleets, st.booleans())
def test_a_node_gets_a_pod_only_where_none_is_or_comes(world, surge):
    fleet = made(world, surge=surge)
    steps = fleet.placed()
    assert len(set(steps.create)) == len(steps.create)
    for name in steps.create:
        there = fleet.pods.get(name, [])
        assert all(p.metadata.deletionTimestamp for p in there) if surge else not there


@given(fleets)
def test_without_surge_one_running_pod_is_left_on_each_node(world):
    fleet = made(world, surge=False)
    gone = set(names(fleet.placed().delete))
    for there in fleet.pods.values():
        running = [p for p in there if p.status.phase == "Running" and not p.metadata.deletionTimestamp]
        assert len([p for p in running if p.metadata.name not in gone]) == min(1, len(running))


@given(fleets, st.booleans())
def test_an_update_deletes_only_old_pods_that_do_not_end_yet(world, surge):
    steps = made(world, surge=surge).updated()
    assert len(set(names(steps.delete))) == len(steps.delete)
    for p in steps.delete:
        assert p.metadata.labels["controller-revision-hash"] == "old"
        assert p.metadata.deletionTimestamp is None


@given(fleets)
def test_an_update_takes_no_more_available_pods_than_max_unavailable_leaves(world):
    fleet = made(world, surge=False)
    well = [p for p in fleet.updated().delete if fleet.is_available(p)]
    up = 0
    for name in fleet.desired:
        there = [p for p in fleet.pods.get(name, []) if not p.metadata.deletionTimestamp]
        up += len(there) == 1 and fleet.is_available(there[0])
    assert len(well) <= max(0, fleet.unavailable - (len(fleet.desired) - up))


@given(fleets)
def test_a_surging_update_leaves_every_available_node_available(world):
    fleet = made(world, surge=True)
    if not fleet.surge:
        return
    steps = fleet.updated()
    gone = set(names(steps.delete))
    for name in fleet.desired:
        there = [p for p in fleet.pods.get(name, []) if not p.metadata.deletionTimestamp]
        if any(fleet.is_available(p) for p in there):
            assert any(fleet.is_available(p) for p in there if p.metadata.name not in gone)


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        ((), (True, True)),
        ((("mine", "PreferNoSchedule"),), (True, True)),
        ((("mine", "NoSchedule"),), (False, True)),
        ((("mine", "NoExecute"),), (False, False)),
        ((("node.kubernetes.io/unreachable", "NoExecute"),), (True, True)),
        ((("node.kubernetes.io/unschedulable", "NoSchedule"),), (True, True)),
        ((("node.kubernetes.io/network-unavailable", "NoSchedule"),), (False, True)),
    ],
)
def test_which_taints_a_daemon_endures(taints, expected):
    assert daemons.should_run(daemon_set(), node("n", *taints)) == expected


def test_a_daemon_on_the_hosts_network_needs_no_network():
    tainted = node("n", ("node.kubernetes.io/network-unavailable", "NoSchedule"))
    assert daemons.should_run(daemon_set(hostNetwork=True), tainted) == (True, True)


def test_labels_names_and_affinity_choose_nodes():
    chosen = daemon_set(nodeSelector={"color": "blue"})
    assert daemons.should_run(chosen, node("n", color="blue")) == (True, True)
    assert daemons.should_run(chosen, node("n", color="red")) == (False, False)
    named = daemon_set(nodeName="n")
    assert daemons.should_run(named, node("n")) == (True, True)
    assert daemons.should_run(named, node("m")) == (False, False)


def test_a_toleration_of_the_template_that_every_daemon_has_is_there_once():
    own = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]
    held = daemons.tolerations(daemon_set(tolerations=own).spec.template.spec)
    assert [t.tolerationSeconds for t in held if t.key == "node.kubernetes.io/not-ready"] == [None]


def test_tolerations_of_the_template_stand_where_they_are():
    own = [{"key": "a"}, {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]
    held = daemons.tolerations(daemon_set(tolerations=[*own, {"key": "z"}]).spec.template.spec)
    keys = [t.key.removeprefix("node.kubernetes.io/") for t in held]
    assert keys[:4] == ["a", "unreachable", "z", "not-ready"]
    assert len(keys) == len(set(keys)) == 8


@pytest.mark.parametrize(("noted", "label"), [("7", "7"), ("007", "7"), ("", None), ("-1", None), ("not one!", None)])
def test_the_template_generation_of_a_pod_is_a_number(noted, label):
    ds = daemon_set()
    ds = msgspec.structs.replace(ds, metadata=msgspec.structs.replace(ds.metadata, annotations={GENERATION: noted}))
    assert daemons.new_pod(ds, "n", "new").metadata.labels.get("pod-template-generation") == label


@pytest.mark.parametrize(
    ("there", "created", "deleted"),
    [
        ({"n1": ["new"], "n2": ["new"] * 2, "n3": ["new"] * 5}, ["n0", "n4"], ["n2-1", "n3-1", "n3-2", "n3-3", "n3-4"]),
        ({"n1": ["old ready", "old ready", "new"], "n2": ["new"]}, ["n0", "n3", "n4"], ["n1-1"]),
        ({"n1": ["old", "old ready", "new"], "n2": ["new"]}, ["n0", "n3", "n4"], ["n1-0", "n1-1"]),
        ({"n1": ["old ready", "new ready"], "n2": ["new"]}, ["n0", "n3", "n4"], ["n1-0"]),
        ({f"n{n}": ["old ready"] for n in range(4)} | {"n4": ["old ready terminating"]}, ["n4"], []),
    ],
)
def test_surging_nodes_are_cleared_as_upstreams_table_says(there, created, deleted):
    pods = []
    for name, listed in there.items():
        for number, text in enumerate(listed):
            revision, *state = text.split()
            pods.append(pod(name, state[-1] if state else "unready", revision, number))
    steps = Fleet(daemon_set(1, 0), [node(f"n{n}") for n in range(5)], pods, "new", NOW).placed()
    assert (steps.create, sorted(names(steps.delete))) == (created, [f"agent-{name}" for name in deleted])


def test_old_pods_that_are_unwell_are_all_that_goes_while_too_many_new_ones_are():
    states = [("ready", "old")] * 10 + [("unready", "old")] * 2 + [("unready", "new")] * 88
    pods = [pod(f"n{number:03}", *what) for number, what in enumerate(states)]
    nodes = [node(f"n{number:03}") for number in range(100)]
    steps = Fleet(daemon_set(0, 10), nodes, pods, "new", NOW).updated()
    assert (steps.create, names(steps.delete)) == ([], ["agent-n010-0", "agent-n011-0"])


def test_the_node_of_a_pod_that_waits_is_the_one_it_is_pinned_to():
    assert daemons.node_of(daemons.new_pod(daemon_set(), "n", "new")) == "n"
    assert daemons.node_of(pod("m")) == "m"
    assert daemons.node_of(Pod(spec=core_v1.PodSpec())) == ""


@pytest.mark.parametrize(
    ("surge", "unavailable", "wanted", "expected"),
    [(0, "30%", 5, (0, 2)), ("30%", 0, 5, (2, 0)), (0, 0, 5, (0, 1)), (0, "1%", 0, (0, 1)), (2, 0, 5, (2, 0))],
)
def test_limits_round_up(surge, unavailable, wanted, expected):
    assert daemons.limits(daemon_set(surge, unavailable), wanted) == expected


def test_a_surging_node_that_should_not_run_one_gives_it_up_when_there_are_enough_elsewhere():
    ds = daemon_set(1, 0, nodeSelector={"color": "blue"})
    nodes = [node("old"), node("blue", color="blue")]
    few = Fleet(ds, nodes, [pod("old", revision="old"), pod("blue", "unready")], "new", NOW)
    assert names(few.updated().delete) == []
    enough = Fleet(ds, nodes, [pod("old", revision="old"), pod("blue")], "new", NOW)
    assert names(enough.updated().delete) == ["agent-old-0"]


def test_the_status_counts_the_oldest_pod_of_each_node_that_should_have_one():
    nodes = [node("a"), node("b"), node("c", ("mine", "NoSchedule"))]
    pods = [pod("a", revision="old"), pod("c"), pod("gone")]
    status = Fleet(daemon_set(), nodes, pods, "new", NOW).status()
    assert (status.desiredNumberScheduled, status.currentNumberScheduled, status.numberMisscheduled) == (2, 1, 1)
    assert (status.numberReady, status.numberAvailable, status.numberUnavailable) == (1, 1, 1)
    assert status.updatedNumberScheduled == 0
