"""Graceful node shutdown on real containers."""

import orjson
import pytest
from bench._node import NODE, NodeUnderTest, running
from tests.node.cri import until

from pybernetes.api.types import core_v1
from pybernetes.kubelet import shutdown

pytestmark = pytest.mark.root
STUBBORN = ("sh", "-c", "trap '' TERM; while true; do sleep 0.1; done")


async def test_a_node_that_shuts_down_ends_its_pods_by_priority_and_takes_none_until_it_is_cancelled(
    one: NodeUnderTest,
) -> None:
    await one.stop_kubelet()
    one.configured = {"shutdown_grace_period": 3.0, "shutdown_grace_period_critical_pods": 1.0}
    kubelet = await one.start_kubelet()
    for name, command in (
        ("plain", ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")),
        ("stubborn", STUBBORN),
    ):
        await one.create(name, *command, terminationGracePeriodSeconds=30)
        await one.until(name, running)
    kubelet.shutdown.begin()
    for name in ("plain", "stubborn"):
        pod = await one.until(name, lambda p: p is not None and p.status.phase == "Failed")
        assert (pod.status.reason, pod.status.message) == ("Terminated", shutdown.MESSAGE)
        condition = next(c for c in pod.status.conditions if c.type == "DisruptionTarget")
        assert (condition.status, condition.reason) == ("True", "TerminationByKubelet")
    node = await one.client.of(core_v1.Node).get(NODE)
    ready = next(c for c in node.status.conditions if c.type == "Ready")
    assert ready.status == "False"
    assert "node is shutting down" in ready.message
    await one.create("late")
    late = await one.until("late", lambda p: p is not None and p.status.phase == "Failed")
    assert late.status.reason == "NodeShutdown"
    assert late.status.message == "Pod was rejected: Pod was rejected as the node is shutting down."
    state = one.folder / "kubelet" / shutdown.STATE
    await until(lambda: orjson.loads(state.read_bytes())["endTime"], "the end is written down")
    kubelet.shutdown.cancel()
    await one.create("again")
    await one.until("again", running)
