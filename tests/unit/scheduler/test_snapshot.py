"""Laws: columns that were changed step by step are those made afresh, and masks say what the rules say node by node."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api.types.core_v1 import Node, Pod
from pybernetes.rules.affinity import fits
from pybernetes.rules.requests import host_ports, pod_requests, ports_clash
from pybernetes.rules.taints import untolerated
from pybernetes.scheduler.framework import Framework, Placed
from pybernetes.scheduler.loop import plugins
from pybernetes.scheduler.snapshot import Snapshot, pod_info

NODE_NAMES = st.sampled_from([f"n{n}" for n in range(12)])
POD_NAMES = st.sampled_from([f"p{n}" for n in range(6)])
EFFECTS = st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])
LABELS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "30", "x"]), max_size=2)
TAINTS = st.lists(st.fixed_dictionaries({"key": st.sampled_from("kl"), "effect": EFFECTS}), max_size=2)
TOLERATIONS = st.lists(
    st.fixed_dictionaries({"operator": st.just("Exists")}, optional={"key": st.sampled_from("kl"), "effect": EFFECTS}),
    max_size=2,
)
REQUIREMENTS = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", "c"]),
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
        "values": st.lists(st.sampled_from(["1", "2", "7", "x", "zz"]), min_size=1, max_size=2),
    }
)
FIELDS = st.fixed_dictionaries(
    {
        "key": st.just("metadata.name"),
        "operator": st.sampled_from(["In", "NotIn"]),
        "values": st.lists(NODE_NAMES, min_size=1, max_size=2),
    }
)
TERMS = st.fixed_dictionaries(
    {"matchExpressions": st.lists(REQUIREMENTS, max_size=2), "matchFields": st.lists(FIELDS, max_size=1)}
)
RESOURCES = st.dictionaries(st.sampled_from(["cpu", "memory", "x.io/y"]), st.sampled_from(["0", "1", "2"]), max_size=3)


def node(name: str, labels: Any, taints: Any, resources: Any, cordoned: bool) -> Node:
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints, "unschedulable": cordoned},
            "status": {"allocatable": {**resources, "pods": "3"}},
        },
        Node,
    )


NODES = st.builds(node, NODE_NAMES, LABELS, TAINTS, RESOURCES, st.booleans())


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    name = draw(POD_NAMES)
    port = draw(st.sampled_from([0, 0, 80, 81]))
    container = {"name": "c", "resources": {"requests": draw(RESOURCES)}}
    if port:
        container["ports"] = [
            {"containerPort": 1, "hostPort": port, "hostIP": draw(st.sampled_from(["", "127.0.0.1"]))}
        ]
    spec: dict[str, Any] = {"containers": [container], "tolerations": draw(TOLERATIONS)}
    if draw(st.booleans()):
        spec["nodeSelector"] = draw(LABELS)
    if draw(st.booleans()):
        terms = {"nodeSelectorTerms": draw(st.lists(TERMS, max_size=2))}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    owner = draw(st.sampled_from(["", "rs1", "rs2"]))
    metadata: dict[str, Any] = {"name": name, "namespace": "d", "uid": name}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "name": owner, "controller": True}]
    return msgspec.convert({"metadata": metadata, "spec": spec}, Pod)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), NODES),
        st.tuples(st.just("no node"), NODE_NAMES),
        st.tuples(st.just("pod"), pods(), NODE_NAMES),
        st.tuples(st.just("no pod"), POD_NAMES),
    ),
    max_size=40,
)


def followed(steps: list[Any]) -> Snapshot:
    snapshot = Snapshot()
    for step in steps:
        match step:
            case ("node", Node() as one):
                snapshot.put_node(one)
            case ("no node", str(name)):
                snapshot.remove_node(name)
            case ("pod", Pod() as one, str(name)):
                snapshot.put_pod(pod_info(one), name)
            case ("no pod", str(name)):
                snapshot.remove_pod(pod_info(msgspec.convert({"metadata": {"name": name, "namespace": "d"}}, Pod)).key)
    return snapshot


def afresh(snapshot: Snapshot) -> Snapshot:
    fresh = Snapshot()
    for one in snapshot.nodes.values():
        fresh.put_node(one)
    for name in {f"n{n}" for n in range(12)}:
        for info in snapshot.pods_on(name):
            fresh.put_pod(info, name)
    return fresh


def facts(snapshot: Snapshot) -> dict[str, Any]:
    found = {}
    names = {number: text for text, number in snapshot.values().items()}
    for row, name in snapshot.names():
        assert snapshot.name_at[row] == name
        assert snapshot.present[row]
        found[name] = (
            [int(snapshot.allocatable(r)[row]) for r in ("cpu", "memory", "x.io/y", "pods")],
            [int(snapshot.requested(r)[row]) for r in ("cpu", "memory", "x.io/y")],
            [int(snapshot.assumed(r)[row]) for r in ("cpu", "memory")],
            int(snapshot.pod_count[row]),
            int(snapshot.count(lambda kin: kin.namespace == "d")[row]),
            [int(snapshot.group_count(("d", g))[row]) for g in ("rs1", "rs2")],
            [names.get(int(snapshot.label(key)[row])) for key in ("a", "b")],
            snapshot.taint_sets[snapshot.taints[row]],
            bool(snapshot.unschedulable[row]),
            sorted(ip for port in (80, 81) for ip, used in snapshot.nodes_using("TCP", port) if used == row),
        )
    return found


@settings(max_examples=60)
@given(steps=STEPS)
def test_columns_changed_step_by_step_are_those_made_afresh(steps: list[Any]) -> None:
    snapshot = followed(steps)
    assert facts(snapshot) == facts(afresh(snapshot))
    assert np.count_nonzero(snapshot.present) == len(snapshot)
    nobody = ~snapshot.present
    for column in (snapshot.pod_count, snapshot.requested("cpu"), snapshot.allocatable("cpu"), snapshot.taints):
        assert not column[nobody].any()


@settings(max_examples=100)
@given(steps=STEPS, pod=pods())
def test_masks_say_what_the_rules_say_node_by_node(steps: list[Any], pod: Pod) -> None:
    snapshot = followed(steps)
    info = pod_info(pod)
    snapshot.remove_pod(info.key)
    framework = Framework(plugins(), lambda rows: rows[0])
    wanted = set()
    for row, name in snapshot.names():
        one = snapshot.nodes[name]
        free = all(
            value == 0 or snapshot.requested(resource)[row] + value <= snapshot.allocatable(resource)[row]
            for resource, value in pod_requests(pod).items()
        )
        used = [port for other in snapshot.pods_on(name) for port in other.ports]
        unschedulable = one.spec.unschedulable and not any(
            t.get("key") in (None, "") and t.get("effect") in (None, "", "NoSchedule")
            for t in msgspec.to_builtins(pod.spec.tolerations)
        )
        if (
            free
            and len(list(snapshot.pods_on(name))) < 3
            and not unschedulable
            and not ports_clash(host_ports(pod), used)
            and untolerated(one.spec.taints, pod.spec.tolerations) is None
            and fits(pod, one.metadata.labels, name)
        ):
            wanted.add(name)
    outcome = framework.place(info, snapshot)
    if isinstance(outcome, Placed):
        assert outcome.node in wanted
        assert outcome.feasible == len(wanted)
    else:
        assert not wanted
        assert sum(outcome.reasons.values()) >= len(snapshot)
    again = framework.place(info, snapshot)
    assert type(again) is type(outcome)


def test_amounts_beyond_every_machine_are_counted_as_very_much() -> None:
    snapshot = Snapshot()
    huge = {"cpu": str(2**63), "memory": "999Ei"}
    snapshot.put_node(msgspec.convert({"metadata": {"name": "n"}, "status": {"allocatable": huge}}, Node))
    container = {"name": "c", "resources": {"requests": huge}}
    pod = msgspec.convert({"metadata": {"name": "p", "namespace": "d"}, "spec": {"containers": [container] * 3}}, Pod)
    info = pod_info(pod)
    assert info.requests == info.assumed == {"cpu": 2**56, "memory": 2**56}
    framework = Framework(plugins(), lambda rows: rows[0])
    assert not isinstance(framework.place(info, snapshot), Placed)  # the Node lets no Pod in: it says no `pods`
    assert snapshot.allocatable("cpu")[snapshot.rows["n"]] == 2**56
