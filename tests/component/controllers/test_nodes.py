"""Silent nodes, evictions, address ranges and Pods nobody removes, with the real API server."""

import asyncio
from typing import Any

from tests.component.controllers.world import MANAGER, World, controllers, deployment, simulated, world
from tests.exposition import read

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import ApiError, Conflict, Forbidden
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.client.rest import STRATEGIC, key_of
from pybernetes.controllers.runtime import Config, Rates
from pybernetes.rules.readiness import condition, node_is_ready
from pybernetes.wire.http import Request, Response

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
        await w.clock.sleep(20)
        node = await w.get(core_v1.Node, "node-1", "")
        ready = next(c for c in node.status.conditions if c.type == "Ready")
        assert (ready.status, ready.reason, ready.message) == (
            "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.",
        )  # fmt: skip
        assert taints(node) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        found = condition(await w.get(core_v1.Pod, "p"), "Ready")
        assert found is not None
        assert (found.status, found.observedGeneration) == ("False", 1)
        assert "NodeNotReady: Node is not ready" in await w.events("p")
        assert "NodeNotReady: Node node-1 status is now: NodeNotReady" in await w.events("node-1")
        shown = read(w.manager.metrics())
        for name in ("update_node_health_duration_seconds", "update_all_nodes_health_duration_seconds"):
            assert shown[f"node_collector_{name}"].series[f"node_collector_{name}_count", ()] > 0
        w.node_up("node-1", "198.18.1.1")
        await w.clock.sleep(5)
        node = await w.get(core_v1.Node, "node-1", "")
        assert node_is_ready(node)
        assert taints(node) == set()


@simulated
async def test_no_node_is_taken_for_silent_while_the_cache_of_leases_is_behind():
    """TestLeaseCircuitBreaker: the server is asked once for all nodes, and again when the cache has caught up."""
    async with world(only=("*", "-node-lifecycle-controller")) as w:
        below, held, asked = w.as_user(MANAGER).transport, asyncio.Event(), list[str]()

        async def deaf(request: Request) -> Response:
            if "/leases" in request.path and request.method == "GET":
                if "watch=" in request.raw_query:
                    await held.wait()
                elif request.path.split("/")[-2] == "leases":
                    asked.append(request.path.rpartition("/")[2])
            return await below(request)

        running = controllers(w, "node-lifecycle-controller", wire=deaf)
        await w.clock.sleep(200)
        assert len(asked) == 1
        for name in ("node-1", "node-2"):
            assert node_is_ready(await w.get(core_v1.Node, name, ""))
        held.set()
        await w.clock.sleep(5)
        await w.node_down("node-1")
        await w.clock.sleep(60)
        assert not node_is_ready(await w.get(core_v1.Node, "node-1", ""))
        assert node_is_ready(await w.get(core_v1.Node, "node-2", ""))
        assert asked[1:] == ["node-1"]
        running.cancel()


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
async def test_a_pod_of_a_silent_node_that_could_not_be_marked_is_marked_later():
    """TestMonitorNodeHealthMarkPodsNotReadyRetry: "unsuccessful pod status update, retry required"."""
    async with world() as w:
        await pod(w, "p", nodeName="node-1")
        await w.clock.sleep(15)
        times = 0

        def once(request: Request) -> ApiError | None:
            nonlocal times
            if request.method != "PATCH" or not request.path.endswith("/pods/p/status"):
                return None
            times += 1
            return Conflict("race") if times == 1 else None

        w.wire.refuse = once
        await w.node_down("node-1")
        await w.clock.sleep(60)
        found = condition(await w.get(core_v1.Pod, "p"), "Ready")
        assert found is not None
        assert found.status == "False"
        assert times == 2


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


async def node(w: World, name: str, zone: str = "", ready: str = "True", **labels: str) -> None:
    """A Node nobody keeps alive."""
    labels |= {"topology.kubernetes.io/zone": zone} if zone else {}
    made = await w.create(core_v1.Node, name, metadata={"labels": labels})
    await report(w, made.metadata.name, ready)


async def report(w: World, name: str, ready: str = "True") -> None:
    """What its kubelet says."""
    stamp = rfc3339(w.clock.now())
    told = {"type": "Ready", "status": ready, "reason": "Kubelet", "lastHeartbeatTime": stamp}
    await w.client.of(core_v1.Node).patch_raw(
        Key("", name), {"status": {"conditions": [told]}}, STRATEGIC, subresource="status"
    )


async def emptied(w: World) -> list[str]:
    """The Nodes that evict."""
    return sorted(
        n.metadata.name for n in await w.all(core_v1.Node, None) if any(t.effect == "NoExecute" for t in n.spec.taints)
    )


@simulated
async def test_nodes_of_a_zone_are_emptied_one_by_one_and_those_of_another_beside_them():
    async with world(nodes=0) as w:
        for zone in ("a", "b"):
            for number in range(6):
                await node(w, f"{zone}{number}", zone)
        await w.clock.sleep(20)
        for zone in ("a", "b"):
            for number in range(3):
                await report(w, f"{zone}{number}", "False")
        await w.clock.sleep(4)
        assert await emptied(w) == []
        await w.clock.sleep(3)
        assert await emptied(w) == ["a0", "b0"]
        await w.clock.sleep(10)
        assert await emptied(w) == ["a0", "a1", "b0", "b1"]
        await report(w, "a0")
        await w.clock.sleep(10)
        assert await emptied(w) == ["a1", "a2", "b0", "b1", "b2"]
        text = w.manager.metrics()
        assert 'node_collector_zone_size{zone=":\x00:a"} 6' in text
        assert 'node_collector_unhealthy_nodes_in_zone{zone=":\x00:a"} 2' in text
        assert 'node_collector_zone_health{zone=":\x00:b"} 50' in text
        assert 'node_collector_evictions_total{zone=":\x00:a"} 3' in text


@simulated
async def test_a_small_zone_of_which_a_part_is_disrupted_is_not_emptied_and_a_large_one_slowly():
    rates = Rates(large_cluster=4)
    async with world(nodes=0, config=Config(rates=rates, node_monitor_grace_period=10_000)) as w:
        for zone, size in (("small", 4), ("large", 5)):
            for number in range(size):
                await node(w, f"{zone}{number}", zone)
        await w.clock.sleep(1)
        for zone in ("small", "large"):
            for number in range(3):
                await report(w, f"{zone}{number}", "False")
        await w.clock.sleep(20)
        assert await emptied(w) == ["large0"]
        await w.clock.sleep(100)
        assert await emptied(w) == ["large0", "large1"]
        await report(w, "small0")
        await w.clock.sleep(11)
        assert await emptied(w) == ["large0", "large1", "small1"]


@simulated
async def test_when_the_last_zone_is_disrupted_those_who_were_to_leave_may_stay():
    async with world(nodes=0, config=Config(node_monitor_grace_period=10_000)) as w:
        await node(w, "a", "a")
        await node(w, "b", "b")
        await pod(w, "p", nodeName="a", tolerations=[{**toleration, "tolerationSeconds": 60} for toleration in SHORT])
        await w.clock.sleep(1)
        await report(w, "a", "False")
        await w.clock.sleep(30)
        assert await emptied(w) == ["a"]
        await report(w, "b", "False")
        await w.clock.sleep(300)
        assert await emptied(w) == []
        assert await w.pods()
        await report(w, "b")
        await w.clock.sleep(30)
        assert await emptied(w) == ["a"]
        await w.clock.sleep(60)
        assert not await w.pods()


@simulated
async def test_after_all_were_silent_those_still_counted_as_ready_have_their_time_anew():
    async with world(nodes=0) as w:
        await node(w, "a")
        await node(w, "b")
        await w.clock.sleep(20)
        await report(w, "a", "False")
        await report(w, "b", "False")
        await w.clock.sleep(40)
        await report(w, "a")  # 60 s after the first: evictions go on, and b has 50 s more before it is called silent
        await w.clock.sleep(40)
        found = await w.get(core_v1.Node, "b", "")
        assert [c.status for c in found.status.conditions if c.type == "Ready"] == ["False"]
        await w.clock.sleep(20)
        found = await w.get(core_v1.Node, "b", "")
        assert [c.status for c in found.status.conditions if c.type == "Ready"] == ["Unknown"]


@simulated
async def test_a_node_may_be_left_out_when_its_zone_is_judged():
    async with world(nodes=0) as w:
        await node(w, "a", "z", **{"node.kubernetes.io/exclude-disruption": ""})
        await node(w, "b", "z")
        await w.clock.sleep(1)
        await report(w, "b", "False")
        await w.clock.sleep(30)
        assert await emptied(w) == []
        assert 'node_collector_zone_size{zone=":\x00:z"} 1' in w.manager.metrics()


@simulated
async def test_a_node_that_turns_from_not_ready_to_silent_changes_its_taint_at_once():
    async with world(nodes=1) as w:
        await node(w, "a")
        await w.clock.sleep(1)
        await report(w, "a", "False")
        await w.clock.sleep(30)
        assert taints(await w.get(core_v1.Node, "a", "")) == {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}
        await w.clock.sleep(40)
        found = await w.get(core_v1.Node, "a", "")
        assert taints(found) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        assert not any(text.startswith("NodeNotReady:") for text in await w.events("a"))  # it had not been ready


@simulated
async def test_what_a_kubelet_says_of_its_pods_on_a_node_that_is_not_ready_stands():
    async with world(nodes=1) as w:
        await node(w, "a")
        made = await pod(w, "p", nodeName="a")
        condition_ = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await w.client.of(core_v1.Pod).patch_raw(key_of(made), condition_, STRATEGIC, subresource="status")
        await report(w, "a", "False")
        await w.clock.sleep(30)
        found = condition(await w.get(core_v1.Pod, "p"), "Ready")
        assert found is not None
        assert found.status == "True"


@simulated
async def test_the_coming_and_going_of_nodes_is_told():
    async with world(nodes=0) as w:
        await node(w, "a")
        assert await w.events("a") == ["RegisteredNode: Node a event: Registered Node a in Controller"]
        await w.delete(core_v1.Node, "a", "")
        assert "RemovingNode: Node a event: Removing Node a from Controller" in await w.events("a")


@simulated
async def test_old_labels_of_a_node_say_what_the_new_ones_do():
    async with world(nodes=0) as w:
        await node(w, "a", **{"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "beos"})
        await w.clock.sleep(1)
        found = (await w.get(core_v1.Node, "a", "")).metadata.labels
        assert found == {"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux"}
        await w.patch(core_v1.Node, "a", {"metadata": {"labels": {"kubernetes.io/arch": "arm64"}}}, "")
        await w.clock.sleep(1)
        assert (await w.get(core_v1.Node, "a", "")).metadata.labels["beta.kubernetes.io/arch"] == "arm64"


@simulated
async def test_a_restart_leaves_the_taints_of_nodes_that_are_still_silent():
    async with world(nodes=1, only=("taint-eviction-controller", "serviceaccount-controller")) as w:
        await node(w, "a")
        first = controllers(w, "node-lifecycle-controller")
        await w.clock.sleep(1)
        await report(w, "a", "False")
        await w.clock.sleep(10)
        assert await emptied(w) == ["a"]
        before = await w.get(core_v1.Node, "a", "")
        first.cancel()
        second = controllers(w, "node-lifecycle-controller")
        await w.clock.sleep(20)
        assert (await w.get(core_v1.Node, "a", "")).spec.taints == before.spec.taints
        second.cancel()


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
async def test_a_pod_whose_mark_was_taken_away_is_marked_again_when_a_taint_evicts_it():
    async with world() as w:
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "node-1"}
        made = await w.create(core_v1.Pod, "p", metadata={"finalizers": ["example.com/held"]}, spec=spec)
        cleared = {"status": {"conditions": [{"type": "DisruptionTarget", "status": "False"}]}}
        await w.client.of(core_v1.Pod).patch_raw(key_of(made), cleared, STRATEGIC, subresource="status")
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
        await w.clock.sleep(2)
        found = condition(await w.get(core_v1.Pod, "p"), "DisruptionTarget")
        assert found is not None
        assert (found.status, found.reason) == ("True", "DeletionByTaintManager")
        assert found.message == "Taint manager: deleting due to NoExecute taint"
        assert found.observedGeneration == 1


@simulated
async def test_a_toleration_that_is_lengthened_while_its_time_runs_comes_too_late():
    """TestUpdatePod: "lengthening toleration shouldn't work"; "removing toleration" needs no test: the API knows no such thing."""
    async with world() as w:
        tolerated = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        await pod(w, "p", nodeName="node-1", tolerations=[tolerated])
        await w.clock.sleep(2)
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
        await w.clock.sleep(2)
        await w.patch(core_v1.Pod, "p", {"spec": {"tolerations": [{**tolerated, "tolerationSeconds": 1000}]}})
        await w.clock.sleep(5)
        assert len(await w.pods()) == 1
        await w.clock.sleep(5)
        assert await w.pods() == []


@simulated
async def test_of_several_tolerations_the_first_that_runs_out_evicts_and_one_without_end_does_not():
    """TestUpdateNode: "multiple tolerations are evicted when first one runs out"; TestUpdateNodeWithMultipleTaints."""
    async with world() as w:
        short = {"key": "one", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        long = {"key": "two", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}
        await pod(w, "first", nodeName="node-1", tolerations=[short, long])
        endless = {"key": "two", "operator": "Exists", "effect": "NoExecute"}
        await pod(w, "second", nodeName="node-2", tolerations=[short, endless])
        both = [{"key": key, "effect": "NoExecute"} for key in ("one", "two")]
        await w.clock.sleep(2)
        for name in ("node-1", "node-2"):
            await w.patch(core_v1.Node, name, {"spec": {"taints": both}}, "")
        await w.clock.sleep(5)
        await w.patch(core_v1.Node, "node-2", {"spec": {"taints": both[1:]}}, "")
        await w.clock.sleep(10)
        assert [p.metadata.name for p in await w.pods()] == ["second"]
        assert "TaintManagerEviction: Cancelling deletion of Pod default/second" in await w.events("second")


@simulated
async def test_a_pod_that_goes_before_its_time_is_told_to_leave_no_more():
    """TestDeletePod."""
    async with world() as w:
        tolerated = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 100}
        await pod(w, "p", nodeName="node-1", tolerations=[tolerated])
        await w.clock.sleep(2)
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
        await w.clock.sleep(2)
        await w.delete(core_v1.Pod, "p", grace=0)
        assert "TaintManagerEviction: Cancelling deletion of Pod default/p" in await w.events("p")
        await pod(w, "p", nodeName="node-1", tolerations=[tolerated])
        await w.clock.sleep(99)
        assert len(await w.pods()) == 1
        await w.clock.sleep(5)
        assert await w.pods() == []


@simulated
async def test_who_was_to_leave_and_may_stay_is_told_so_and_who_goes_is_counted():
    async with world() as w:
        tolerated = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        await pod(w, "stays", nodeName="node-1", tolerations=[tolerated])
        await pod(w, "goes", nodeName="node-1")
        await w.clock.sleep(2)
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "")
        await w.clock.sleep(2)
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": []}}, "")
        told = await w.events("stays")
        assert "TaintManagerEviction: Cancelling deletion of Pod default/stays" in told
        assert "TaintManagerEviction: Marking for deletion Pod default/goes" in await w.events("goes")
        await w.clock.sleep(20)
        assert [p.metadata.name for p in await w.pods()] == ["stays"]
        found = read(w.manager.metrics())
        name = "taint_eviction_controller_pod_deletion"
        assert found[f"{name}s_total"].series == {(f"{name}s_total", ()): 1}
        assert found[f"{name}_duration_seconds"].series[f"{name}_duration_seconds_bucket", (("le", "0.005"),)] == 1


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
async def test_no_node_has_addresses_of_services():
    async with world(nodes=3, config=Config(service_cidrs=("10.244.0.0/23",))) as w:
        await w.clock.sleep(2)
        assert {n.spec.podCIDR for n in await w.all(core_v1.Node, None)} == {f"10.244.{i}.0/24" for i in (2, 3, 4)}


@simulated
async def test_ranges_are_counted_by_the_cluster_ranges_they_are_of():
    async with world(nodes=3, config=Config(service_cidrs=("10.244.0.0/23",))) as w:
        await w.clock.sleep(2)

        def value(name: str) -> float:
            name = f"node_ipam_controller_{name}"
            family = name.removesuffix("_count")
            return read(w.manager.metrics())[family].series[name, (("clusterCIDR", "10.244.0.0/16"),)]

        names = ("cidrset_cidrs_allocations_total", "cirdset_max_cidrs", "cidrset_usage_cidrs")
        assert [value(name) for name in names] == [5, 256, 5 / 256]
        assert value("cidrset_allocation_tries_per_request_count") == 3
        await w.node_down("node-3")
        await w.delete(core_v1.Node, "node-3", "")
        await w.clock.sleep(2)
        assert value("cidrset_cidrs_releases_total") == 1
        assert value("cidrset_usage_cidrs") == 4 / 256


@simulated
async def test_a_node_that_is_being_deleted_has_no_range_any_more():
    """TestNodeDeletionReleaseCIDR."""
    async with world(nodes=1, config=Config(node_cidr_mask_size=16)) as w:
        await w.clock.sleep(2)
        await w.patch(core_v1.Node, "node-1", {"metadata": {"finalizers": ["example.com/held"]}}, "")
        await w.delete(core_v1.Node, "node-1", "")
        await w.clock.sleep(2)
        await w.create(core_v1.Node, "another")
        await w.clock.sleep(2)
        assert (await w.get(core_v1.Node, "another", "")).spec.podCIDR == "10.244.0.0/16"
        await w.patch(core_v1.Node, "node-1", {"metadata": {"finalizers": None}}, "")


@simulated
async def test_a_range_that_cannot_be_written_is_told_and_kept_for_its_node():
    async with world(nodes=0) as w:
        w.wire.refuse = lambda request: (
            Forbidden("not now") if request.method == "PATCH" and request.path.endswith("/nodes/a") else None
        )
        await w.create(core_v1.Node, "a")
        text = "CIDRAssignmentFailed: Node a status is now: CIDRAssignmentFailed"
        assert text in await w.events("a")
        w.wire.refuse = lambda request: None
        await w.clock.sleep(70)
        assert (await w.get(core_v1.Node, "a", "")).spec.podCIDRs == ("10.244.0.0/24",)
        counted = {name: loop.counters for name, loop in w.manager.loops.items()}
        w.expected_errors = [f"{n}: {c.errors - c.races}" for n, c in counted.items() if c.errors > c.races]


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
