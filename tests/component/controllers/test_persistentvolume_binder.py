"""Claims and volumes find each other, with the real API server."""

import asyncio
from typing import Any

import pytest
from tests.component.controllers.world import MANAGER, World, controllers, every_second, simulated, world

from pybernetes.api.types import core_v1, storage_v1
from pybernetes.wire.http import Request, Response

PV, PVC, SC = core_v1.PersistentVolume, core_v1.PersistentVolumeClaim, storage_v1.StorageClass
COMPLETED, BY_CONTROLLER = "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"
STORAGE = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
DEFAULT = "storageclass.kubernetes.io/is-default-class"
MIGRATED_TO = "pv.kubernetes.io/migrated-to"
ANYWHERE = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}]}}


async def volume(w: World, name: str, size: str = "1Gi", *, meta: dict[str, Any] | None = None, **spec: Any) -> PV:
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": f"/srv/{name}"}}
    wanted = {field: value for field, value in (own | spec).items() if value is not None}
    return await w.create(PV, name, "", metadata={"namespace": "", **(meta or {})}, spec=wanted)


async def claim(w: World, name: str, size: str = "1Gi", **spec: Any) -> PVC:
    own = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": ""}
    meta = spec.pop("meta", {})
    wanted = {field: value for field, value in (own | spec).items() if value is not None}
    return await w.create(PVC, name, metadata=meta, spec=wanted)


async def storage_class(w: World, name: str, provisioner: str = "example.com/disk", **body: Any) -> SC:
    meta = {"namespace": "", "annotations": body.pop("annotations", {})}
    return await w.create(SC, name, "", metadata=meta, provisioner=provisioner, **body)


async def user(w: World, name: str, claim_name: str, **spec: Any) -> core_v1.Pod:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}]
    own = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes, "terminationGracePeriodSeconds": 0}
    return await w.create(core_v1.Pod, name, spec=own | spec)


async def volume_of(w: World, name: str) -> str:
    """The volume that a claim is bound to on both sides; empty where it waits."""
    await w.clock.sleep(2)
    found = await w.get(PVC, name)
    if found.status.phase != "Bound":
        assert COMPLETED not in found.metadata.annotations
        return ""
    assert COMPLETED in found.metadata.annotations
    its = await w.get(PV, found.spec.volumeName, "")
    assert its.spec.claimRef is not None
    assert (its.status.phase, its.spec.claimRef.uid) == ("Bound", found.metadata.uid)
    return found.spec.volumeName


async def phase(w: World, name: str) -> str:
    await w.clock.sleep(2)
    return (await w.get(PV, name, "")).status.phase


@simulated
async def test_a_claim_gets_the_smallest_volume_that_fits():
    async with world() as w:
        for name, size in (("small", "1Gi"), ("right", "5Gi"), ("large", "50Gi")):
            await volume(w, name, size)
        await claim(w, "data", "2Gi")
        assert await volume_of(w, "data") == "right"
        found, its = await w.get(PVC, "data"), await w.get(PV, "right", "")
        assert (found.status.capacity, found.status.accessModes) == ({"storage": "5Gi"}, ("ReadWriteOnce",))
        assert found.metadata.annotations == {COMPLETED: "yes", BY_CONTROLLER: "yes"}
        assert its.metadata.annotations == {BY_CONTROLLER: "yes"}
        assert its.spec.claimRef is not None
        ref = its.spec.claimRef
        assert (ref.kind, ref.apiVersion, ref.namespace, ref.name) == ("PersistentVolumeClaim", "v1", "default", "data")
        assert (await phase(w, "small"), await phase(w, "large")) == ("Available", "Available")


@simulated
async def test_modes_class_selector_and_volume_mode_must_fit():
    async with world() as w:
        await volume(w, "reader", accessModes=["ReadOnlyMany"])
        await volume(w, "gold", storageClassName="gold")
        await volume(w, "block", volumeMode="Block")
        await volume(w, "plain", meta={"labels": {"disk": "hdd"}})
        await claim(w, "data", selector={"matchLabels": {"disk": "ssd"}})
        assert await volume_of(w, "data") == ""
        await volume(w, "fast", meta={"labels": {"disk": "ssd"}})
        assert await volume_of(w, "data") == "fast"
        await claim(w, "raw", volumeMode="Block")
        await claim(w, "golden", storageClassName="gold")
        assert (await volume_of(w, "raw"), await volume_of(w, "golden")) == ("block", "gold")


@simulated
async def test_a_claim_that_nothing_fits_waits_and_says_so_once():
    async with world() as w:
        await claim(w, "data")
        said = "FailedBinding: no persistent volumes available for this claim and no storage class is set"
        assert await w.events("data") == [said]
        await w.patch(PVC, "data", {"metadata": {"labels": {"touched": "yes"}}})
        assert await w.events("data") == [said]
        assert (await w.all(core_v1.Event))[0].source.component == "persistentvolume-controller"
        await volume(w, "late")
        assert await volume_of(w, "data") == "late"


@simulated
async def test_a_claim_that_waits_for_long_says_why_before_that_is_forgotten():
    async with world(nodes=0) as w:
        await claim(w, "data")
        await w.clock.sleep(3 * 3600)
        (found,) = [event for event in await w.all(core_v1.Event) if event.reason == "FailedBinding"]
        assert 5 <= found.count <= 7


@simulated
async def test_a_volume_reserved_for_a_claim_waits_for_it_and_for_nobody_else():
    async with world() as w:
        await volume(w, "mine", claimRef={"namespace": "default", "name": "chosen"})
        await claim(w, "other")
        assert await volume_of(w, "other") == ""
        assert await phase(w, "mine") == "Available"
        await volume(w, "free", "1Gi")
        await claim(w, "chosen")
        assert await volume_of(w, "chosen") == "mine"
        assert BY_CONTROLLER not in (await w.get(PV, "mine", "")).metadata.annotations
        assert await volume_of(w, "other") == "free"


@simulated
async def test_a_claim_that_names_its_volume_gets_that_one_or_none():
    async with world() as w:
        await claim(w, "data", volumeName="wanted")
        await volume(w, "other")
        assert await volume_of(w, "data") == ""
        await volume(w, "wanted", "9Gi")
        assert await volume_of(w, "data") == "wanted"
        assert BY_CONTROLLER not in (await w.get(PVC, "data")).metadata.annotations
        await claim(w, "late", volumeName="wanted")
        assert await w.events("late") == ['FailedBinding: volume "wanted" already bound to a different claim.']
        await claim(w, "greedy", "5Gi", volumeName="other")
        assert await w.events("greedy") == [
            'VolumeMismatch: Cannot bind to requested volume "other": requested PV is too small'
        ]


@simulated
async def test_two_claims_never_share_a_volume():
    async with world() as w:
        for number in range(6):
            await volume(w, f"v{number}")
        names = [f"c{number}" for number in range(6)]
        for name in names:
            await claim(w, name)
        assert sorted([await volume_of(w, name) for name in names]) == [f"v{number}" for number in range(6)]


@simulated
async def test_every_second_write_may_fail():
    async with world() as w:
        w.wire.refuse = every_second("persistentvolume-binder")
        await volume(w, "disk")
        await claim(w, "data")
        assert await volume_of(w, "data") == "disk"


@simulated
async def test_a_binding_that_ended_in_the_middle_is_finished():
    async with world() as w:
        made = await claim(w, "data", volumeName=None)
        ref = {"namespace": "default", "name": "data", "uid": made.metadata.uid}
        await volume(w, "half", claimRef=ref)
        assert await volume_of(w, "data") == "half"


@simulated
async def test_a_volume_whose_claim_is_gone_is_released_and_kept():
    async with world() as w:
        await volume(w, "disk")
        await claim(w, "data")
        assert await volume_of(w, "data") == "disk"
        await w.delete(PVC, "data")
        assert await phase(w, "disk") == "Released"
        await claim(w, "data")
        assert await volume_of(w, "data") == "", "another claim of that name gets nobody's data"
        await w.patch(PV, "disk", {"spec": {"claimRef": None}}, "")
        assert await volume_of(w, "data") == "disk"


@simulated
async def test_policies_that_nothing_here_can_carry_out_fail_with_upstreams_words():
    async with world() as w:
        local = {"local": {"path": "/srv"}, "hostPath": None, "nodeAffinity": ANYWHERE}
        await volume(w, "recycle", persistentVolumeReclaimPolicy="Recycle", **local)
        await volume(w, "delete", persistentVolumeReclaimPolicy="Delete")
        await volume(w, "local", persistentVolumeReclaimPolicy="Delete", **local)
        for name in ("recycle", "delete", "local"):
            await claim(w, name, volumeName=name)
        await w.clock.sleep(2)
        for name in ("recycle", "delete", "local"):
            await w.delete(PVC, name)
        await w.clock.sleep(2)
        texts = {
            "recycle": "No recycler plugin found for the volume!",
            "delete": "host_path deleter only supports /tmp/.+ but received provided /srv/delete",
            "local": 'error getting deleter volume plugin for volume "local": no deletable volume plugin matched',
        }
        for name, text in texts.items():
            status = (await w.get(PV, name, "")).status
            assert (status.phase, status.message) == ("Failed", text)
        assert await w.events("delete") == [f"VolumeFailedDelete: {texts['delete']}"]


@simulated
async def test_what_plugins_of_old_made_says_which_driver_serves_it_now():
    async with world() as w:
        notes, finalizer = {"pv.kubernetes.io/provisioned-by": "kubernetes.io/gce-pd"}, "kubernetes.io/pv-controller"
        await volume(w, "disk", meta={"annotations": notes, "finalizers": [finalizer]})
        await claim(w, "data", meta={"annotations": {STORAGE[1]: "kubernetes.io/aws-ebs"}})
        await claim(w, "new", meta={"annotations": {STORAGE[1]: "example.com", MIGRATED_TO: "ebs.csi.aws.com"}})
        await w.clock.sleep(1)
        disk = (await w.get(PV, "disk", "")).metadata
        assert disk.annotations[MIGRATED_TO] == "pd.csi.storage.gke.io"
        assert finalizer not in disk.finalizers
        assert (await w.get(PVC, "data")).metadata.annotations[MIGRATED_TO] == "ebs.csi.aws.com"
        assert MIGRATED_TO not in (await w.get(PVC, "new")).metadata.annotations


@simulated
async def test_a_volume_that_is_being_deleted_is_no_claims():
    async with world() as w:
        await volume(w, "old", meta={"finalizers": ["example.com/kept"]})
        await w.delete(PV, "old", "")
        await claim(w, "data", volumeName="old")
        said = 'VolumeMismatch: Cannot bind to requested volume "old": the volume is marked for deletion "old"'
        assert await w.events("data") == [said]


@simulated
async def test_a_volume_of_the_wrong_mode_tells_its_claim_and_is_told_once():
    async with world() as w:
        made = await claim(w, "data")
        ref = {"namespace": "default", "name": "data", "uid": made.metadata.uid}
        await volume(w, "raw", volumeMode="Block", claimRef=ref)
        await w.patch(PVC, "data", {"metadata": {"labels": {"touched": "yes"}}})
        end = "due to incompatible volumeMode."
        its = f'VolumeMismatch: Cannot bind PersistentVolume "raw" to requested PersistentVolumeClaim {end}'
        assert its in await w.events("data")
        own = f'VolumeMismatch: Cannot bind PersistentVolume to requested PersistentVolumeClaim "data" {end}'
        assert await w.events("raw") == [own]


@simulated
async def test_a_claim_has_the_size_of_its_file_system_until_that_has_grown():
    async with world() as w:
        grown = {"annotations": {"volume.alpha.kubernetes.io/pre-resize-capacity": "1Gi"}}
        await volume(w, "disk", "5Gi", meta=grown)
        await claim(w, "data")
        assert await volume_of(w, "data") == "disk"
        assert (await w.get(PVC, "data")).status.capacity == {"storage": "1Gi"}


@simulated
async def test_what_an_external_provisioner_made_is_left_to_it():
    async with world() as w:
        notes = {"pv.kubernetes.io/provisioned-by": "example.com/disk"}
        kept = {"annotations": notes, "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"]}
        await volume(w, "disk", meta=kept, persistentVolumeReclaimPolicy="Delete")
        await claim(w, "data", volumeName="disk")
        assert await volume_of(w, "data") == "disk"
        await w.delete(PVC, "data")
        assert await phase(w, "disk") == "Released"
        assert (
            "external-provisioner.volume.kubernetes.io/finalizer" in (await w.get(PV, "disk", "")).metadata.finalizers
        )
        assert await w.events("disk") == []


@simulated
async def test_a_claim_whose_volume_is_gone_is_lost_until_it_is_back():
    async with world() as w:
        made = await volume(w, "disk")
        await claim(w, "data")
        assert await volume_of(w, "data") == "disk"
        await w.delete(PV, "disk", "")
        await w.patch(PV, "disk", {"metadata": {"finalizers": None}}, "")
        await w.clock.sleep(2)
        found = await w.get(PVC, "data")
        assert (found.status.phase, found.status.capacity, found.spec.volumeName) == ("Lost", {}, "disk")
        assert "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!" in await w.events(
            "data"
        )
        await volume(w, made.metadata.name)
        assert await volume_of(w, "data") == "disk"


@simulated
async def test_a_claim_is_lost_whose_volume_is_anothers():
    async with world() as w:
        await volume(w, "disk", claimRef={"namespace": "default", "name": "owner"})
        await claim(w, "owner")
        assert await volume_of(w, "owner") == "disk"
        await claim(w, "thief", volumeName="disk", meta={"annotations": {COMPLETED: "yes"}})
        said = "ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly"
        assert await w.events("thief") == [said]
        assert (await w.get(PVC, "thief")).status.phase == "Lost"
        assert await volume_of(w, "owner") == "disk"


@simulated
async def test_a_volume_is_free_again_whose_claim_found_another():
    async with world() as w:
        await volume(w, "first")
        await claim(w, "data")
        assert await volume_of(w, "data") == "first"
        uid = (await w.get(PVC, "data")).metadata.uid
        ref = {"namespace": "default", "name": "data", "uid": uid}
        await volume(w, "second", claimRef=ref, meta={"annotations": {BY_CONTROLLER: "yes"}})
        await volume(w, "third", claimRef=ref)
        assert (await phase(w, "second"), await phase(w, "third")) == ("Available", "Available")
        second, third = await w.get(PV, "second", ""), await w.get(PV, "third", "")
        assert second.spec.claimRef is None
        assert BY_CONTROLLER not in second.metadata.annotations
        assert third.spec.claimRef is not None
        assert (third.spec.claimRef.name, third.spec.claimRef.uid) == ("data", "")


@simulated
async def test_a_claim_of_a_class_asks_the_provisioner_and_takes_what_that_makes():
    async with world() as w:
        await claim(w, "data", storageClassName="fast")
        assert await w.events("data") == ['ProvisioningFailed: storageclass.storage.k8s.io "fast" not found']
        await storage_class(w, "fast")
        await w.clock.sleep(1)
        asked = await w.get(PVC, "data")
        assert {name: asked.metadata.annotations[name] for name in STORAGE} == dict.fromkeys(
            STORAGE, "example.com/disk"
        )
        assert (await w.events("data"))[1] == (
            "ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/disk' "
            "or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is "
            "running and correctly registered."
        )
        ref = {"namespace": "default", "name": "data", "uid": asked.metadata.uid}
        await volume(w, "pvc-1", storageClassName="fast", claimRef=ref)
        assert await volume_of(w, "data") == "pvc-1"


@simulated
async def test_a_class_of_old_is_served_by_the_driver_that_took_over():
    async with world() as w:
        await storage_class(w, "disk", "kubernetes.io/gce-pd")
        await storage_class(w, "by-hand", "kubernetes.io/no-provisioner")
        await claim(w, "data", storageClassName="disk")
        await claim(w, "none", storageClassName="by-hand")
        await w.clock.sleep(1)
        assert (await w.get(PVC, "data")).metadata.annotations[STORAGE[1]] == "pd.csi.storage.gke.io"
        said = ["ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner"]
        assert await w.events("none") == said


@simulated
async def test_a_claim_that_waits_for_its_consumer_says_for_whom():
    async with world() as w:
        await storage_class(w, "late", volumeBindingMode="WaitForFirstConsumer")
        await volume(w, "free", storageClassName="late")
        await claim(w, "data", storageClassName="late")
        first = "WaitForFirstConsumer: waiting for first consumer to be created before binding"
        assert await w.events("data") == [first]
        await user(w, "one", "data", schedulerName="nobody")
        assert (await w.events("data"))[1:] == ["WaitForPodScheduled: waiting for pod one to be scheduled"]
        await user(w, "two", "data", schedulerName="nobody")
        assert (await w.events("data"))[2:] == ["WaitForPodScheduled: waiting for pods one,two to be scheduled"]
        assert (await volume_of(w, "data"), await phase(w, "free")) == ("", "Available")
        await w.patch(PVC, "data", {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}})
        await w.clock.sleep(1)
        assert (await w.get(PVC, "data")).metadata.annotations[STORAGE[1]] == "example.com/disk"


@simulated
async def test_a_claim_without_class_gets_the_newest_default_class_though_it_came_later():
    async with world() as w:
        await claim(w, "data", storageClassName=None)
        await claim(w, "none")
        await w.clock.sleep(1)
        await storage_class(w, "fast", annotations={DEFAULT: "true"})
        await w.clock.sleep(2)
        await storage_class(w, "newer", annotations={DEFAULT: "true"})
        await claim(w, "later", storageClassName=None)
        await w.clock.sleep(1)
        names = {c.metadata.name: c.spec.storageClassName for c in await w.all(PVC)}
        assert names == {"data": "fast", "none": "", "later": "newer"}


@simulated
async def test_a_volume_is_not_released_because_a_cache_is_late():
    async with world(only=("serviceaccount-controller",)) as w:
        send = w.as_user(MANAGER).transport

        async def deaf(call: Request) -> Response:
            """Hears nothing of claims once they are listed."""
            return await (
                asyncio.Future()
                if "/persistentvolumeclaims?" in call.target and "watch=" in call.target
                else send(call)
            )

        binder = controllers(w, "persistentvolume-binder-controller", deaf)
        await w.clock.sleep(1)
        made = await claim(w, "data")
        notes = {"pv.kubernetes.io/provisioned-by": "example.com/disk"}
        ref = {"namespace": "default", "name": "data", "uid": made.metadata.uid}
        await volume(w, "disk", meta={"annotations": notes}, claimRef=ref, persistentVolumeReclaimPolicy="Delete")
        await volume(w, "free")
        assert (await phase(w, "free"), await phase(w, "disk")) == ("Available", "Pending")
        await w.patch(PVC, "data", {"metadata": {"finalizers": None}})
        await w.delete(PVC, "data")
        await w.patch(PV, "disk", {"metadata": {"labels": {"touched": "yes"}}}, "")
        assert await phase(w, "disk") == "Released"
        binder.cancel()
        await asyncio.gather(binder, return_exceptions=True)


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_nothing_is_written_while_nothing_changes(policy: str):
    @simulated
    async def run():
        async with world() as w:
            await volume(w, "disk", persistentVolumeReclaimPolicy=policy)
            await volume(w, "free")
            await claim(w, "data")
            await claim(w, "waits", "2Gi")
            await w.clock.sleep(5)
            w.wire.writes.clear()
            await w.clock.sleep(600)
            assert [write for write in w.wire.writes if "persistentvolume" in write or "/events" in write] == []

    run()
