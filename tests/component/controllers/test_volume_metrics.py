"""What the binder counts, under upstream's names, as a scraper reads it."""

from tests.component.controllers.test_metrics import value
from tests.component.controllers.world import simulated, world
from tests.exposition import read

from pybernetes.api.types import core_v1, storage_v1


@simulated
async def test_what_claims_and_volumes_wait_for_is_counted():
    async with world() as w:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        disk = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
        }
        csi = {"driver": "example.com", "volumeHandle": "x"}
        cls, pvc, pv = storage_v1.StorageClass, core_v1.PersistentVolumeClaim, core_v1.PersistentVolume
        waiting = await w.create(pvc, "data", spec=spec)
        await w.create(pvc, "other", spec={**spec, "storageClassName": ""})
        marked = {"namespace": "", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
        await w.create(cls, "fast", "", metadata=marked, provisioner="example.com")
        await w.clock.sleep(3)
        ref = {"namespace": "default", "name": "data", "uid": waiting.metadata.uid}
        notes = {"namespace": "", "annotations": {"pv.kubernetes.io/provisioned-by": "example.com"}}
        made = {**disk, "csi": csi, "claimRef": ref, "storageClassName": "fast"}
        await w.create(pv, "made", "", metadata=notes, spec=made)
        await w.create(pv, "nfs", "", metadata={"namespace": ""}, spec={**disk, "hostPath": {"path": "/x"}, "volumeMode": "Block",
                                                                        "storageClassName": "slow"})  # fmt: skip
        await w.clock.sleep(1)
        found, name = read(w.manager.metrics()), "pv_collector"
        assert (
            value(
                found, f"{name}_total_pv_count", plugin_name="kubernetes.io/csi:example.com", volume_mode="Filesystem"
            )
            == 1
        )
        assert value(found, f"{name}_total_pv_count", plugin_name="kubernetes.io/host-path", volume_mode="Block") == 1
        assert value(found, f"{name}_bound_pv_count", storage_class="fast") == 1
        assert value(found, f"{name}_unbound_pv_count", storage_class="slow") == 1
        labels = {"namespace": "default", "storage_class": "fast", "volume_attributes_class": ""}
        assert value(found, f"{name}_bound_pvc_count", **labels) == 1
        assert value(found, f"{name}_unbound_pvc_count", **{**labels, "storage_class": ""}) == 1
        assert value(found, "retroactive_storageclass_total") == 1
        assert "retroactive_storageclass_errors_total" not in found
        seconds, operation = (
            "volume_operation_total_seconds",
            {"operation_name": "provision", "plugin_name": "example.com"},
        )
        assert value(found, seconds, "_count", **operation) == 1
        assert 3 <= value(found, seconds, "_sum", **operation) < 4
        await w.delete(pvc, "data")
        await w.clock.sleep(2)
        await w.delete(pv, "made", "")
        await w.clock.sleep(1)
        found = read(w.manager.metrics())
        assert value(found, seconds, "_count", **{**operation, "operation_name": "delete"}) == 1
        assert "pv_collector_bound_pv_count" not in found


@simulated
async def test_a_deletion_that_nobody_can_carry_out_is_counted_as_failed():
    async with world() as w:
        gone = {"namespace": "default", "name": "data", "uid": "00000000-0000-0000-0000-000000000000"}
        spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv/x"}}
        spec |= {"claimRef": gone, "persistentVolumeReclaimPolicy": "Delete"}
        await w.create(core_v1.PersistentVolume, "x", "", metadata={"namespace": ""}, spec=spec)
        await w.clock.sleep(2)
        found = read(w.manager.metrics())
        assert (
            value(
                found, "volume_operation_total_errors", plugin_name="kubernetes.io/host-path", operation_name="delete"
            )
            == 1
        )
