"""Pods go where their volumes are, with the real API server, scheduler and binder."""

from typing import Any

from tests.component.controllers.test_persistentvolume_binder import (
    PVC,
    claim,
    storage_class,
    user,
    volume,
    volume_of,
)
from tests.component.controllers.world import World, simulated, world
from tests.component.scheduler.test_scheduler import world as scheduler_alone

from pybernetes.api.types import core_v1, storage_v1
from pybernetes.rules.readiness import POD_SCHEDULED, condition
from pybernetes.wire.http import Request, Response, Transport

SELECTED = "volume.kubernetes.io/selected-node"
LATE = {"volumeBindingMode": "WaitForFirstConsumer"}


def on(*nodes: str) -> dict[str, Any]:
    """A volume's node affinity."""
    wanted = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}}


async def where(w: World, name: str) -> str:
    await w.clock.sleep(15)  # longer than any backoff
    return (await w.get(core_v1.Pod, name)).spec.nodeName


async def why(w: World, name: str) -> str:
    """What the Pod says of why it has no Node."""
    await w.clock.sleep(2)
    found = condition(await w.get(core_v1.Pod, name), POD_SCHEDULED)
    assert found is not None
    assert found.status == "False"
    return found.message.removeprefix("0/2 nodes are available: ")


async def provision(w: World, name: str, **spec: Any) -> None:
    """As an external provisioner does."""
    found = await w.get(PVC, name)
    ref = {"namespace": "default", "name": name, "uid": found.metadata.uid}
    await volume(w, f"pvc-{name}", storageClassName=found.spec.storageClassName, claimRef=ref, **spec)


@simulated
async def test_a_pod_waits_for_its_claim_to_be_there_and_to_be_bound():
    async with world() as w:
        await user(w, "pod", "data")
        assert await why(w, "pod") == 'persistentvolumeclaim "data" not found.'
        await claim(w, "data")
        await w.clock.sleep(10)
        assert await why(w, "pod") == "pod has unbound immediate PersistentVolumeClaims."
        await volume(w, "disk")
        assert await where(w, "pod") != ""


@simulated
async def test_a_pod_goes_where_its_volume_can_be_reached():
    async with world(nodes=3) as w:
        await volume(w, "disk", nodeAffinity=on("node-2"))
        await claim(w, "data")
        assert await volume_of(w, "data") == "disk"
        for number in range(3):
            await user(w, f"pod-{number}", "data")
        assert {await where(w, f"pod-{number}") for number in range(3)} == {"node-2"}


@simulated
async def test_a_pod_whose_volume_no_node_reaches_says_so():
    async with world() as w:
        await volume(w, "disk", nodeAffinity=on("node-9"))
        await claim(w, "data")
        await user(w, "pod", "data")
        await w.clock.sleep(10)
        assert await why(w, "pod") == "2 node(s) didn't match PersistentVolume's node affinity."
        w.node_up("node-9", "198.18.9.1")
        assert await where(w, "pod") == "node-9"


@simulated
async def test_a_claim_that_waits_for_its_consumer_gets_a_volume_of_the_consumers_node():
    async with world() as w:
        await storage_class(w, "by-hand", "kubernetes.io/no-provisioner", **LATE)
        await volume(w, "small", "1Gi", storageClassName="by-hand", nodeAffinity=on("node-1"))
        await volume(w, "large", "5Gi", storageClassName="by-hand", nodeAffinity=on("node-2"))
        await claim(w, "data", storageClassName="by-hand")
        await user(w, "pod", "data", nodeSelector={"kubernetes.io/hostname": "node-2"})
        assert await where(w, "pod") == "node-2"
        assert await volume_of(w, "data") == "large"
        await claim(w, "more", "5Gi", storageClassName="by-hand")
        await user(w, "other", "more")
        assert await why(w, "other") == "2 node(s) didn't find available persistent volumes to bind."
        await volume(w, "new", "5Gi", storageClassName="by-hand", nodeAffinity=on("node-1"))
        assert await where(w, "other") == "node-1"


@simulated
async def test_two_claims_of_one_pod_get_two_volumes_of_one_node():
    async with world() as w:
        await storage_class(w, "by-hand", "kubernetes.io/no-provisioner", **LATE)
        for name, node in (("a", "node-1"), ("b", "node-2"), ("c", "node-2")):
            await volume(w, name, storageClassName="by-hand", nodeAffinity=on(node))
        volumes = []
        for name in ("one", "two"):
            await claim(w, name, storageClassName="by-hand")
            volumes.append({"name": name, "persistentVolumeClaim": {"claimName": name}})
        await user(w, "pod", "one", volumes=volumes)
        assert await where(w, "pod") == "node-2"
        assert {await volume_of(w, "one"), await volume_of(w, "two")} == {"b", "c"}


@simulated
async def test_many_pods_at_once_share_no_volume():
    async with world() as w:
        await storage_class(w, "by-hand", "kubernetes.io/no-provisioner", **LATE)
        for number in range(6):
            node = f"node-{number % 2 + 1}"
            await volume(w, f"v{number}", storageClassName="by-hand", nodeAffinity=on(node))
            await claim(w, f"c{number}", storageClassName="by-hand")
        for number in range(6):
            await user(w, f"p{number}", f"c{number}")
        assert "" not in [await where(w, f"p{number}") for number in range(6)]
        assert len({await volume_of(w, f"c{number}") for number in range(6)}) == 6


@simulated
async def test_a_provisioner_hears_of_the_node_and_the_pod_waits_for_the_volume():
    async with world() as w:
        await storage_class(w, "late", **LATE)
        await claim(w, "data", storageClassName="late")
        await user(w, "pod", "data")
        assert await where(w, "pod") == ""
        node = (await w.get(PVC, "data")).metadata.annotations[SELECTED]
        assert node in ("node-1", "node-2")
        await user(w, "free", "data", volumes=[])
        assert await where(w, "free") != "", "others do not wait for it"
        await provision(w, "data", nodeAffinity=on(node))
        assert await where(w, "pod") == node


@simulated
async def test_a_provisioner_that_fails_gives_the_choice_back():
    async with world() as w:
        await storage_class(w, "late", **LATE)
        await claim(w, "data", storageClassName="late")
        await user(w, "pod", "data", nodeSelector={"disk": "yes"})
        await w.patch(core_v1.Node, "node-1", {"metadata": {"labels": {"disk": "yes"}}}, "")
        await w.clock.sleep(15)
        assert (await w.get(PVC, "data")).metadata.annotations[SELECTED] == "node-1"
        for node, mark in (("node-1", None), ("node-2", "yes")):
            await w.patch(core_v1.Node, node, {"metadata": {"labels": {"disk": mark}}}, "")
        await w.patch(PVC, "data", {"metadata": {"annotations": {SELECTED: None}}})
        await w.clock.sleep(15)
        said = 'running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"'
        assert f"FailedScheduling: {said}" in await w.events("pod")
        assert (await w.get(PVC, "data")).metadata.annotations[SELECTED] == "node-2"


@simulated
async def test_a_pod_gives_up_waiting_after_ten_minutes_and_is_tried_again():
    async with world() as w:
        await storage_class(w, "late", **LATE)
        await claim(w, "data", storageClassName="late")
        await user(w, "pod", "data")
        await w.clock.sleep(620)
        said = 'running PreBind plugin "VolumeBinding": binding volumes: timed out waiting for the condition'
        assert f"FailedScheduling: {said}" in await w.events("pod")
        await provision(w, "data")
        assert await where(w, "pod") == (await w.get(PVC, "data")).metadata.annotations[SELECTED]


@simulated
async def test_a_pod_that_goes_while_it_waits_leaves_its_place():
    async with world() as w:
        await storage_class(w, "late", **LATE)
        await claim(w, "data", storageClassName="late")
        limits = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "3"}}}]
        await user(w, "pod", "data", containers=limits)
        await w.clock.sleep(5)
        await w.delete(core_v1.Pod, "pod")
        for number in range(2):
            await user(w, f"next-{number}", "data", containers=limits, volumes=[])
        assert {await where(w, f"next-{number}") for number in range(2)} == {"node-1", "node-2"}


@simulated
async def test_topology_and_free_storage_say_where_a_volume_can_be_made():
    async with world() as w:
        await w.client.of(storage_v1.CSIDriver).create(
            storage_v1.CSIDriver(
                metadata=core_v1.meta_v1.ObjectMeta(name="example.com"),
                spec=storage_v1.CSIDriverSpec(storageCapacity=True),
            )
        )
        await storage_class(w, "late", "example.com", **LATE)
        zone = {"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["node-7"]}]}
        await storage_class(w, "far", "other.example.com", allowedTopologies=[zone], **LATE)
        await claim(w, "data", "5Gi", storageClassName="late")
        await claim(w, "distant", storageClassName="far")
        await user(w, "pod", "data")
        await user(w, "far", "distant")
        assert await why(w, "pod") == "2 node(s) did not have enough free storage."
        assert await why(w, "far") == "2 node(s) didn't find available persistent volumes to bind."
        topology = {"matchLabels": {"kubernetes.io/hostname": "node-2"}}
        body = {"storageClassName": "late", "nodeTopology": topology, "capacity": "10Gi"}
        await w.create(storage_v1.CSIStorageCapacity, "pool", **body)
        await w.clock.sleep(15)
        assert (await w.get(PVC, "data")).metadata.annotations[SELECTED] == "node-2"


@simulated
async def test_lost_going_and_foreign_claims_are_said():
    async with world() as w:
        volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}]
        volumes[0]["ephemeral"]["volumeClaimTemplate"]["spec"] |= {"resources": {"requests": {"storage": "1Gi"}}}  # type: ignore[index]
        await claim(w, "pod-v", volumeName="none", meta={"annotations": {"pv.kubernetes.io/bind-completed": "yes"}})
        await w.clock.sleep(2)
        await user(w, "lost", "pod-v")
        assert await why(w, "lost") == 'persistentvolumeclaim "pod-v" bound to non-existent persistentvolume "none".'
        await w.delete(PVC, "pod-v")
        await w.clock.sleep(2)
        await claim(w, "pod-v")
        await user(w, "pod", "", volumes=volumes)
        assert await why(w, "pod") == "PVC default/pod-v was not created for pod default/pod (pod is not owner)."
        await w.patch(PVC, "pod-v", {"metadata": {"finalizers": ["example.com/stay"]}})
        await w.delete(PVC, "pod-v")
        await w.clock.sleep(2)
        await user(w, "late", "pod-v")
        assert await why(w, "late") == 'persistentvolumeclaim "pod-v" is being deleted.'


@simulated
async def test_a_scheduler_without_claims_follows_no_volumes():
    asked: list[str] = []

    def listening(send: Transport) -> Transport:
        async def call(request: Request) -> Response:
            asked.append(request.path.rsplit("/", 1)[1])
            return await send(request)

        return call

    async with scheduler_alone(listening) as s:
        await s.node("node-1")
        await s.pod("pod")
        await s.clock.sleep(1)
        assert await s.where("pod") == "node-1"
        assert "pods" in asked
        kinds = ("persistentvolume", "storageclass", "csi")
        assert [word for word in asked if word.startswith(kinds)] == []
        named = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        await s.pod("user", volumes=named)
        await s.clock.sleep(1)
        assert {word for word in asked if word.startswith(kinds)} == {
            "persistentvolumes", "persistentvolumeclaims", "storageclasses", "csidrivers", "csistoragecapacities",
        }  # fmt: skip
