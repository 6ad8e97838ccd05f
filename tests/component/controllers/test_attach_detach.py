"""Volumes of CSI drivers come to Nodes and go, with the real API server; the driver's attacher is the test."""

import hashlib
from typing import Any

from tests.component.controllers.test_metrics import value
from tests.component.controllers.test_persistentvolume_binder import PV, claim, user, volume_of
from tests.component.controllers.test_persistentvolume_binder import volume as directory
from tests.component.controllers.world import World, every_second, simulated, world
from tests.exposition import read

from pybernetes.api.errors import InternalError
from pybernetes.api.types import core_v1, storage_v1
from pybernetes.controllers.runtime import Config

VA = storage_v1.VolumeAttachment
MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
NAME = "kubernetes.io/csi/example.com^disk-1"
FORCED = "attach_detach_controller_attachdetach_controller_forced_detaches"


async def bound(w: World, modes: tuple[str, ...] = ("ReadWriteOnce",)) -> None:
    """A volume `disk` of a driver, bound to the claim `data`, and Nodes whose volumes are attached here."""
    for node in await w.all(core_v1.Node, None):
        await w.patch(core_v1.Node, node.metadata.name, {"metadata": {"annotations": {MANAGED: "true"}}}, "")
    csi = {"driver": "example.com", "volumeHandle": "disk-1"}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": list(modes), "csi": csi}
    await w.create(PV, "disk", "", metadata={"namespace": ""}, spec=spec)
    await claim(w, "data", accessModes=list(modes))
    assert await volume_of(w, "data") == "disk"


async def pod_on(w: World, name: str, node: str) -> None:
    await user(w, name, "data", nodeName=node)
    await w.clock.sleep(1)


async def attached(w: World, node: str, **status: Any) -> None:
    """What the driver's attacher says."""
    (found,) = [one for one in await w.all(VA, None) if one.spec.nodeName == node]
    await w.client.of(VA).patch_raw(found.metadata.name, {"status": status or {"attached": True}}, subresource="status")
    await w.clock.sleep(1)


async def where(w: World) -> list[str]:
    return sorted(one.spec.nodeName for one in await w.all(VA, None))


async def noted(w: World, node: str) -> list[str]:
    return [one.name for one in (await w.get(core_v1.Node, node, "")).status.volumesAttached]


async def in_use(w: World, node: str, *names: str) -> None:
    """What the kubelet has mounted."""
    await w.client.of(core_v1.Node).patch_raw(node, {"status": {"volumesInUse": list(names)}}, subresource="status")
    await w.clock.sleep(1)


async def out_of_service(w: World, node: str) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    await w.patch(core_v1.Node, node, {"spec": {"taints": [taint]}}, "")
    await w.clock.sleep(1)


@simulated
async def test_a_volume_is_attached_where_its_pod_goes_and_noted_once_it_is():
    async with world() as w:
        await bound(w)
        await pod_on(w, "pod", "node-1")
        (found,) = await w.all(VA, None)
        digest = hashlib.sha256(b"disk-1example.comnode-1").hexdigest()
        assert found.metadata.name == f"csi-{digest}"
        assert (found.spec.attacher, found.spec.nodeName) == ("example.com", "node-1")
        assert found.spec.source.persistentVolumeName == "disk"
        assert await noted(w, "node-1") == []
        await attached(w, "node-1")
        assert await noted(w, "node-1") == [NAME]
        said = 'SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "disk" '
        assert (await w.events("pod")).count(said) == 1
        await w.delete(core_v1.Pod, "pod")
        await w.clock.sleep(2)
        assert (await where(w), await noted(w, "node-1")) == ([], [])


@simulated
async def test_nothing_is_attached_to_nodes_that_do_it_themselves_nor_for_drivers_that_need_none():
    async with world() as w:
        await bound(w)
        await w.patch(core_v1.Node, "node-1", {"metadata": {"annotations": {MANAGED: None}}}, "")
        await pod_on(w, "pod", "node-1")
        assert await where(w) == []
        await w.patch(core_v1.Node, "node-1", {"metadata": {"annotations": {MANAGED: "true"}}}, "")
        await w.clock.sleep(1)
        assert await where(w) == ["node-1"]
        await w.create(
            storage_v1.CSIDriver, "example.com", "", metadata={"namespace": ""}, spec={"attachRequired": False}
        )
        await w.clock.sleep(1)
        assert await where(w) == []


async def left_behind(w: World) -> None:
    """The Pod is gone from a node whose kubelet still says that it uses the volume, and then nothing more."""
    await bound(w)
    await w.node_down("node-1")
    await pod_on(w, "pod", "node-1")
    await attached(w, "node-1")
    await in_use(w, "node-1", NAME)
    await w.delete(core_v1.Pod, "pod", grace=0)


@simulated
async def test_a_volume_stays_attached_until_the_kubelet_has_unmounted_it():
    async with world() as w:
        await left_behind(w)
        await w.clock.sleep(5)
        assert (await where(w), await noted(w, "node-1")) == (["node-1"], [NAME])
        await in_use(w, "node-1")
        assert (await where(w), await noted(w, "node-1")) == ([], [])


@simulated
async def test_a_node_that_is_unwell_loses_its_volume_after_six_minutes():
    async with world() as w:
        await left_behind(w)
        await w.clock.sleep(300)
        assert await where(w) == ["node-1"]
        await w.clock.sleep(70)
        assert (await where(w), await noted(w, "node-1")) == ([], [])
        assert value(read(w.manager.metrics()), FORCED, reason="timeout") == 1


@simulated
async def test_where_force_is_forbidden_a_node_keeps_its_volume_until_it_is_out_of_service():
    async with world(config=Config(force_detach=False)) as w:
        await left_behind(w)
        await w.clock.sleep(2000)
        assert await where(w) == ["node-1"]
        await out_of_service(w, "node-1")
        assert await where(w) == []
        assert value(read(w.manager.metrics()), FORCED, reason="out-of-service") == 1


@simulated
async def test_what_is_attached_and_what_is_to_be_is_counted():
    async with world() as w:
        await bound(w)
        await pod_on(w, "pod", "node-1")
        await directory(w, "dir", "1Gi")
        await claim(w, "plain", volumeName="dir")
        await user(w, "other", "plain", nodeName="node-1")
        await w.clock.sleep(1)
        plugin, total = "kubernetes.io/csi:example.com", "attachdetach_controller_total_volumes"
        found = read(w.manager.metrics())
        in_use = "storage_count_attachable_volumes_in_use"
        assert found[in_use].series == {(in_use, (("node", "node-1"), ("volume_plugin", plugin))): 1}
        assert found[total].series == {(total, (("plugin_name", plugin), ("state", "desired_state_of_world"))): 1}
        await attached(w, "node-1", attachError={"message": "no"})
        await attached(w, "node-1", attached=True, attachError=None)
        assert value(read(w.manager.metrics()), total, plugin_name=plugin, state="actual_state_of_world") == 1
        await w.delete(core_v1.Pod, "pod")
        await w.clock.sleep(2)
        found, seconds = read(w.manager.metrics()), "storage_operation_duration_seconds"
        for operation, status in (("attach", "fail-unknown"), ("attach", "success"), ("detach", "success")):
            labels = {"operation_name": f"volume_{operation}", "status": status, "volume_plugin": plugin}
            assert value(found, seconds, "_count", migrated="false", **labels) == 1


@simulated
async def test_a_node_out_of_service_loses_its_volume_at_once():
    async with world() as w:
        await left_behind(w)
        await w.clock.sleep(5)
        assert await where(w) == ["node-1"]
        await out_of_service(w, "node-1")
        assert await where(w) == []


@simulated
async def test_a_volume_for_one_node_goes_to_the_next_only_when_the_first_has_let_it_go():
    async with world() as w:
        await bound(w)
        await pod_on(w, "first", "node-1")
        await attached(w, "node-1")
        await pod_on(w, "second", "node-2")
        said = 'FailedAttachVolume: Multi-Attach error for volume "disk" Volume is already used by pod(s) first'
        assert said in await w.events("second")
        assert await where(w) == ["node-1"]
        await w.delete(core_v1.Pod, "first")
        await w.clock.sleep(2)
        assert await where(w) == ["node-2"]


@simulated
async def test_who_has_it_is_not_said_where_no_pod_has():
    async with world() as w:
        await bound(w)
        await w.node_down("node-1")
        await pod_on(w, "first", "node-1")
        await attached(w, "node-1")
        await in_use(w, "node-1", NAME)
        await w.delete(core_v1.Pod, "first", grace=0)
        await pod_on(w, "second", "node-2")
        why = "Volume is already exclusively attached to one node and can't be attached to another"
        assert f'FailedAttachVolume: Multi-Attach error for volume "disk" {why}' in await w.events("second")


@simulated
async def test_a_volume_for_many_is_attached_to_many():
    async with world() as w:
        await bound(w, ("ReadWriteMany",))
        await pod_on(w, "first", "node-1")
        await pod_on(w, "second", "node-2")
        assert await where(w) == ["node-1", "node-2"]


@simulated
async def test_what_the_driver_says_of_a_failure_is_told():
    async with world() as w:
        await bound(w)
        await pod_on(w, "pod", "node-1")
        await attached(w, "node-1", attached=False, attachError={"message": "rpc error: no such disk"})
        said = 'FailedAttachVolume: AttachVolume.Attach failed for volume "disk" : rpc error: no such disk'
        assert said in await w.events("pod")
        assert await noted(w, "node-1") == []


@simulated
async def test_attachments_of_others_are_left_alone():
    async with world() as w:
        await bound(w)
        for name, source in (("by-hand", "disk"), ("nobody's", "none")):
            spec = {"attacher": "example.com", "nodeName": "node-1", "source": {"persistentVolumeName": source}}
            await w.create(VA, name.replace("'", ""), "", metadata={"namespace": ""}, spec=spec)
        await w.clock.sleep(5)
        assert await where(w) == ["node-1", "node-1"]


@simulated
async def test_every_second_write_may_fail():
    async with world() as w:
        w.wire.refuse = every_second("attach-detach")
        await bound(w)
        await pod_on(w, "pod", "node-1")
        await attached(w, "node-1")
        assert await noted(w, "node-1") == [NAME]
        await w.delete(core_v1.Pod, "pod")
        await w.clock.sleep(5)
        assert (await where(w), await noted(w, "node-1")) == ([], [])


@simulated
async def test_a_volume_goes_to_one_node_though_pods_of_two_ask_for_it_at_one_moment():
    async with world() as w:
        await user(w, "first", "data", nodeName="node-1")
        await user(w, "second", "data", nodeName="node-2")
        await bound(w)
        await w.clock.sleep(10)
        (node,) = await where(w)
        await attached(w, node)
        assert await noted(w, node) == [NAME]
        await w.delete(core_v1.Pod, "first" if node == "node-1" else "second")
        await w.clock.sleep(10)
        assert await where(w) == ["node-2" if node == "node-1" else "node-1"]


@simulated
async def test_a_volume_whose_attachment_was_refused_goes_where_it_is_wanted_next():
    async with world() as w:
        w.wire.refuse = lambda request: (
            InternalError("by a test") if request.method == "POST" and "volumeattachments" in request.path else None
        )
        await user(w, "first", "data", nodeName="node-1")
        await bound(w)
        assert await where(w) == []
        await w.delete(core_v1.Pod, "first", grace=0)
        w.wire.refuse = lambda request: None
        await user(w, "second", "data", nodeName="node-2")
        await w.clock.sleep(90)
        assert await where(w) == ["node-2"]
        counters = w.manager.loops["persistentvolume-attach-detach-controller"].counters
        assert counters.errors > 2
        w.expected_errors = [f"persistentvolume-attach-detach-controller: {counters.errors - counters.races}"]
