from pybernetes.api.types import core_v1, meta_v1
from pybernetes.rules.scaledown import DELETION_COST, victims_first

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def pod(
    name: str, node: str = "n", phase: str = "Running", ready: str = "2025-12-31T00:00:00Z", **more: str
) -> core_v1.Pod:
    conditions = (core_v1.PodCondition(type="Ready", status="True", lastTransitionTime=ready),) if ready else ()
    restarts = (core_v1.ContainerStatus(restartCount=int(more.get("restarts", "0"))),)
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name,
            uid=name,
            creationTimestamp=more.get("created", "2025-12-01T00:00:00Z"),
            annotations={DELETION_COST: more["cost"]} if "cost" in more else {},
        ),
        spec=core_v1.PodSpec(nodeName=node),
        status=core_v1.PodStatus(phase=phase, conditions=conditions, containerStatuses=restarts),
    )


def order(*pods: core_v1.Pod) -> list[str]:
    return [p.metadata.name for p in victims_first(pods, pods, NOW)]


def test_each_reason_counts_before_the_next():
    pods = (
        pod("old", node="a", ready="2025-01-01T00:00:00Z"),
        pod("young", node="b", ready="2025-12-31T23:59:00Z"),
        pod("cheap", node="c", cost="-5"),
        pod("unready", node="d", ready=""),
        pod("pending", node="e", phase="Pending", ready=""),
        pod("unscheduled", node="", phase="Pending", ready=""),
    )
    assert order(*pods) == ["unscheduled", "pending", "unready", "cheap", "young", "old"]


def test_the_crowded_node_gives_first():
    assert order(pod("a", "one"), pod("b", "two"), pod("c", "two"))[0] in ("b", "c")


def test_a_bad_cost_counts_as_none():
    assert order(pod("a", "x", cost="+10"), pod("b", "y", cost="1")) == ["a", "b"]
    assert order(pod("a", "x", cost="0x1"), pod("b", "y", cost="-1")) == ["b", "a"]


def test_ages_of_one_power_of_two_are_equal_and_the_uid_decides():
    first = pod("b", "x", ready="2025-12-31T23:50:00Z")
    second = pod("a", "y", ready="2025-12-31T23:50:10Z")
    assert order(first, second) == ["a", "b"]
    much_younger = pod("z", "y", ready="2025-12-31T23:59:55Z")
    assert order(first, much_younger) == ["z", "b"]


def test_among_unready_pods_the_more_restarted_goes():
    assert order(pod("a", "x", ready=""), pod("b", "y", ready="", restarts="3")) == ["b", "a"]
