"""DaemonSets with the real API server: which Nodes, updates, history."""

from typing import Any

import msgspec
from tests.component.controllers.world import World, every_second, no_pods, simulated, template, world

from pybernetes.api.types import apps_v1, core_v1
from pybernetes.controllers._history import hash_of

HASH = "controller-revision-hash"


async def daemon_set(w: World, **spec: Any) -> apps_v1.DaemonSet:
    own = {"selector": {"matchLabels": {"app": "agent"}}, "template": template(app="agent")}
    return await w.create(apps_v1.DaemonSet, "agent", spec=own | spec)


def slow(seconds: int = 5, **labels: str) -> dict[str, Any]:
    """A template whose Pods are ready so long after their start."""
    made = template(app="agent", **labels)
    made["metadata"]["annotations"] = {"simulated.pybernetes.io/ready-after-seconds": str(seconds)}
    return made


async def find(w: World) -> apps_v1.DaemonSet:
    return await w.get(apps_v1.DaemonSet, "agent")


async def change(w: World, **spec: Any) -> None:
    await w.patch(apps_v1.DaemonSet, "agent", {"spec": spec})


async def roll(w: World, image: str) -> None:
    await change(w, template={"spec": {"containers": [{"name": "c", "image": image}]}})


async def ready(w: World, nodes: int) -> apps_v1.DaemonSet:
    """As `kubectl rollout status` waits for it."""

    async def holds() -> bool:
        ds = await find(w)
        status = ds.status
        counts = (status.desiredNumberScheduled, status.currentNumberScheduled, status.numberReady)
        counts += (status.numberAvailable, status.updatedNumberScheduled)
        return status.observedGeneration == ds.metadata.generation and counts == (nodes,) * 5

    await w.until(holds, 120)
    return await find(w)


async def nodes_of(w: World) -> list[str]:
    return sorted(p.spec.nodeName for p in await w.pods("app=agent"))


async def images(w: World) -> set[str]:
    return {p.spec.containers[0].image for p in await w.pods("app=agent")}


async def uids(w: World) -> set[str | None]:
    return {p.metadata.uid for p in await w.pods("app=agent")}


async def revisions(w: World) -> dict[int, str]:
    found = await w.all(apps_v1.ControllerRevision)
    return {r.revision: r.metadata.labels[HASH] for r in found}


@simulated
async def test_every_node_has_one_pod_and_a_new_node_gets_one():
    async with world(nodes=3) as w:
        await w.clock.sleep(5)
        await daemon_set(w)
        await ready(w, 3)
        assert await nodes_of(w) == ["node-1", "node-2", "node-3"]
        pods = await w.pods()
        assert sorted(await w.events("agent")) == sorted(
            f"SuccessfulCreate: Created pod: {p.metadata.name}" for p in pods
        )
        await w.delete(core_v1.Pod, pods[0].metadata.name)
        await w.clock.sleep(5)
        await ready(w, 3)
        assert len(await uids(w) & {p.metadata.uid for p in pods}) == 2
        w.node_up("node-4", "198.18.4.1")
        await w.clock.sleep(5)
        await ready(w, 4)
        assert await nodes_of(w) == ["node-1", "node-2", "node-3", "node-4"]


@simulated
async def test_a_daemon_names_its_node_and_endures_what_nodes_suffer():
    async with world(nodes=1) as w:
        made = template(app="agent")
        made["spec"]["hostNetwork"] = True
        made["spec"]["tolerations"] = [{"key": "mine", "operator": "Exists"}]
        wanted = [{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": wanted}}
        made["spec"]["affinity"] = {"nodeAffinity": required}
        await daemon_set(w, template=made)
        await ready(w, 1)
        (pod,) = await w.pods()
        assert pod.metadata.generateName == "agent-"
        assert pod.metadata.labels[HASH] in (await revisions(w)).values()
        assert pod.metadata.labels["pod-template-generation"] == "1"
        affinity = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
        (term,) = affinity.nodeSelectorTerms
        assert [(r.key, r.operator, r.values) for r in term.matchFields] == [("metadata.name", "In", ("node-1",))]
        assert term.matchExpressions == ()
        assert {(t.key, t.effect) for t in pod.spec.tolerations} == {
            ("mine", ""),
            ("node.kubernetes.io/not-ready", "NoExecute"),
            ("node.kubernetes.io/unreachable", "NoExecute"),
            ("node.kubernetes.io/disk-pressure", "NoSchedule"),
            ("node.kubernetes.io/memory-pressure", "NoSchedule"),
            ("node.kubernetes.io/pid-pressure", "NoSchedule"),
            ("node.kubernetes.io/unschedulable", "NoSchedule"),
            ("node.kubernetes.io/network-unavailable", "NoSchedule"),
        }


@simulated
async def test_pods_follow_the_labels_of_nodes():
    async with world(nodes=3) as w:
        await w.clock.sleep(5)
        made = template(app="agent")
        made["spec"]["nodeSelector"] = {"color": "blue"}
        await daemon_set(w, template=made)
        await ready(w, 0)
        await w.patch(core_v1.Node, "node-2", {"metadata": {"labels": {"color": "blue"}}}, "")
        await ready(w, 1)
        assert await nodes_of(w) == ["node-2"]
        await w.patch(core_v1.Node, "node-2", {"metadata": {"labels": {"color": "green"}}}, "")
        await w.clock.sleep(60)
        await ready(w, 0)
        assert await nodes_of(w) == []
        await change(
            w, template={"spec": {"nodeSelector": {"color": "green"}}}, updateStrategy={"type": "RollingUpdate"}
        )
        await ready(w, 1)


@simulated
async def test_taints_keep_daemons_away_and_only_no_execute_ends_them():
    async with world(nodes=3) as w:
        await w.clock.sleep(5)
        await daemon_set(w)
        await ready(w, 3)
        await w.patch(core_v1.Node, "node-1", {"spec": {"unschedulable": True}}, "")
        taint = {"key": "mine", "effect": "NoSchedule"}
        await w.patch(core_v1.Node, "node-2", {"spec": {"taints": [taint]}}, "")
        await w.patch(core_v1.Node, "node-3", {"spec": {"taints": [taint | {"effect": "NoExecute"}]}}, "")
        await w.clock.sleep(60)
        assert await nodes_of(w) == ["node-1", "node-2"]
        status = (await find(w)).status
        assert (status.desiredNumberScheduled, status.numberMisscheduled, status.numberAvailable) == (1, 1, 1)
        for pod in await w.pods():
            await w.delete(core_v1.Pod, pod.metadata.name)
        await w.clock.sleep(60)
        assert await nodes_of(w) == ["node-1"]


@simulated
async def test_a_rolling_update_takes_one_node_after_the_other():
    async with world(nodes=4) as w:
        await w.clock.sleep(5)
        await daemon_set(w, template=slow())
        await ready(w, 4)
        await roll(w, "two")
        fewest = 4

        async def holds() -> bool:
            nonlocal fewest
            status = (await find(w)).status
            fewest = min(fewest, status.numberAvailable)
            return status.updatedNumberScheduled == status.numberAvailable == 4

        await w.clock.sleep(0.1)
        await w.until(holds, 120)
        assert fewest == 3
        assert await images(w) == {"two"}
        assert sorted(await revisions(w)) == [1, 2]


@simulated
async def test_a_roll_back_restarts_only_what_was_updated():
    async with world(nodes=4) as w:
        await w.clock.sleep(5)
        await daemon_set(w)
        await ready(w, 4)
        before = await uids(w)
        await change(w, template={"metadata": {"annotations": {"simulated.pybernetes.io/ready": "false"}}})
        await w.clock.sleep(20)
        status = (await find(w)).status
        assert (status.updatedNumberScheduled, status.numberAvailable) == (1, 3)
        await change(w, template={"metadata": {"annotations": {"simulated.pybernetes.io/ready": None}}})
        await ready(w, 4)
        assert len(await uids(w) & before) == 3
        assert sorted(await revisions(w)) == [2, 3]


@simulated
async def test_a_percentage_of_nodes_may_be_unavailable():
    async with world(nodes=5) as w:
        await w.clock.sleep(5)
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "30%"}}
        await daemon_set(w, template=slow(), updateStrategy=strategy)
        await ready(w, 5)
        await roll(w, "two")
        await w.clock.sleep(3)
        assert (await find(w)).status.numberAvailable == 3
        await ready(w, 5)


@simulated
async def test_a_surging_update_has_the_new_pod_available_before_the_old_one_goes():
    async with world(nodes=3) as w:
        await w.clock.sleep(5)
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await daemon_set(w, template=slow(), updateStrategy=strategy)
        await ready(w, 3)
        await roll(w, "two")
        most = 0

        async def holds() -> bool:
            nonlocal most
            pods = await w.pods()
            able = {
                p.spec.nodeName
                for p in pods
                if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions)
            }
            assert len(able) == 3
            most = max(most, len(pods))
            return await images(w) == {"two"} and len(pods) == 3

        await w.until(holds, 120)
        assert most == 4
        await ready(w, 3)


@simulated
async def test_on_delete_replaces_only_what_is_deleted():
    async with world(nodes=2) as w:
        await w.clock.sleep(5)
        await daemon_set(w, updateStrategy={"type": "OnDelete"})
        await ready(w, 2)
        await roll(w, "two")
        await w.clock.sleep(20)
        assert await images(w) == {"one"}
        assert (await find(w)).status.updatedNumberScheduled == 0
        for pod in await w.pods():
            await w.delete(core_v1.Pod, pod.metadata.name)
        await ready(w, 2)
        assert await images(w) == {"two"}


@simulated
async def test_failed_pods_are_replaced_slower_and_slower():
    async with world(nodes=1) as w:
        port = [{"containerPort": 80, "hostPort": 8080}]
        containers = [{"name": "c", "image": "one", "ports": port}]
        await w.until(lambda: w.there(core_v1.Node, "node-1"))
        await w.create(core_v1.Pod, "holder", spec={"nodeName": "node-1", "containers": containers})
        await w.clock.sleep(5)
        spec = {"nodeName": "node-1", "containers": containers}
        await daemon_set(w, template={"metadata": {"labels": {"app": "agent"}}, "spec": spec})
        await w.clock.sleep(32)
        told = told_of(await w.events("agent"))
        assert 4 <= len(told) <= 7
        assert told[0].endswith("on node node-1, will try to kill it")
        await w.clock.sleep(20)  # the next one is far away now
        before = len(told_of(await w.events("agent")))
        await change(w, template={"metadata": {"labels": {"v": "2"}}})
        await w.clock.sleep(5)
        assert len(told_of(await w.events("agent"))) >= before + 2  # a new template is tried anew
        await w.delete(core_v1.Pod, "holder")
        await ready(w, 1)


def told_of(events: list[str]) -> list[str]:
    """Pods that had failed."""
    return [event for event in events if event.startswith("FailedDaemonPod: Found failed daemon pod default/agent-")]


@simulated
async def test_an_update_waits_until_pods_have_been_ready_for_long_enough():
    async with world(nodes=2) as w:
        await w.clock.sleep(5)
        await daemon_set(w, minReadySeconds=20)
        await w.clock.sleep(5)
        status = (await find(w)).status
        assert (status.numberReady, status.numberAvailable, status.numberUnavailable) == (2, 0, 2)
        await ready(w, 2)
        await roll(w, "two")
        await w.clock.sleep(15)
        assert (await find(w)).status.updatedNumberScheduled == 1
        await ready(w, 2)


@simulated
async def test_revisions_are_numbered_on_whatever_happens_to_them():
    async with world(nodes=2) as w:
        await w.clock.sleep(5)
        await daemon_set(w)
        await ready(w, 2)
        before = await uids(w)
        (first,) = await w.all(apps_v1.ControllerRevision)
        copy = {
            "ownerReferences": [{"controller": True, "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent"}]
        }
        copy["ownerReferences"][0]["uid"] = first.metadata.ownerReferences[0].uid
        copy["labels"] = {"app": "agent", HASH: "copied"}
        kept = msgspec.json.decode(msgspec.json.encode(first.data))
        del kept["spec"]["template"]["spec"]["dnsPolicy"]  # as by a release that did not fill it in
        await w.create(apps_v1.ControllerRevision, "copied", metadata=copy, data=kept, revision=2)
        await w.clock.sleep(5)
        assert await revisions(w) == {2: "copied"}  # of two of one template the newest stays
        assert await uids(w) == before
        await roll(w, "two")
        await ready(w, 2)
        await w.delete(apps_v1.ControllerRevision, "copied")
        await w.clock.sleep(5)
        assert list(await revisions(w)) == [3]


@simulated
async def test_history_beyond_its_limit_is_deleted():
    async with world(nodes=1) as w:
        await w.clock.sleep(5)
        await daemon_set(w, revisionHistoryLimit=1)
        for image in ("two", "three", "four"):
            await ready(w, 1)
            await roll(w, image)
        await ready(w, 1)
        await w.clock.sleep(5)
        assert sorted(await revisions(w)) == [3, 4]


@simulated
async def test_a_revision_of_another_with_the_same_name_changes_the_name_not_the_other():
    async with world(nodes=1) as w:
        await w.clock.sleep(5)
        await daemon_set(w)
        ds = await ready(w, 1)
        containers = (msgspec.structs.replace(ds.spec.template.spec.containers[0], image="two"),)
        spec = msgspec.structs.replace(ds.spec.template.spec, containers=containers)
        name = f"agent-{hash_of(msgspec.structs.replace(ds.spec.template, spec=spec), 0)}"
        (first,) = await w.all(apps_v1.ControllerRevision)
        await w.create(apps_v1.ControllerRevision, name, data=first.data, revision=7)
        await roll(w, "two")
        assert (await ready(w, 1)).status.collisionCount == 1
        assert (await w.get(apps_v1.ControllerRevision, name)).revision == 7
        await w.clock.sleep(60)
        assert (await find(w)).status.collisionCount == 1


@simulated
async def test_revisions_that_pods_are_of_stay_and_count_for_the_limit():
    async with world(nodes=1) as w:
        await w.clock.sleep(5)
        await daemon_set(w, revisionHistoryLimit=1, updateStrategy={"type": "OnDelete"})
        await ready(w, 1)
        for image in ("two", "three", "four"):
            await roll(w, image)
            await w.clock.sleep(2)
        assert sorted(await revisions(w)) == [1, 4]


@simulated
async def test_orphans_are_adopted_where_they_are():
    async with world(nodes=2) as w:
        await w.clock.sleep(5)
        await daemon_set(w)
        await ready(w, 2)
        before = await uids(w)
        await w.delete(apps_v1.DaemonSet, "agent", propagation="Orphan")
        await w.clock.sleep(5)
        ds = await daemon_set(w)
        await ready(w, 2)
        assert await uids(w) == before
        assert {p.metadata.ownerReferences[0].uid for p in await w.pods()} == {ds.metadata.uid}


@simulated
async def test_pods_that_wait_for_a_node_that_is_gone_are_removed():
    async with world(nodes=1) as w:
        await w.create(core_v1.Node, "far", spec={"taints": [{"key": "wait", "effect": "NoSchedule"}]})
        await w.clock.sleep(5)
        made = template(app="agent")
        made["spec"]["schedulingGates"] = [{"name": "test/gate"}]
        made["spec"]["tolerations"] = [{"operator": "Exists"}]
        await daemon_set(w, template=made)
        await w.clock.sleep(5)
        assert len(await w.pods()) == 2
        await w.delete(core_v1.Node, "far", "")
        await w.clock.sleep(5)
        assert len(await w.pods()) == 1


@simulated
async def test_what_is_refused_costs_one_request_an_attempt():
    async with world(nodes=4) as w:
        await w.clock.sleep(5)

        w.wire.refuse = no_pods
        await daemon_set(w)
        await w.clock.sleep(5)
        assert 'FailedCreate: Error creating: pods "x" is forbidden: exceeded quota' in await w.events("agent")
        counters = w.manager.loops["daemonset-controller"].counters
        assert len([write for write in w.wire.writes if write.endswith("/pods")]) == counters.errors
        w.wire.refuse = lambda request: None
        await ready(w, 4)
        w.expected_errors = [f"daemonset-controller: {counters.errors - counters.races}"]


@simulated
async def test_conflicts_of_every_write_leave_one_pod_a_node():
    async with world(nodes=3) as w:
        w.wire.refuse = every_second("daemonset")
        await daemon_set(w)
        await ready(w, 3)
        await roll(w, "two")
        await ready(w, 3)
        assert await nodes_of(w) == ["node-1", "node-2", "node-3"]
        assert sorted(await revisions(w)) == [1, 2]


@simulated
async def test_when_all_is_as_it_should_be_nothing_is_written():
    async with world(nodes=3) as w:
        await daemon_set(w)
        await w.clock.sleep(120)
        w.wire.writes.clear()
        await w.clock.sleep(600)
        assert w.wire.writes == []
