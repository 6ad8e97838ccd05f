"""StatefulSets with the real API server: order, names, claims, updates, history."""

from typing import Any

from tests.component.controllers.world import World, every_second, no_pods, simulated, template, world

from pybernetes.api.errors import ApiError, Forbidden
from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, core_v1, storage_v1
from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS
from pybernetes.wire.http import Request

HASH = "controller-revision-hash"
STRATEGIC = "application/strategic-merge-patch+json"
GATED = [{"conditionType": "test/go"}]


async def stateful_set(w: World, name: str = "web", replicas: int = 3, **spec: Any) -> apps_v1.StatefulSet:
    """With volumes for its claims, where it has any."""
    if "volumeClaimTemplates" in spec:
        await w.client.of(storage_v1.StorageClass).create(STORAGE_CLASS)
    own = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}}}
    return await w.create(apps_v1.StatefulSet, name, spec=own | {"template": template(app=name)} | spec)


def gated(**labels: str) -> dict[str, Any]:
    """A template whose Pods are ready when let() says so."""
    made = template(**labels)
    made["spec"]["readinessGates"] = GATED
    return made


async def let(w: World, name: str, ready: bool = True) -> None:
    body = {"status": {"conditions": [{"type": "test/go", "status": str(ready)}]}}
    await w.client.of(core_v1.Pod).patch_raw(Key("default", name), body, STRATEGIC, subresource="status")
    await w.clock.sleep(2)


async def find(w: World, name: str = "web") -> apps_v1.StatefulSet:
    return await w.get(apps_v1.StatefulSet, name)


async def change(w: World, **spec: Any) -> None:
    await w.patch(apps_v1.StatefulSet, "web", {"spec": spec})


async def roll(w: World, image: str) -> None:
    await change(w, template={"spec": {"containers": [{"name": "c", "image": image}]}})


async def ready(w: World, replicas: int) -> apps_v1.StatefulSet:
    """All of them, of the newest template, as `kubectl rollout status` waits for it."""

    async def holds() -> bool:
        s = await find(w)
        seen = s.status.observedGeneration == s.metadata.generation
        counts = (s.status.replicas, s.status.readyReplicas, s.status.availableReplicas, s.status.updatedReplicas)
        return seen and counts == (replicas,) * 4 and s.status.currentRevision == s.status.updateRevision

    await w.until(holds, 120)
    return await find(w)


async def names(w: World) -> list[str]:
    return sorted(p.metadata.name for p in await w.all(core_v1.Pod))


async def images(w: World) -> list[str]:
    pods = sorted(await w.pods(), key=lambda p: p.metadata.name)
    return [p.spec.containers[0].image for p in pods]


async def revisions(w: World) -> dict[int, str]:
    found = await w.all(apps_v1.ControllerRevision)
    assert len({r.revision for r in found}) == len(found)
    return {r.revision: r.metadata.name for r in found}


def pod_writes(w: World) -> list[str]:
    """What the controllers asked of Pods: method and name."""
    writes = (write.partition("?")[0] for write in w.wire.writes)
    return [f"{w.split()[0]} {w.rsplit('/', 1)[1]}" for w in writes if "/pods" in w and not w.endswith("/status")]


@simulated
async def test_pods_have_names_labels_and_host_names_of_their_ordinals():
    async with world() as w:
        await stateful_set(w, replicas=2, ordinals={"start": 5})
        s = await ready(w, 2)
        first, second = sorted(await w.pods(), key=lambda p: p.metadata.name)
        assert (first.metadata.name, second.metadata.name) == ("web-5", "web-6")
        assert (second.spec.hostname, second.spec.subdomain) == ("web-6", "web")
        assert second.metadata.labels == {
            "app": "web",
            "apps.kubernetes.io/pod-index": "6",
            "statefulset.kubernetes.io/pod-name": "web-6",
            HASH: s.status.currentRevision,
        }
        (ref,) = second.metadata.ownerReferences
        assert (ref.apiVersion, ref.kind, ref.name, ref.controller) == ("apps/v1", "StatefulSet", "web", True)
        assert await w.events("web") == [
            "SuccessfulCreate: create Pod web-5 in StatefulSet web successful",
            "SuccessfulCreate: create Pod web-6 in StatefulSet web successful",
        ]


@simulated
async def test_scaling_goes_in_order_and_halts_while_a_pod_is_not_ready():
    async with world() as w:
        await stateful_set(w, template=gated(app="web"))
        await w.clock.sleep(10)
        assert await names(w) == ["web-0"]
        await let(w, "web-0")
        assert await names(w) == ["web-0", "web-1"]
        await let(w, "web-0", False)
        await let(w, "web-1")
        assert await names(w) == ["web-0", "web-1"]
        await let(w, "web-0")
        await let(w, "web-2")
        await ready(w, 3)
        assert pod_writes(w) == ["POST pods"] * 3
        await let(w, "web-0", False)
        await change(w, replicas=1)
        await w.clock.sleep(10)
        assert await names(w) == ["web-0", "web-1", "web-2"]
        await let(w, "web-0")
        await w.clock.sleep(60)
        assert await names(w) == ["web-0"]
        await change(w, replicas=0)
        await w.clock.sleep(60)
        assert await names(w) == []
        assert pod_writes(w)[3:] == ["DELETE web-2", "DELETE web-1", "DELETE web-0"]


@simulated
async def test_of_several_condemned_the_lowest_that_is_not_well_may_go():
    async with world() as w:
        await stateful_set(w, template=gated(app="web"), podManagementPolicy="Parallel")
        await w.clock.sleep(5)
        for name in ("web-0", "web-1", "web-2"):
            await let(w, name)
        await w.delete(apps_v1.StatefulSet, "web", propagation="Orphan")
        await w.clock.sleep(3)
        await stateful_set(w, template=gated(app="web"))
        await ready(w, 3)
        await let(w, "web-2", False)
        await change(w, replicas=1)
        await w.clock.sleep(60)
        assert await names(w) == ["web-0"]


@simulated
async def test_a_parallel_set_makes_and_removes_all_at_once():
    async with world() as w:
        await stateful_set(w, replicas=5, podManagementPolicy="Parallel", template=gated(app="web"))
        await w.clock.sleep(3)
        assert len(await names(w)) == 5
        await change(w, replicas=1)
        await w.clock.sleep(60)
        assert await names(w) == ["web-0"]


@simulated
async def test_a_pod_that_a_node_rejects_is_made_again_until_there_is_room():
    async with world() as w:
        port = [{"containerPort": 80, "hostPort": 8080}]
        holder = {"nodeName": "node-1", "containers": [{"name": "c", "image": "one", "ports": port}]}
        await w.until(lambda: w.there(core_v1.Node, "node-1"))
        await w.create(core_v1.Pod, "holder", spec=holder)
        await w.clock.sleep(5)
        await stateful_set(w, replicas=1, template={"metadata": {"labels": {"app": "web"}}, "spec": holder})
        await w.clock.sleep(20)
        rejected = [e for e in await w.events("web") if "delete Pod web-0" in e]
        assert rejected
        await w.delete(core_v1.Pod, "holder")
        await ready(w, 1)


@simulated
async def test_claims_are_made_for_each_pod_and_outlive_it():
    async with world() as w:
        await stateful_set(w, replicas=2, volumeClaimTemplates=[claim()])
        await ready(w, 2)
        found = await w.all(core_v1.PersistentVolumeClaim)
        assert {c.metadata.name: c.metadata.labels for c in found} == {
            "data-web-0": {"app": "web", "kept": "yes"},
            "data-web-1": {"app": "web", "kept": "yes"},
        }
        pod = await w.get(core_v1.Pod, "web-1")
        volume = next(v for v in pod.spec.volumes if v.name == "data")
        assert volume.persistentVolumeClaim is not None
        assert volume.persistentVolumeClaim.claimName == "data-web-1"
        assert "SuccessfulCreate: create Claim data-web-1 Pod web-1 in StatefulSet web success" in await w.events("web")
        await change(w, replicas=0)
        await w.clock.sleep(60)
        await w.delete(apps_v1.StatefulSet, "web")
        await w.clock.sleep(60)
        assert {c.metadata.uid for c in await w.all(core_v1.PersistentVolumeClaim)} == {c.metadata.uid for c in found}


def claim() -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": "data", "labels": {"kept": "yes"}}, "spec": spec}


async def claims(w: World) -> dict[str, str]:
    """Names of the claims that stay, with the kind that owns them."""
    found = await w.all(core_v1.PersistentVolumeClaim)
    return {c.metadata.name: "".join(r.kind for r in c.metadata.ownerReferences) for c in found}


@simulated
async def test_claims_go_with_what_the_retention_policy_says():
    async with world() as w:
        policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
        await stateful_set(w, volumeClaimTemplates=[claim()], persistentVolumeClaimRetentionPolicy=policy)
        await ready(w, 3)
        await w.clock.sleep(5)
        assert await claims(w) == {"data-web-0": "", "data-web-1": "", "data-web-2": ""}
        await change(w, replicas=2)
        await w.clock.sleep(60)
        assert await claims(w) == {"data-web-0": "", "data-web-1": ""}
        await change(w, persistentVolumeClaimRetentionPolicy={"whenScaled": "Retain", "whenDeleted": "Delete"})
        await w.clock.sleep(5)
        assert await claims(w) == {"data-web-0": "StatefulSet", "data-web-1": "StatefulSet"}
        await change(w, replicas=1)
        await w.clock.sleep(60)
        assert await claims(w) == {"data-web-0": "StatefulSet", "data-web-1": "StatefulSet"}
        await w.delete(apps_v1.StatefulSet, "web")
        await w.clock.sleep(60)
        assert await claims(w) == {}


@simulated
async def test_claims_have_their_owner_though_their_pod_never_becomes_ready():
    async with world() as w:
        made = template(app="web")
        made["metadata"]["annotations"] = {"simulated.pybernetes.io/pull-error": "no such image"}
        policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
        await w.create(core_v1.PersistentVolumeClaim, "data-web-1", spec=claim()["spec"])
        more = {"volumeClaimTemplates": [claim()], "persistentVolumeClaimRetentionPolicy": policy}
        await stateful_set(w, template=made, podManagementPolicy="Parallel", **more)
        await w.clock.sleep(60)
        assert await claims(w) == {f"data-web-{ordinal}": "StatefulSet" for ordinal in range(3)}
        await w.delete(apps_v1.StatefulSet, "web")
        await w.clock.sleep(60)
        assert await claims(w) == {}


@simulated
async def test_a_pod_that_comes_back_waits_until_its_old_claim_is_gone():
    async with world() as w:
        policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
        await stateful_set(w, replicas=2, volumeClaimTemplates=[claim()], persistentVolumeClaimRetentionPolicy=policy)
        await ready(w, 2)
        old = await w.get(core_v1.PersistentVolumeClaim, "data-web-1")
        await change(w, replicas=1)
        await w.clock.sleep(0.5)
        await change(w, replicas=2)
        await ready(w, 2)
        new = await w.get(core_v1.PersistentVolumeClaim, "data-web-1")
        assert new.metadata.uid != old.metadata.uid
        assert new.metadata.deletionTimestamp is None


@simulated
async def test_a_rolling_update_replaces_one_pod_after_the_other_and_a_roll_back_knows_its_revision():
    async with world() as w:
        made = template(app="web")
        made["metadata"]["annotations"] = {"simulated.pybernetes.io/ready-after-seconds": "5"}
        await stateful_set(w, template=made)
        s = await ready(w, 3)
        one = s.status.currentRevision
        assert await revisions(w) == {1: one}
        w.wire.writes.clear()
        await roll(w, "two")
        await w.clock.sleep(1)
        s = await find(w)
        assert s.status.currentRevision == one
        assert s.status.updateRevision != one
        s = await ready(w, 3)
        assert await images(w) == ["two"] * 3
        assert pod_writes(w) == [w for n in (2, 1, 0) for w in (f"DELETE web-{n}", "POST pods")]
        assert await revisions(w) == {1: one, 2: s.status.currentRevision}
        await roll(w, "one")
        s = await ready(w, 3)
        assert await images(w) == ["one"] * 3
        assert s.status.currentRevision == one
        assert (await revisions(w))[3] == one
        assert len(await revisions(w)) == 2


@simulated
async def test_a_partition_holds_back_the_pods_below_it():
    async with world() as w:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
        await stateful_set(w, updateStrategy=rolling)
        await ready(w, 3)
        await roll(w, "two")
        await w.clock.sleep(20)
        assert await images(w) == ["one"] * 3
        await change(w, updateStrategy={"rollingUpdate": {"partition": 2}})
        await w.clock.sleep(40)
        assert await images(w) == ["one", "one", "two"]
        for name in ("web-0", "web-2"):
            await w.delete(core_v1.Pod, name)
        await w.clock.sleep(60)
        assert await images(w) == ["one", "one", "two"]
        s = await find(w)
        assert (s.status.currentReplicas, s.status.updatedReplicas) == (2, 1)
        await change(w, updateStrategy={"rollingUpdate": {"partition": 0}})
        await ready(w, 3)
        assert await images(w) == ["two"] * 3


@simulated
async def test_on_delete_replaces_only_what_is_deleted():
    async with world() as w:
        await stateful_set(w, updateStrategy={"type": "OnDelete"})

        async def up() -> bool:
            return (await find(w)).status.availableReplicas == 3

        await w.until(up)
        await roll(w, "two")
        await w.clock.sleep(20)
        assert await images(w) == ["one"] * 3
        await w.delete(core_v1.Pod, "web-1")
        await w.clock.sleep(60)
        assert await images(w) == ["one", "two", "one"]


@simulated
async def test_max_unavailable_replaces_several_at_once():
    async with world() as w:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}
        await stateful_set(w, replicas=5, updateStrategy=rolling, podManagementPolicy="Parallel")
        await ready(w, 5)
        w.wire.writes.clear()
        await roll(w, "two")
        await ready(w, 5)
        assert sorted(pod_writes(w)[:3]) == ["DELETE web-3", "DELETE web-4", "POST pods"]


@simulated
async def test_the_next_pod_waits_until_the_one_before_has_been_ready_for_long_enough():
    async with world() as w:
        await stateful_set(w, replicas=2, minReadySeconds=30)
        await w.clock.sleep(20)
        s = await find(w)
        assert (s.status.readyReplicas, s.status.availableReplicas) == (1, 0)
        assert await names(w) == ["web-0"]
        await w.clock.sleep(20)
        assert await names(w) == ["web-0", "web-1"]
        await ready(w, 2)


@simulated
async def test_a_parallel_set_replaces_first_what_is_broken_anyhow():
    async with world() as w:
        await stateful_set(w, podManagementPolicy="Parallel", template=gated(app="web"))
        await w.clock.sleep(5)
        for name in ("web-1", "web-2"):
            await let(w, name)
        w.wire.writes.clear()
        await change(w, template={"spec": {"containers": [{"name": "c", "image": "two"}]}})
        await w.clock.sleep(60)
        assert [write for write in pod_writes(w) if write.startswith("DELETE")] == ["DELETE web-0"]


@simulated
async def test_orphans_are_adopted_and_what_does_not_belong_is_released():
    async with world() as w:
        await stateful_set(w, replicas=2)
        await ready(w, 2)
        before = {p.metadata.name: p.metadata.uid for p in await w.pods()}
        await w.delete(apps_v1.StatefulSet, "web", propagation="Orphan")
        await w.clock.sleep(5)
        assert all(p.metadata.ownerReferences == () for p in await w.pods())
        s = await stateful_set(w, replicas=2)
        await ready(w, 2)
        pods = await w.pods()
        assert {p.metadata.name: p.metadata.uid for p in pods} == before
        assert {p.metadata.ownerReferences[0].uid for p in pods} == {s.metadata.uid}
        assert len(await revisions(w)) == 1
        await w.create(core_v1.Pod, "webby", metadata={"labels": {"app": "web"}}, **{"spec": template()["spec"]})
        await w.patch(core_v1.Pod, "web-1", {"metadata": {"labels": {"app": "other"}}})
        await w.clock.sleep(5)
        assert (await w.get(core_v1.Pod, "web-1")).metadata.ownerReferences == ()
        assert (await w.get(core_v1.Pod, "webby")).metadata.ownerReferences == ()
        await w.delete(core_v1.Pod, "web-1")
        await ready(w, 2)
        counters = w.manager.loops["statefulset-controller"].counters
        w.expected_errors = [f"statefulset-controller: {counters.errors - counters.races}"]


@simulated
async def test_a_pod_without_its_identity_is_mended():
    async with world() as w:
        await stateful_set(w, replicas=2)
        await ready(w, 2)
        await w.patch(core_v1.Pod, "web-1", {"metadata": {"labels": {"statefulset.kubernetes.io/pod-name": None}}})
        await w.clock.sleep(2)
        labels = (await w.get(core_v1.Pod, "web-1")).metadata.labels
        assert labels["statefulset.kubernetes.io/pod-name"] == "web-1"
        assert "SuccessfulUpdate: update Pod web-1 in StatefulSet web successful" in await w.events("web")


@simulated
async def test_history_beyond_its_limit_is_deleted_but_never_what_pods_are_made_of():
    async with world() as w:
        await stateful_set(w, replicas=1, revisionHistoryLimit=1)
        for image in ("two", "three", "four"):
            await ready(w, 1)
            await roll(w, image)
        await ready(w, 1)
        await w.clock.sleep(5)
        assert list(await revisions(w)) == [3, 4]


@simulated
async def test_a_revision_of_another_with_the_same_name_changes_the_name_not_the_other():
    async with world() as w:
        await stateful_set(w, replicas=1)
        s = await ready(w, 1)
        name = s.status.currentRevision
        await w.delete(apps_v1.StatefulSet, "web")
        await w.clock.sleep(30)
        await w.create(apps_v1.ControllerRevision, name, data={"other": True}, revision=7)
        await stateful_set(w, replicas=1)
        s = await ready(w, 1)
        assert s.status.currentRevision != name
        assert s.status.collisionCount == 1
        assert (await w.get(apps_v1.ControllerRevision, name)).revision == 7


@simulated
async def test_pods_that_have_ended_are_made_anew_and_those_that_end_are_waited_for():
    async with world() as w:
        await stateful_set(w, podManagementPolicy="Parallel")
        await ready(w, 3)
        before = {p.metadata.name: p.metadata.uid for p in await w.pods()}
        await w.patch(core_v1.Pod, "web-0", {"metadata": {"finalizers": ["test/hold"]}})
        await w.delete(core_v1.Pod, "web-0")
        for name, phase in (("web-1", "Failed"), ("web-2", "Succeeded")):
            body = {"status": {"phase": phase}}
            await w.client.of(core_v1.Pod).patch_raw(Key("default", name), body, subresource="status")
        await w.clock.sleep(40)
        after = {p.metadata.name: p.metadata.uid for p in await w.all(core_v1.Pod)}
        assert {name for name in before if before[name] == after[name]} == {"web-0"}
        assert sorted(after) == ["web-0", "web-1", "web-2"]
        await w.patch(core_v1.Pod, "web-0", {"metadata": {"finalizers": None}})
        await ready(w, 3)


@simulated
async def test_what_is_refused_is_said_in_events_and_tried_again():
    async with world() as w:
        w.wire.refuse = no_pods
        await stateful_set(w, replicas=4, podManagementPolicy="Parallel")
        await w.clock.sleep(5)
        text = 'create Pod web-0 in StatefulSet web failed error: pods "x" is forbidden: exceeded quota'
        assert f"FailedCreate: {text}" in await w.events("web")
        counters = w.manager.loops["statefulset-controller"].counters
        assert pod_writes(w) == ["POST pods"] * counters.errors  # slow start: one request an attempt, not four
        w.wire.refuse = lambda request: None
        await ready(w, 4)
        w.expected_errors = [f"statefulset-controller: {counters.errors - counters.races}"]


@simulated
async def test_claims_that_cannot_be_made_are_told_of_and_of_the_pod_that_waits_for_them():
    def no_claims(request: Request) -> ApiError | None:
        making = request.method == "POST" and request.path.endswith("/persistentvolumeclaims")
        return Forbidden("no") if making else None

    async with world() as w:
        w.wire.refuse = no_claims
        logs = {**claim(), "metadata": {"name": "logs"}}
        await stateful_set(w, replicas=1, volumeClaimTemplates=[claim(), logs])
        await w.clock.sleep(2)
        whole = "[failed to create PVC data-web-0: no, failed to create PVC logs-web-0: no]"
        assert sorted(await w.events("web")) == [
            "FailedCreate: create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: no",
            "FailedCreate: create Claim logs-web-0 for Pod web-0 in StatefulSet web failed error: no",
            f"FailedCreate: create Pod web-0 in StatefulSet web failed error: {whole}",
        ]
        w.wire.refuse = lambda request: None
        await ready(w, 1)
        counters = w.manager.loops["statefulset-controller"].counters
        w.expected_errors = [f"statefulset-controller: {counters.errors - counters.races}"]


@simulated
async def test_a_pod_whose_claim_is_being_deleted_is_told_to_wait_for_it():
    async with world() as w:
        held = {"finalizers": ["test/hold"]}
        await w.create(core_v1.PersistentVolumeClaim, "data-web-0", metadata=held, spec=claim()["spec"])
        await w.delete(core_v1.PersistentVolumeClaim, "data-web-0")
        await stateful_set(w, replicas=1, volumeClaimTemplates=[claim()])
        await w.clock.sleep(2)
        text = "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"
        assert await w.events("web") == [f"FailedCreate: {text}"]
        await w.patch(core_v1.PersistentVolumeClaim, "data-web-0", {"metadata": {"finalizers": None}})
        await ready(w, 1)


@simulated
async def test_conflicts_of_every_write_change_nothing_of_the_order():
    async with world() as w:
        w.wire.refuse = every_second("statefulset")
        await stateful_set(w, volumeClaimTemplates=[claim()])
        await ready(w, 3)
        await roll(w, "two")
        await ready(w, 3)
        await change(w, replicas=1)
        await ready(w, 1)
        assert await names(w) == ["web-0"]
        assert len(await revisions(w)) == 2


@simulated
async def test_when_all_is_as_it_should_be_nothing_is_written():
    async with world() as w:
        policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
        await stateful_set(w, volumeClaimTemplates=[claim()], persistentVolumeClaimRetentionPolicy=policy)
        await w.clock.sleep(120)
        w.wire.writes.clear()
        await w.clock.sleep(600)
        assert w.wire.writes == []
