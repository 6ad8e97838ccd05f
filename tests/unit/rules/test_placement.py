"""Taints, affinity, QoS, readiness, ownership and workload arithmetic, rule by rule."""

import msgspec
import pytest
import yaml

from pybernetes.api.types.core_v1 import NodeSelectorRequirement, Pod, Taint, Toleration
from pybernetes.rules.affinity import fits, matches
from pybernetes.rules.ownership import controller_of, without_owner
from pybernetes.rules.qos import qos_class
from pybernetes.rules.readiness import available_in, is_active, is_ready
from pybernetes.rules.taints import eviction_seconds, tolerates, untolerated
from pybernetes.rules.workloads import scaled, surge_and_unavailable


def pod(text: str) -> Pod:
    return msgspec.convert(yaml.safe_load(text), Pod)


@pytest.mark.parametrize(
    ("toleration", "wanted"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="k", operator="Exists"), True),
        (Toleration(key="k", value="5"), True),
        (Toleration(key="k", operator="Equal", value="6"), False),
        (Toleration(key="x", operator="Exists"), False),
        (Toleration(value="5"), False),
        (Toleration(key="k", operator="Exists", effect="NoExecute"), False),
        (Toleration(key="k", operator="Exists", effect="NoSchedule"), True),
        (Toleration(key="k", operator="Lt", value="6"), True),
        (Toleration(key="k", operator="Gt", value="6"), False),
        (Toleration(key="k", operator="Gt", value="x"), False),
    ],
)
def test_a_toleration_covers_a_taint(toleration: Toleration, wanted: bool) -> None:
    assert tolerates(toleration, Taint(key="k", value="5", effect="NoSchedule")) is wanted


def test_soft_taints_keep_nobody_away() -> None:
    soft, hard = Taint(key="s", effect="PreferNoSchedule"), Taint(key="h", effect="NoExecute")
    assert untolerated([soft, hard], []) == hard
    assert untolerated([soft], []) is None


def test_the_shortest_toleration_says_how_long_a_pod_stays() -> None:
    taint = Taint(key="k", effect="NoExecute")
    long, short = (Toleration(key="k", operator="Exists", tolerationSeconds=s) for s in (300, 10))
    assert eviction_seconds([taint], []) == 0.0
    assert eviction_seconds([taint], [Toleration(operator="Exists")]) is None
    assert eviction_seconds([taint], [long, short]) == 10.0
    assert eviction_seconds([Taint(key="k", effect="NoSchedule")], []) is None


@pytest.mark.parametrize(
    ("operator", "values", "value", "wanted"),
    [
        ("In", ("a", "b"), "a", True),
        ("In", ("a",), None, False),
        ("NotIn", ("a",), None, True),
        ("NotIn", ("a",), "a", False),
        ("Exists", (), "", True),
        ("DoesNotExist", (), None, True),
        ("Gt", ("5",), "6", True),
        ("Lt", ("5",), "6", False),
        ("Gt", ("5",), "x", False),
        ("Gt", ("5",), None, False),
        ("Spell", ("5",), "5", False),
    ],
)
def test_a_requirement_matches_a_label(operator: str, values: tuple[str, ...], value: str | None, wanted: bool) -> None:
    assert matches(NodeSelectorRequirement(key="k", operator=operator, values=values), value) is wanted


def test_terms_are_alternatives_and_go_with_the_node_selector() -> None:
    wanted = pod("""
    spec:
      nodeSelector: {disk: ssd}
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
        {matchFields: [{key: metadata.name, operator: In, values: [n1]}]},
        {matchExpressions: [{key: zone, operator: In, values: [a]}]}, {}]}}}
    """)
    assert fits(wanted, {"disk": "ssd"}, "n1")
    assert fits(wanted, {"disk": "ssd", "zone": "a"}, "n2")
    assert not fits(wanted, {"disk": "ssd"}, "n2")
    assert not fits(wanted, {"zone": "a"}, "n1")


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ("[{}]", "BestEffort"),
        ("[{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 1000m, memory: 1Gi}}]", "Guaranteed"),
        ("[{limits: {cpu: '1', memory: 1Gi}}]", "Guaranteed"),
        ("[{limits: {cpu: '1', memory: 1Gi}}, {}]", "Burstable"),
        ("[{limits: {cpu: '1', memory: 1Gi}, requests: {cpu: 500m, memory: 1Gi}}]", "Burstable"),
        ("[{requests: {cpu: 1m}}]", "Burstable"),
        ("[{requests: {cpu: '0', example.com/x: '1'}}]", "BestEffort"),
    ],
)
def test_qos(resources: str, wanted: str) -> None:
    containers = [{"name": "c", "resources": r} for r in yaml.safe_load(resources)]
    assert qos_class(msgspec.convert({"spec": {"containers": containers}}, Pod)) == wanted


def test_pod_level_resources_decide_the_qos_class_alone() -> None:
    assert qos_class(pod("{spec: {resources: {limits: {cpu: '1', memory: '1'}}, containers: [{}]}}")) == "Guaranteed"


def test_a_ready_pod_becomes_available_after_its_time() -> None:
    ready = pod("{status: {conditions: [{type: Ready, status: 'True'}]}}")
    assert is_ready(ready)
    assert available_in(ready, 0, None, 5.0) == 0.0
    assert available_in(ready, 10, 100.0, 104.0) == 6.0
    assert available_in(pod("{}"), 0, None, 5.0) is None
    assert not is_active(pod("{status: {phase: Failed}}"))
    assert not is_active(pod("{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}}"))


def test_the_controller_is_the_owner_that_says_so() -> None:
    metadata = pod("{metadata: {ownerReferences: [{uid: a, name: x}, {uid: b, name: y, controller: true}]}}").metadata
    assert controller_of(metadata).uid == "b"  # type: ignore[union-attr]  # there
    assert [o.uid for o in without_owner(metadata.ownerReferences, "a")] == ["b"]


def test_percentages_round_as_rolling_updates_need() -> None:
    assert scaled("25%", 10, round_up=True) == 3
    assert scaled("25%", 10, round_up=False) == 2
    assert scaled(7, 10, round_up=True) == 7
    assert surge_and_unavailable(None, None, 3) == (1, 0)
    assert surge_and_unavailable(0, "10%", 3) == (0, 1)
    with pytest.raises(ValueError, match="not a percentage"):
        scaled("x", 1, round_up=True)
