"""A recount of quotas never takes away what admission has charged a moment ago, for an object that is still on its way."""

from tests.component.controllers.world import simulated, world

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1, resource_v1
from pybernetes.controllers.resourcequota import CONFIRM, reconcile


@simulated
async def test_less_use_is_believed_only_when_it_was_seen_twice_and_time_lay_between():
    async with world(nodes=0) as w:
        await w.create(core_v1.ResourceQuota, "q", spec={"hard": {"count/configmaps": "9"}})
        await w.clock.sleep(5)
        charged = (await w.get(core_v1.ResourceQuota, "q")).status.used["count/configmaps"]
        body = {"status": {"used": {"count/configmaps": str(int(charged) + 1)}}}
        api = w.client.of(core_v1.ResourceQuota)
        await api.patch_raw(Key("default", "q"), body, subresource="status")
        ctx = w.manager.loops["resourcequota-controller"].context
        for _ in range(3):  # as events of other objects bring it, all in one moment
            await reconcile(Key("default", "q"), ctx)
        told = (await w.get(core_v1.ResourceQuota, "q")).status.used["count/configmaps"]
        assert int(told) == int(charged) + 1
        await w.clock.sleep(CONFIRM)
        await reconcile(Key("default", "q"), ctx)
        assert (await w.get(core_v1.ResourceQuota, "q")).status.used["count/configmaps"] == charged


@simulated
async def test_devices_of_pods_and_of_claims_are_counted_together():
    async with world(nodes=0) as w:
        spec = resource_v1.DeviceClassSpec(extendedResourceName="example.com/gpu")
        meta = meta_v1.ObjectMeta(name="gpu")
        await w.client.of(resource_v1.DeviceClass).create(resource_v1.DeviceClass(metadata=meta, spec=spec))
        asked = {"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}
        await w.create(resource_v1.ResourceClaim, "c", spec={"devices": {"requests": [asked]}})
        amounts = {"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}
        await w.create(core_v1.Pod, "p", spec={"containers": [{"name": "c", "image": "i", "resources": amounts}]})
        hard = {"requests.example.com/gpu": "9", "requests.deviceclass.resource.kubernetes.io/gpu": "9"}
        await w.create(core_v1.ResourceQuota, "q", spec={"hard": hard})
        await w.clock.sleep(5)
        assert (await w.get(core_v1.ResourceQuota, "q")).status.used == {
            "requests.example.com/gpu": "3",
            "requests.deviceclass.resource.kubernetes.io/gpu": "2",
        }
        await w.delete(resource_v1.ResourceClaim, "c")
        await w.clock.sleep(5)
        assert (await w.get(core_v1.ResourceQuota, "q")).status.used["requests.example.com/gpu"] == "1"
