"""A node's conditions."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet.status.conditions import conditions

FOREIGN = core_v1.NodeCondition(type="KernelDeadlock", status="False")


def test_a_healthy_node_is_ready_and_without_pressure() -> None:
    found = conditions((FOREIGN,), [], (), 0.0)
    assert [(c.type, c.status, c.reason) for c in found.conditions] == [
        ("KernelDeadlock", "False", ""),
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    assert found.events == ("NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID")


def test_a_change_moves_the_transition_time_and_is_told_once() -> None:
    first = conditions((), [], (), 0.0).conditions
    second = conditions(first, ["runtime is down", "node is shutting down"], {"DiskPressure"}, 60.0)
    by_type = {c.type: c for c in second.conditions}
    assert by_type["Ready"].message == "[runtime is down, node is shutting down]"
    assert by_type["Ready"].reason == "KubeletNotReady"
    assert by_type["Ready"].lastTransitionTime == by_type["DiskPressure"].lastTransitionTime == "1970-01-01T00:01:00Z"
    assert by_type["MemoryPressure"].lastTransitionTime == "1970-01-01T00:00:00Z"
    assert by_type["MemoryPressure"].lastHeartbeatTime == "1970-01-01T00:01:00Z"
    assert second.events == ("NodeHasDiskPressure", "NodeNotReady")
    third = conditions(second.conditions, ["node is shutting down"], {"DiskPressure"}, 120.0)
    assert third.events == ()
    assert {c.type: c for c in third.conditions}["Ready"].message == "node is shutting down"
    assert conditions(third.conditions, [], (), 180.0).events == ("NodeHasNoDiskPressure", "NodeReady")
