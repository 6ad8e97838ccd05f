"""Claims of ephemeral volumes, and claims that grow, with the real API server."""

from typing import Any

import pytest
from tests.component.controllers.test_local_path_provisioner import installed, running
from tests.component.controllers.test_persistentvolume_binder import PV, PVC, claim, storage_class, user, volume_of
from tests.component.controllers.world import World, simulated, world

from pybernetes.api.errors import Forbidden
from pybernetes.api.types import core_v1

SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


async def scratch_pod(w: World, name: str, **spec: Any) -> core_v1.Pod:
    template = {"metadata": {"labels": {"of": "scratch"}, "annotations": {"why": "test"}}, "spec": SPEC}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
    return await user(w, name, "", volumes=volumes, **spec)


@simulated
async def test_an_ephemeral_volume_has_a_claim_that_lives_and_ends_with_its_pod():
    async with world() as w:
        await installed(w)
        await scratch_pod(w, "pod")
        await running(w, "pod")
        made = await w.get(PVC, "pod-scratch")
        (owner,) = made.metadata.ownerReferences
        assert (owner.kind, owner.name, owner.controller, owner.blockOwnerDeletion) == ("Pod", "pod", True, True)
        assert (made.metadata.labels, made.metadata.annotations["why"]) == ({"of": "scratch"}, "test")
        assert await volume_of(w, "pod-scratch") != ""
        await w.delete(core_v1.Pod, "pod")

        async def nothing() -> bool:
            return not await w.all(PVC) and not await w.all(PV, None)

        await w.until(nothing, 120)


@simulated
async def test_a_claim_of_that_name_that_is_anothers_is_not_taken():
    async with world() as w:
        await claim(w, "pod-scratch")
        await scratch_pod(w, "pod")
        why = "PVC default/pod-scratch was not created for pod default/pod (pod is not owner)"
        assert f"FailedBinding: ephemeral volume scratch: {why}" in await w.events("pod")
        await w.patch(PVC, "pod-scratch", {"metadata": {"labels": {"touched": "yes"}}})
        assert [event.split(":")[0] for event in await w.events("pod")].count("FailedBinding") == 1
        await w.delete(PVC, "pod-scratch")
        await w.clock.sleep(2)
        (owner,) = (await w.get(PVC, "pod-scratch")).metadata.ownerReferences
        assert owner.name == "pod"


@simulated
async def test_a_claim_that_somebody_deleted_is_made_again():
    async with world() as w:
        await scratch_pod(w, "pod", schedulerName="nobody")
        await w.clock.sleep(1)
        first = await w.get(PVC, "pod-scratch")
        await w.delete(PVC, "pod-scratch")
        await w.clock.sleep(1)
        assert (await w.get(PVC, "pod-scratch")).metadata.uid != first.metadata.uid


@pytest.mark.parametrize("twice", [False, True])
def test_a_claim_that_grows_waits_for_its_driver_and_says_so_once_a_size(twice: bool):
    @simulated
    async def run():
        async with world() as w:
            await storage_class(w, "disk", allowVolumeExpansion=True)
            csi = {"driver": "example.com", "volumeHandle": "one"}
            await w.create(PV, "disk", "", metadata={"namespace": ""}, spec={
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "disk", "csi": csi,
            })  # fmt: skip
            await claim(w, "data", storageClassName="disk")
            assert await volume_of(w, "data") == "disk"
            for size in ("2Gi", "3Gi") if twice else ("2Gi",):
                await w.patch(PVC, "data", {"spec": {"resources": {"requests": {"storage": size}}}})
                await w.patch(PVC, "data", {"metadata": {"labels": {"touched": size}}})
                await w.clock.sleep(1)
            said = "ExternalExpanding: waiting for an external controller to expand this PVC"
            assert (await w.events("data")).count(said) == 1
            found = [e for e in await w.all(core_v1.Event) if e.reason == "ExternalExpanding"]
            assert [(e.count, e.source.component, e.type) for e in found] == [(1 + twice, "volume_expand", "Normal")]

    run()


@simulated
async def test_a_claim_whose_volume_a_driver_took_over_grows_by_its_resizer():
    async with world() as w:
        await storage_class(w, "disk", "kubernetes.io/gce-pd", allowVolumeExpansion=True)
        disk = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "disk"}
        spec = {**disk, "gcePersistentDisk": {"pdName": "one"}}
        await w.create(PV, "disk", "", metadata={"namespace": ""}, spec=spec)
        await claim(w, "data", storageClassName="disk", volumeName="disk")
        assert await volume_of(w, "data") == "disk"
        await w.patch(PVC, "data", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
        text = "CSI migration enabled for kubernetes.io/gce-pd; waiting for external resizer to expand the pvc"
        assert await w.events("data") == [f"ExternalExpanding: {text}"]
        notes = (await w.get(PVC, "data")).metadata.annotations
        assert notes["volume.kubernetes.io/storage-resizer"] == "pd.csi.storage.gke.io"


@simulated
async def test_claims_of_local_path_do_not_grow():
    async with world() as w:
        await installed(w)
        await claim(w, "data", storageClassName="local-path")
        await user(w, "pod", "data")
        await running(w, "pod")
        with pytest.raises(Forbidden, match="only dynamically provisioned pvc can be resized"):
            await w.patch(PVC, "data", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
