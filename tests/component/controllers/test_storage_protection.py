"""Protection of claims, volumes and attributes classes that are in use, with the real API server."""

from tests.component.controllers.world import simulated, world

from pybernetes.api.types import core_v1, storage_v1

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
POD = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}
PVC, PV, VAC = core_v1.PersistentVolumeClaim, core_v1.PersistentVolume, storage_v1.VolumeAttributesClass

ALONE = ("serviceaccount-controller", "persistentvolume-protection-controller")
"""Without the binder, which has a mind of its own about phases."""


@simulated
async def test_a_claim_stays_for_as_long_as_a_pod_has_it():
    async with world() as w:
        await w.create(PVC, "data", spec=CLAIM)
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        await w.create(core_v1.Pod, "user", spec={**POD, "volumes": volumes, "nodeName": "node-1"})
        await w.clock.sleep(1)
        await w.delete(PVC, "data")
        await w.clock.sleep(5)
        assert (await w.get(PVC, "data")).metadata.finalizers == ("kubernetes.io/pvc-protection",)
        await w.delete(core_v1.Pod, "user")
        await w.clock.sleep(5)
        assert not await w.there(PVC, "data")


@simulated
async def test_a_claim_that_only_a_waiting_or_no_pod_names_goes_at_once():
    async with world() as w:
        await w.create(PVC, "data", spec=CLAIM)
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        await w.create(core_v1.Pod, "user", spec={**POD, "volumes": volumes, "schedulerName": "nobody"})
        await w.create(PVC, "alone", spec=CLAIM)
        for name in ("data", "alone"):
            await w.delete(PVC, name)
        await w.clock.sleep(1)
        assert await w.all(PVC) == ()


@simulated
async def test_the_claim_of_an_ephemeral_volume_is_in_use_if_it_is_its_pods_own():
    async with world() as w:
        volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}]
        for name in ("user", "other"):
            made = await w.create(core_v1.Pod, name, spec={**POD, "volumes": volumes, "nodeName": "node-1"})
            owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made.metadata.uid, "controller": True}
            meta = {"ownerReferences": [owner]} if name == "user" else {}
            await w.create(PVC, f"{name}-v", metadata=meta, spec=CLAIM)
        await w.clock.sleep(1)
        for name in ("user-v", "other-v"):
            await w.delete(PVC, name)
        await w.clock.sleep(5)
        other, own = await w.all(PVC)
        assert (own.metadata.name, bool(own.metadata.deletionTimestamp)) == ("user-v", True)
        assert (other.metadata.name, len(other.metadata.ownerReferences)) == ("other-v", 1)  # made anew, for its Pod


@simulated
async def test_a_volume_stays_while_it_is_bound():
    async with world(only=ALONE) as w:
        for name, phase in (("bound", "Bound"), ("free", "Available")):
            await w.create(PV, name, "", spec=VOLUME)
            await w.client.of(PV).patch_raw(name, {"status": {"phase": phase}}, subresource="status")
            await w.delete(PV, name, "")
        await w.clock.sleep(1)
        assert [volume.metadata.name for volume in await w.all(PV, None)] == ["bound"]
        await w.client.of(PV).patch_raw("bound", {"status": {"phase": "Released"}}, subresource="status")
        await w.clock.sleep(1)
        assert await w.all(PV, None) == ()


@simulated
async def test_an_attributes_class_stays_while_a_claim_has_it():
    async with world() as w:
        for name in ("gold", "silver"):
            await w.create(VAC, name, "", driverName="csi.example.com", parameters={"iops": "1"})
        await w.create(PVC, "data", spec={**CLAIM, "volumeAttributesClassName": "gold"})
        await w.clock.sleep(1)
        for name in ("gold", "silver"):
            await w.delete(VAC, name, "")
        await w.clock.sleep(1)
        assert [one.metadata.name for one in await w.all(VAC, None)] == ["gold"]
        await w.delete(PVC, "data")
        await w.clock.sleep(1)
        assert await w.all(VAC, None) == ()


@simulated
async def test_a_finalizer_that_somebody_took_away_comes_back():
    async with world() as w:
        await w.create(PVC, "data", spec=CLAIM)
        await w.patch(PVC, "data", {"metadata": {"finalizers": None}})
        await w.clock.sleep(1)
        assert (await w.get(PVC, "data")).metadata.finalizers == ("kubernetes.io/pvc-protection",)
