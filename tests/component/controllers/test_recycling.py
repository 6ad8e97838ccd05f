"""Released volumes of the policy Recycle are emptied by Pods, and free again."""

from typing import Any

import msgspec
from tests.component.controllers.test_persistentvolume_binder import PV, PVC, claim, phase, user, volume, volume_of
from tests.component.controllers.world import World, every_second, simulated, world

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers._recyclers import CLAIM, Recyclers
from pybernetes.controllers.runtime import Config

SLOW = {"simulated.pybernetes.io/run-seconds": "5"}


def template(*, code: str = "0", namespace: str = "") -> core_v1.Pod:
    body = {
        "metadata": {"namespace": namespace, "annotations": {**SLOW, "simulated.pybernetes.io/exit-code": code}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never",
                 "volumes": [{"name": "data", "emptyDir": {}}, {"name": "more", "emptyDir": {}}]},
    }  # fmt: skip
    return msgspec.convert(body, core_v1.Pod)


async def released(w: World, name: str = "disk", **spec: Any) -> None:
    await volume(w, name, persistentVolumeReclaimPolicy="Recycle", **spec)
    await claim(w, "data")
    assert await volume_of(w, "data") == name
    await w.delete(PVC, "data")


async def recyclers(w: World, namespace: str = "default") -> list[core_v1.Pod]:
    return [pod for pod in await w.all(core_v1.Pod, namespace) if pod.metadata.name.startswith("recycler-for-")]


@simulated
async def test_a_released_volume_is_emptied_and_free_again():
    async with world() as w:
        await released(w)
        await w.until(lambda: is_in(w, "disk", "Available"))
        its = await w.get(PV, "disk", "")
        assert (its.spec.claimRef, its.metadata.annotations) == (None, {})
        assert await w.events("disk") == ["VolumeRecycled: Volume recycled"]
        assert await recyclers(w) == []
        await claim(w, "next")
        assert await volume_of(w, "next") == "disk"


async def is_in(w: World, name: str, wanted: str) -> bool:
    return (await w.get(PV, name, "")).status.phase == wanted


@simulated
async def test_the_recycler_has_the_volume_and_the_time_that_its_size_takes():
    async with world(nodes=0) as w:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}]}
        affinity = {"required": {"nodeSelectorTerms": [term]}}
        await released(w, capacity={"storage": "10Gi"}, nodeAffinity=affinity)
        await w.clock.sleep(2)
        (pod,) = await recyclers(w)
        assert (pod.metadata.name, pod.spec.activeDeadlineSeconds) == ("recycler-for-disk", 300)
        (its,) = pod.spec.volumes
        assert its.hostPath is not None
        assert its.hostPath.path == "/srv/disk"
        assert pod.spec.containers[0].volumeMounts[0].mountPath == "/scrub"
        assert pod.spec.affinity is not None
        assert pod.spec.affinity.nodeAffinity is not None
        required = pod.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
        assert required is not None
        assert required.nodeSelectorTerms[0].matchExpressions[0].values == ("node-1",)


@simulated
async def test_a_recycler_that_fails_is_told_once_and_comes_again_after_a_minute():
    async with world(config=Config(recyclers=Recyclers(host_path_template=template(code="1")))) as w:
        await released(w)
        await w.until(lambda: is_in(w, "disk", "Failed"))
        status = (await w.get(PV, "disk", "")).status
        assert status.message.startswith("Recycle failed: ")
        assert await w.events("disk") == [f"VolumeFailedRecycle: {status.message}"]
        assert await recyclers(w) == []
        await w.clock.sleep(61)
        assert len(await recyclers(w)) == 1
        assert len(await w.events("disk")) == 1


@simulated
async def test_a_volume_that_pods_still_use_is_not_emptied():
    async with world() as w:
        await volume(w, "disk", persistentVolumeReclaimPolicy="Recycle")
        await claim(w, "data")
        assert await volume_of(w, "data") == "disk"
        await user(w, "pod", "data")
        await w.clock.sleep(5)
        await w.delete(PVC, "data")
        await w.patch(PVC, "data", {"metadata": {"finalizers": None}})
        assert await phase(w, "disk") == "Released"
        assert "VolumeFailedRecycle: Volume is used by pods: default/pod" in await w.events("disk")
        assert await recyclers(w) == []
        await w.delete(core_v1.Pod, "pod")
        await w.until(lambda: is_in(w, "disk", "Available"))


@simulated
async def test_a_template_says_where_and_the_volume_takes_its_first_place():
    nfs = {"nfs": {"server": "files", "path": "/exports"}, "hostPath": None}
    config = Config(recyclers=Recyclers(nfs_template=template(namespace="kube-system")))
    async with world(config=config) as w:
        await released(w, **nfs)
        await w.clock.sleep(3)
        (pod,) = await recyclers(w, "kube-system")
        assert [(one.name, one.nfs is not None) for one in pod.spec.volumes[:2]] == [("data", True), ("more", False)]
        assert pod.spec.activeDeadlineSeconds == 300
        await w.until(lambda: is_in(w, "disk", "Available"))
        assert await recyclers(w, "kube-system") == []


@simulated
async def test_the_recycler_of_a_volume_that_is_gone_goes_too():
    async with world(nodes=0) as w:
        await released(w)
        await w.clock.sleep(2)
        assert len(await recyclers(w)) == 1
        await w.delete(PV, "disk", "")
        await w.clock.sleep(2)
        assert await recyclers(w) == []


@simulated
async def test_what_emptied_a_volume_once_says_nothing_the_next_time():
    async with world(nodes=0) as w:
        await released(w)
        await w.clock.sleep(2)
        (old,) = await recyclers(w)
        other = {"metadata": {"annotations": {CLAIM: "another"}}}
        await w.patch(core_v1.Pod, old.metadata.name, other)
        done = {"status": {"phase": "Succeeded"}}
        await w.client.of(core_v1.Pod).patch_raw(Key("default", old.metadata.name), done, subresource="status")
        await w.clock.sleep(2)
        (new,) = await recyclers(w)
        assert new.metadata.uid != old.metadata.uid
        assert await phase(w, "disk") == "Released"


@simulated
async def test_every_second_write_may_fail():
    async with world() as w:
        w.wire.refuse = every_second("persistentvolume-binder-controller")
        await released(w)
        await w.until(lambda: is_in(w, "disk", "Available"), 120)
        assert (await w.get(PV, "disk", "")).spec.claimRef is None
