"""Silent nodes, evictions, address ranges and Pods nobody removes, with the real API server."""

from typing import Any

from tests.component.controllers.world import World, deployment, simulated, world

from pybernetes.api.types import apps_v1, core_v1
from pybernetes.client.rest import key_of
from pybernetes.controllers.runtime import Config
from pybernetes.rules.readiness import condition, node_is_ready

SHORT = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]


def taints(node: core_v1.Node) -> set[tuple[str, str]]:
    return {(taint.key.removeprefix("node.kubernetes.io/"), taint.effect) for taint in node.spec.taints}


async def pod(w: World, name: str, **spec: Any) -> core_v1.Pod:
    return await w.create(core_v1.Pod, name, spec={"containers": [{"name": "c", "image": "i"}], **spec})


@simulated
async def test_a_node_that_falls_silent_is_marked_and_heals():
    async with world() as w:
        await pod(w, "p", nodeName="node-1")
        await w.clock.sleep(15)
        await w.node_down("node-1")
        await w.clock.sleep(30)
        assert node_is_ready(await w.get(core_v1.Node, "node-1", ""))
        await w.clock.sleep(15)
        node = await w.get(core_v1.Node, "node-1", "")
        ready = next(c for c in node.status.conditions if c.type == "Ready")
        assert (ready.status, ready.reason, ready.message) == (
            "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.",
        )  # fmt: skip
        assert taints(node) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        found = condition(await w.get(core_v1.Pod, "p"), "Ready")
        assert found is not None
        assert found.status == "False"
        assert "NodeNotReady: Node is not ready" in await w.events("p")
        w.node_up("node-1", "198.18.1.1")
        await w.clock.sleep(5)
        node = await w.get(core_v1.Node, "node-1", "")
        assert node_is_ready(node)
        assert taints(node) == set()


@simulated
async def test_pods_of_a_node_that_is_not_ready_are_marked_once():
    """A kubelet that lives, on a node that is not ready, may say Ready again."""
    async with world() as w:
        await pod(w, "p", nodeName="node-1")
        await w.clock.sleep(15)
        await w.node_down("node-1")
        await w.clock.sleep(60)
        marked = await w.get(core_v1.Pod, "p")
        for _ in range(5):
            conditions = [
                {"type": c.type, "status": "True"} for c in marked.status.conditions if c.type != "PodScheduled"
            ]
            await w.client.of(core_v1.Pod).patch_raw(
                key_of(marked), {"status": {"conditions": conditions}}, subresource="status"
            )
            await w.clock.sleep(20)
        found = condition(await w.get(core_v1.Pod, "p"), "Ready")
        assert found is not None
        assert found.status == "True"
        assert len([e for e in await w.events("p") if e.startswith("NodeNotReady")]) == 1
        w.node_up("node-1", "198.18.1.1")
        await w.clock.sleep(30)
        await w.node_down("node-1")
        await w.clock.sleep(60)
        found = condition(await w.get(core_v1.Pod, "p"), "Ready")
        assert found is not None
        assert found.status == "False"


@simulated
async def test_pods_of_a_lost_node_are_replaced_elsewhere_when_their_time_is_over():
    async with world() as w:
        template = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}], "tolerations": SHORT},
        }
        await deployment(w, replicas=4, template=template)
        await w.clock.sleep(15)
        assert {p.spec.nodeName for p in await w.pods()} == {"node-1", "node-2"}
        await w.node_down("node-1")
        await w.clock.sleep(70)
        pods = await w.pods()
        assert len(pods) == 4
        assert {p.spec.nodeName for p in pods} == {"node-2"}
        assert (await w.get(apps_v1.Deployment, "web")).status.availableReplicas == 4
        going = [p for p in await w.all(core_v1.Pod) if p.metadata.deletionTimestamp]
        found = condition(going[0], "DisruptionTarget")
        assert found is not None
        assert found.reason == "DeletionByTaintManager"


@simulated
async def test_when_no_node_answers_nobody_is_evicted():
    async with world(nodes=1) as w:
        await pod(w, "p", nodeName="node-1", tolerations=SHORT)
        await w.clock.sleep(15)
        await w.node_down("node-1")
        await w.clock.sleep(300)
        assert taints(await w.get(core_v1.Node, "node-1", "")) == {("unreachable", "NoSchedule")}
        assert (await w.get(core_v1.Pod, "p")).metadata.deletionTimestamp is None


@simulated
async def test_when_all_nodes_fall_silent_together_nobody_is_evicted():
    async with world(nodes=3) as w:
        for number in (1, 2, 3):
            await pod(w, f"p{number}", nodeName=f"node-{number}", tolerations=SHORT)
        await w.clock.sleep(15)
        for number in (1, 2, 3):
            await w.node_down(f"node-{number}")
        await w.clock.sleep(300)
        for number in (1, 2, 3):
            assert taints(await w.get(core_v1.Node, f"node-{number}", "")) == {("unreachable", "NoSchedule")}
            assert (await w.get(core_v1.Pod, f"p{number}")).metadata.deletionTimestamp is None


@simulated
async def test_a_taint_evicts_at_once_what_does_not_tolerate_it():
    async with world() as w:
        await pod(w, "plain", nodeName="node-1")
        await pod(w, "tough", nodeName="node-1", tolerations=[{"key": "k", "operator": "Exists"}])
        await pod(w, "other", nodeName="node-2")
        await w.clock.sleep(2)
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
        await w.clock.sleep(2)
        assert sorted(p.metadata.name for p in await w.pods()) == ["other", "tough"]


@simulated
async def test_a_toleration_counts_from_when_the_pod_came_if_the_taint_was_there_first():
    async with world() as w:
        taint = {"key": "k", "effect": "NoExecute", "timeAdded": "2000-01-01T00:00:00Z"}
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [taint]}}, "")
        await w.clock.sleep(2)
        tolerated = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        await pod(w, "guest", nodeName="node-1", tolerations=[tolerated])
        await w.clock.sleep(8)
        assert [p.metadata.name for p in await w.pods()] == ["guest"]
        await w.clock.sleep(5)
        assert await w.pods() == []


@simulated
async def test_every_node_has_a_range_of_its_own_and_conditions_become_taints():
    async with world(nodes=5) as w:
        await w.clock.sleep(2)
        nodes = await w.all(core_v1.Node, None)
        assert {n.spec.podCIDR for n in nodes} == {f"10.244.{i}.0/24" for i in range(5)}
        assert all(n.spec.podCIDRs == (n.spec.podCIDR,) for n in nodes)
        await w.patch(core_v1.Node, "node-1", {"spec": {"unschedulable": True}}, "")
        await w.clock.sleep(1)
        assert taints(await w.get(core_v1.Node, "node-1", "")) == {("unschedulable", "NoSchedule")}


@simulated
async def test_a_node_for_which_no_range_is_left_waits_for_one():
    async with world(nodes=3, config=Config(node_cidr_mask_size=17)) as w:
        await w.clock.sleep(2)
        without = [n for n in await w.all(core_v1.Node, None) if not n.spec.podCIDR]
        assert len(without) == 1
        events = await w.all(core_v1.Event, None)
        assert {e.involvedObject.name for e in events if e.reason == "CIDRNotAvailable"} == {without[0].metadata.name}
        gone = next(n for n in await w.all(core_v1.Node, None) if n.spec.podCIDR)
        await w.node_down(gone.metadata.name)
        await w.delete(core_v1.Node, gone.metadata.name, "")
        await w.clock.sleep(61)
        assert all(n.spec.podCIDR for n in await w.all(core_v1.Node, None))


@simulated
async def test_pods_nobody_else_removes_are_removed():
    async with world(config=Config(terminated_pod_gc_threshold=2)) as w:
        await pod(w, "orphan", nodeName="never-there")
        for number in range(4):
            made = await pod(w, f"done-{number}", nodeName="node-1")
            await w.clock.sleep(1)
            await w.client.of(core_v1.Pod).patch_raw(
                key_of(made), {"status": {"phase": "Succeeded"}}, subresource="status"
            )
        await w.clock.sleep(5)
        assert len([p for p in await w.pods() if p.metadata.name.startswith("done")]) == 2
        assert await w.there(core_v1.Pod, "orphan")
        await w.clock.sleep(90)
        assert not await w.there(core_v1.Pod, "orphan")
