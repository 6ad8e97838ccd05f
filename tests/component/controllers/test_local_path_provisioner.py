"""Volumes of local-path, on simulated nodes: class, helper Pods, volumes and their end."""

from typing import Any

from tests.component.controllers.test_metrics import value
from tests.component.controllers.test_persistentvolume_binder import PV, PVC, SC, claim, user, volume_of
from tests.component.controllers.world import World, every_second, simulated, world
from tests.exposition import read

from pybernetes.api.types import apps_v1, core_v1
from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS

SELECTED = "volume.kubernetes.io/selected-node"
PODS = core_v1.Pod


async def installed(w: World) -> None:
    await w.client.of(SC).create(STORAGE_CLASS)


async def running(w: World, name: str) -> core_v1.Pod:
    async def holds() -> bool:
        return (await w.get(PODS, name)).status.phase == "Running"

    await w.until(holds)
    return await w.get(PODS, name)


async def helpers(w: World) -> list[core_v1.Pod]:
    found = await w.all(PODS, "kube-system")
    return [pod for pod in found if pod.metadata.name.startswith("helper-pod-")]


async def helped(w: World) -> list[str]:
    """What helpers have done, each one once."""
    found = await w.all(core_v1.Event, "kube-system")
    started = [e.involvedObject.name for e in found if e.reason == "Started"]
    return sorted(name.split("-pvc-")[0] for name in started if name.startswith("helper-pod-"))


async def bound(w: World) -> core_v1.PersistentVolume:
    """The volume of the claim `data`, used by `pod`."""
    await installed(w)
    await claim(w, "data", storageClassName=None)
    await user(w, "pod", "data")
    await running(w, "pod")
    return await w.get(PV, await volume_of(w, "data"), "")


@simulated
async def test_a_claim_without_class_gets_a_directory_of_its_pods_node():
    async with world() as w:
        its = await bound(w)
        made, pod = await w.get(PVC, "data"), await w.get(PODS, "pod")
        assert made.spec.storageClassName == "local-path"
        assert its.metadata.name == f"pvc-{made.metadata.uid}"
        assert its.spec.local is not None
        assert its.spec.local.path == f"/opt/local-path-provisioner/{its.metadata.name}_default_data"
        assert its.spec.persistentVolumeReclaimPolicy == "Delete"
        assert its.spec.capacity == {"storage": "1Gi"}
        assert its.spec.nodeAffinity is not None
        assert its.spec.nodeAffinity.required is not None
        (term,) = its.spec.nodeAffinity.required.nodeSelectorTerms
        assert term.matchExpressions[0].values == (pod.spec.nodeName,)
        assert its.metadata.annotations["pv.kubernetes.io/provisioned-by"] == "rancher.io/local-path"
        assert "external-provisioner.volume.kubernetes.io/finalizer" in its.metadata.finalizers
        said = await w.events("data")
        assert 'Provisioning: External provisioner is provisioning volume for claim "default/data"' in said
        assert f"ProvisioningSucceeded: Successfully provisioned volume {its.metadata.name}" in said
        assert await helpers(w) == []


@simulated
async def test_the_directory_is_made_by_a_helper_that_can_reach_nothing_else():
    async with world(nodes=1) as w:
        await installed(w)
        await w.node_down("node-1")
        await claim(w, "data", storageClassName="local-path")
        await user(w, "pod", "data")
        await w.clock.sleep(10)
        (helper,) = await helpers(w)
        name = f"pvc-{(await w.get(PVC, 'data')).metadata.uid}"
        (container,), (where,) = helper.spec.containers, helper.spec.volumes
        assert container.command == ("/bin/busybox", "mkdir", "-m", "0777", "-p", f"/volumes/{name}_default_data")
        assert where.hostPath is not None
        assert (where.hostPath.path, where.hostPath.type) == ("/opt/local-path-provisioner", "DirectoryOrCreate")
        assert (helper.spec.nodeName, helper.spec.automountServiceAccountToken) == ("node-1", False)
        w.node_up("node-1", "198.18.1.1")
        await running(w, "pod")


@simulated
async def test_the_directory_goes_with_the_claim():
    async with world() as w:
        its = await bound(w)
        await w.delete(PODS, "pod")
        await w.delete(PVC, "data")
        await w.gone(PV, its.metadata.name, "")
        await w.clock.sleep(2)
        assert await helpers(w) == []
        assert await helped(w) == ["helper-pod-create", "helper-pod-delete"]


@simulated
async def test_the_directory_goes_as_soon_as_its_node_answers_again():
    async with world(nodes=1) as w:
        its = await bound(w)
        await w.delete(PODS, "pod")
        await w.clock.sleep(2)
        await w.node_down("node-1")
        await w.delete(PVC, "data")
        await w.clock.sleep(30)
        assert (await w.get(PV, its.metadata.name, "")).status.phase == "Released"
        (remover,) = await helpers(w)
        assert its.spec.local is not None
        folder = its.spec.local.path.rsplit("/", 1)[1]
        assert remover.spec.containers[0].command == ("/bin/busybox", "rm", "-rf", f"/volumes/{folder}")
        w.node_up("node-1", "198.18.1.1")
        await w.gone(PV, its.metadata.name, "", seconds=120)


@simulated
async def test_a_volume_whose_node_left_the_cluster_goes():
    async with world() as w:
        its = await bound(w)
        node = (await w.get(PODS, "pod")).spec.nodeName
        await w.delete(PODS, "pod")
        await w.node_down(node)
        await w.delete(core_v1.Node, node, "")
        await w.delete(PVC, "data")
        await w.gone(PV, its.metadata.name, "")


@simulated
async def test_a_volume_that_is_deleted_first_keeps_its_data_until_its_claim_goes():
    async with world() as w:
        its = await bound(w)
        await w.delete(PV, its.metadata.name, "")
        await w.clock.sleep(5)
        assert (await w.get(PV, its.metadata.name, "")).status.phase == "Bound"
        assert await helpers(w) == []
        await w.delete(PODS, "pod")
        await w.delete(PVC, "data")
        await w.gone(PV, its.metadata.name, "")


@simulated
async def test_with_retain_the_data_stays():
    async with world() as w:
        its = await bound(w)
        await w.patch(PV, its.metadata.name, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}, "")
        await w.delete(PODS, "pod")
        await w.delete(PVC, "data")
        await w.clock.sleep(20)
        assert (await w.get(PV, its.metadata.name, "")).status.phase == "Released"
        assert await helpers(w) == []


@simulated
async def test_a_claim_that_goes_while_its_directory_is_made_leaves_nothing_behind():
    async with world(nodes=1) as w:
        await installed(w)
        await w.node_down("node-1")
        await claim(w, "data", storageClassName="local-path")
        await user(w, "pod", "data")
        await w.clock.sleep(5)
        await w.delete(PODS, "pod")
        await w.delete(PVC, "data")
        assert len(await helpers(w)) == 1
        w.node_up("node-1", "198.18.1.1")

        async def gone() -> bool:
            return not await helpers(w) and not await w.all(PV, None)

        await w.until(gone)
        assert await helped(w) == ["helper-pod-create", "helper-pod-delete"]


@simulated
async def test_another_node_is_chosen_where_the_first_does_not_answer():
    async with world() as w:
        await installed(w)
        await claim(w, "data", storageClassName="local-path")
        await w.node_down("node-1")
        await w.patch(core_v1.Node, "node-2", {"spec": {"unschedulable": True}}, "")
        await user(w, "pod", "data")
        await w.clock.sleep(10)
        assert (await w.get(PVC, "data")).metadata.annotations[SELECTED] == "node-1"
        await w.patch(core_v1.Node, "node-2", {"spec": {"unschedulable": None}}, "")
        await w.clock.sleep(200)
        assert (await running(w, "pod")).spec.nodeName == "node-2"
        said = (
            'ProvisioningFailed: failed to provision volume with StorageClass "local-path": failed to create volume '
            f"pvc-{(await w.get(PVC, 'data')).metadata.uid}: create process timeout after 120 seconds"
        )
        assert said in await w.events("data")


@simulated
async def test_what_a_directory_cannot_be_is_said():
    async with world() as w:
        await installed(w)
        await claim(w, "shared", storageClassName="local-path", accessModes=["ReadWriteMany"])
        await user(w, "pod", "shared")
        await w.clock.sleep(10)
        why = "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
        said = f'ProvisioningFailed: failed to provision volume with StorageClass "local-path": {why}'
        assert said in await w.events("shared")


@simulated
async def test_what_is_made_and_removed_is_counted():
    async with world() as w:
        its = await bound(w)
        await claim(w, "raw", storageClassName="local-path", volumeMode="Block")
        await user(w, "raw", "raw", containers=[{"name": "c", "image": "i"}])
        await w.delete(PODS, "pod")
        await w.delete(PVC, "data")
        await w.gone(PV, its.metadata.name, "")
        found, name, by = read(w.manager.metrics()), "controller_persistentvolume", {"class": "local-path"}
        assert value(found, f"{name}claim_provision_total", **by, source="") == 1
        assert value(found, f"{name}claim_provision_failed_total", **by, source="") >= 1
        assert value(found, f"{name}claim_provision_duration_seconds", "_count", **by, source="") == 1
        assert value(found, f"{name}_delete_total", **by) == 1
        assert value(found, f"{name}_delete_duration_seconds", "_count", **by) == 1
        assert f"{name}_delete_failed_total" not in found


@simulated
async def test_a_class_of_that_name_that_is_not_ours_is_left_to_its_provisioner():
    async with world() as w:
        body: dict[str, Any] = {"provisioner": "rancher.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}
        await w.create(SC, "local-path", "", metadata={"namespace": ""}, **body)
        await claim(w, "data", storageClassName="local-path")
        await user(w, "pod", "data")
        await w.clock.sleep(30)
        assert (await helpers(w), await w.all(PV, None)) == ([], ())


@simulated
async def test_every_second_write_may_fail():
    async with world() as w:
        w.wire.refuse = every_second("local-path-provisioner")
        its = await bound(w)
        await w.delete(PODS, "pod")
        await w.delete(PVC, "data")

        async def gone() -> bool:
            return not await w.there(PV, its.metadata.name, "") and not await helpers(w)

        await w.until(gone, 120)


@simulated
async def test_a_stateful_set_keeps_its_volumes_and_gives_them_up_as_it_says():
    async with world() as w:
        await installed(w)
        template = {
            "metadata": {"labels": {"app": "db"}},
            "spec": {
                "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
            },
        }
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        spec = {
            "replicas": 2,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": wanted}],
            "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Delete"},
        }
        await w.create(apps_v1.StatefulSet, "db", spec=spec)

        async def ready(count: int) -> None:
            async def holds() -> bool:
                pods = [pod for pod in await w.pods("app=db") if pod.status.phase == "Running"]
                return len(pods) == count

            await w.until(holds, 120)

        await ready(2)
        volumes = {name: await volume_of(w, name) for name in ("data-db-0", "data-db-1")}
        where = (await w.get(PODS, "db-0")).spec.nodeName
        await w.delete(PODS, "db-0")
        await w.clock.sleep(5)
        await ready(2)
        assert (await w.get(PODS, "db-0")).spec.nodeName == where
        assert await volume_of(w, "data-db-0") == volumes["data-db-0"]
        await w.patch(apps_v1.StatefulSet, "db", {"spec": {"replicas": 1}})

        async def only_first() -> bool:
            return [one.metadata.name for one in await w.all(PV, None)] == [volumes["data-db-0"]]

        await w.until(only_first, 120)
        await w.delete(apps_v1.StatefulSet, "db")

        async def nothing() -> bool:
            return not await w.all(PV, None) and not await w.all(PVC) and not await w.all(PODS)

        await w.until(nothing, 180)
