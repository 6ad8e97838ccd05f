import pytest
from msgspec.structs import replace

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


def test_the_restarts_of_sidecars_decide_where_those_of_others_do_not():
    def helped(name: str, sidecar: int, init: int = 0, restarts: str = "1") -> core_v1.Pod:
        made = pod(name, name, restarts=restarts)
        containers = (core_v1.Container(name="helper", restartPolicy="Always"), core_v1.Container(name="once"))
        counts = (("helper", sidecar), ("once", init))
        statuses = tuple(core_v1.ContainerStatus(name=of, restartCount=count) for of, count in counts)
        return replace(
            made,
            spec=replace(made.spec, initContainers=containers),
            status=replace(made.status, initContainerStatuses=statuses),
        )

    assert order(helped("a", 1), helped("b", 3)) == ["b", "a"]
    assert order(helped("a", 9), helped("b", 0, restarts="2")) == ["b", "a"]
    assert order(helped("a", 0), helped("b", 0, init=7)) == ["a", "b"]  # init containers that end are not counted


NEVER, NOW_TEXT, MONTH = "", "2026-01-01T00:00:00Z", "2025-12-01T00:00:00Z"


@pytest.mark.parametrize(
    ("lesser", "greater"),
    [
        (("", "Pending", NEVER, 1, {}), ("node", "Pending", NEVER, 2, {})),
        (("", "Pending", NEVER, 2, {}), ("node", "Pending", NEVER, 1, {})),
        (("node", "Pending", NEVER, 1, {}), ("node", "Unknown", NEVER, 2, {})),
        (("node", "Unknown", NEVER, 1, {}), ("node", "Running", NEVER, 2, {})),
        (("node", "Running", NEVER, 1, {}), ("node", "Running", NOW_TEXT, 1, {})),
        (("node", "Running", NOW_TEXT, 1, {}), ("node", "Running", MONTH, 1, {})),
        (("node", "Running", MONTH, 2, {}), ("node", "Running", NOW_TEXT, 1, {})),
        (("node", "Running", NOW_TEXT, 1, {"restarts": "9001"}), ("node", "Running", NOW_TEXT, 1, {})),
        (("node", "Running", NOW_TEXT, 2, {}), ("node", "Running", NOW_TEXT, 1, {"restarts": "9001"})),
        (("node", "Running", NOW_TEXT, 1, {"created": NOW_TEXT}), ("node", "Running", NOW_TEXT, 1, {"created": MONTH})),
        (("node", "Running", NOW_TEXT, 2, {"created": MONTH}), ("node", "Running", NOW_TEXT, 1, {"created": NOW_TEXT})),
        (("node", "Running", NOW_TEXT, 2, {"cost": "10"}), ("node", "Running", NOW_TEXT, 1, {"cost": "100"})),
        (("node", "Running", "2025-12-31T22:00:00Z", 1, {}), ("node", "Running", "2025-12-31T19:00:00Z", 1, {})),
    ],
)
def test_pairs_of_upstreams_table_go_in_its_order(lesser, greater):
    """A rank is the number of Pods on the node."""
    made = {
        name: pod(name, node and f"{node}-{name}", phase, ready, **more)
        for name, (node, phase, ready, _, more) in (("z", lesser), ("a", greater))
    }
    crowd = [
        pod(f"{name}{number}", made[name].spec.nodeName)
        for name, rank in (("z", lesser[3]), ("a", greater[3]))
        for number in range(rank)
    ]
    for pods in ((made["a"], made["z"]), (made["z"], made["a"])):
        assert [p.metadata.name for p in victims_first(pods, crowd, NOW)] == ["z", "a"]
