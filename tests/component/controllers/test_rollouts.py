"""Deployments and their ReplicaSets in the cases that upstream's tables of deployment/ and replicaset/ name."""

from typing import Any

import msgspec
from tests.component.controllers.test_workloads import labelled, ready, replica_set
from tests.component.controllers.world import World, deployment, no_pods, simulated, world

from pybernetes.api.errors import ApiError, Conflict, Forbidden
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.wire.http import Request

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
ROLLBACK = "deprecated.deployment.rollback.to"


async def annotate(w: World, **notes: str | None) -> apps_v1.Deployment:
    names = {name.replace("__", "/").replace("_", "."): note for name, note in notes.items()}
    return await w.patch(apps_v1.Deployment, "web", {"metadata": {"annotations": names}})


async def roll(w: World, version: str, **notes: str) -> None:
    spec = {"template": {"metadata": {"labels": {"v": version}}}}
    await w.patch(apps_v1.Deployment, "web", {"metadata": {"annotations": notes}, "spec": spec})


async def rolled(w: World, version: str, replicas: int) -> apps_v1.Deployment:
    await w.until(lambda: labelled(w, f"v={version}", replicas))
    await ready(w, replicas, kind=apps_v1.Deployment)
    await w.clock.sleep(2)
    return await w.get(apps_v1.Deployment, "web")


async def sets(w: World) -> dict[str, apps_v1.ReplicaSet]:
    """By revision."""
    return {rs.metadata.annotations[REVISION]: rs for rs in await w.all(apps_v1.ReplicaSet)}


def excused(w: World, controller: str) -> None:
    """What was refused was the point."""
    counters = w.manager.loops[controller].counters
    if counters.errors > counters.races:
        w.expected_errors.append(f"{controller}: {counters.errors - counters.races}")


@simulated
async def test_annotations_are_seen_and_copied_but_the_revision_is_no_new_generation():
    async with world() as w:
        await deployment(w, replicas=1)
        await ready(w, 1, kind=apps_v1.Deployment)
        d = await w.get(apps_v1.Deployment, "web")
        assert (d.metadata.generation, d.metadata.annotations[REVISION]) == (1, "1")
        d = await annotate(w, team="blue")
        assert d.metadata.generation == 2
        await w.clock.sleep(2)
        d = await w.get(apps_v1.Deployment, "web")
        assert d.status.observedGeneration == 2
        assert (await sets(w))["1"].metadata.annotations["team"] == "blue"
        await roll(w, "2")
        d = await rolled(w, "2", 1)
        assert (d.metadata.generation, d.metadata.annotations[REVISION]) == (3, "2")


@simulated
async def test_an_annotation_brings_back_the_template_and_the_notes_of_a_revision():
    async with world() as w:
        await deployment(w, replicas=1)
        await ready(w, 1, kind=apps_v1.Deployment)
        await annotate(w, why="first")
        await w.clock.sleep(2)
        for version in ("2", "3"):
            await roll(w, version, why=version)
            await rolled(w, version, 1)
        await annotate(w, deprecated_deployment_rollback_to="2")
        d = await rolled(w, "2", 1)
        assert d.metadata.annotations == {REVISION: "4", "why": "2"}
        await annotate(w, deprecated_deployment_rollback_to="0")  # the last one before
        d = await rolled(w, "3", 1)
        assert d.metadata.annotations == {REVISION: "5", "why": "3"}
        told = [event for event in await w.events("web") if event.startswith("DeploymentRollback")]
        assert told == [f'DeploymentRollback: Rolled back deployment "web" to revision {n}' for n in (2, 3)]


@simulated
async def test_a_revision_that_cannot_be_gone_back_to_is_told_and_forgotten():
    async with world() as w:
        await deployment(w, replicas=1)
        await ready(w, 1, kind=apps_v1.Deployment)
        for asked in ("0", "1", "7", "none"):
            await annotate(w, deprecated_deployment_rollback_to=asked)
            await w.clock.sleep(2)
        d = await w.get(apps_v1.Deployment, "web")
        assert d.metadata.annotations == {REVISION: "1", ROLLBACK: "none"}  # what is no number asks for nothing
        assert [event for event in await w.events("web") if event.startswith("DeploymentRollback")] == [
            "DeploymentRollbackRevisionNotFound: Unable to find last revision.",
            "DeploymentRollbackTemplateUnchanged: The rollback revision contains the same template as current"
            ' deployment "web"',
            "DeploymentRollbackRevisionNotFound: Unable to find the revision to rollback to.",
        ]


@simulated
async def test_a_new_size_changes_nothing_of_old_sets_without_pods():
    async with world() as w:
        await deployment(w, replicas=1)
        await ready(w, 1, kind=apps_v1.Deployment)
        await roll(w, "2")
        await rolled(w, "2", 1)
        before = (await sets(w))["1"]
        await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 3}})
        await rolled(w, "2", 3)
        found = await sets(w)
        assert found["1"] == before
        assert found["2"].metadata.annotations[DESIRED] == "3"


@simulated
async def test_recreate_waits_while_an_old_set_counts_pods():
    async with world() as w:
        await deployment(w, replicas=2, strategy={"type": "Recreate"})
        await ready(w, 2, kind=apps_v1.Deployment)
        (old,) = await w.all(apps_v1.ReplicaSet)
        status = f"/replicasets/{old.metadata.name}/status"
        w.wire.refuse = lambda request: Conflict("later") if request.path.endswith(status) else None
        await roll(w, "2")
        await w.clock.sleep(60)
        assert await w.all(core_v1.Pod) == ()
        assert len(await w.all(apps_v1.ReplicaSet)) == 1
        w.wire.refuse = lambda request: None
        await w.clock.sleep(60)
        await rolled(w, "2", 2)


@simulated
async def test_what_a_set_is_refused_is_said_of_its_deployment_with_its_time():
    async with world() as w:
        w.wire.refuse = no_pods
        await deployment(w, replicas=2)
        await w.clock.sleep(20)
        (rs,) = await w.all(apps_v1.ReplicaSet)
        (failure,) = rs.status.conditions
        d = await w.get(apps_v1.Deployment, "web")
        (told,) = (c for c in d.status.conditions if c.type == "ReplicaFailure")
        assert (told.status, told.reason, told.message) == ("True", "FailedCreate", failure.message)
        assert told.lastTransitionTime == told.lastUpdateTime == failure.lastTransitionTime
        w.wire.refuse = lambda request: None
        await w.clock.sleep(60)
        await ready(w, 2, kind=apps_v1.Deployment)
        d = await w.get(apps_v1.Deployment, "web")
        assert not [c for c in d.status.conditions if c.type == "ReplicaFailure"]
        excused(w, "replicaset-controller")


@simulated
async def test_a_set_that_cannot_remove_pods_says_so():
    def no_end(request: Request) -> ApiError | None:
        return Forbidden("not now") if request.method == "DELETE" and "/pods/" in request.path else None

    async with world() as w:
        await replica_set(w, replicas=2)
        await ready(w, 2)
        w.wire.refuse = no_end
        await w.patch(apps_v1.ReplicaSet, "web", {"spec": {"replicas": 1}})
        await w.clock.sleep(5)
        rs = await w.get(apps_v1.ReplicaSet, "web")
        assert [(c.reason, c.message) for c in rs.status.conditions] == [
            ("FailedDelete", "unable to delete pods: not now")
        ]
        assert "FailedDelete: Error deleting: not now" in await w.events("web")
        w.wire.refuse = lambda request: None
        await w.clock.sleep(60)
        await ready(w, 1)
        excused(w, "replicaset-controller")


@simulated
async def test_a_refusal_of_an_ending_namespace_is_told_by_no_event():
    def ending(request: Request) -> ApiError | None:
        if request.method != "POST" or not request.path.endswith("/pods"):
            return None
        return Forbidden("it is being terminated", details={"causes": [{"reason": "NamespaceTerminating"}]})

    async with world() as w:
        w.wire.refuse = ending
        await replica_set(w, replicas=2)
        await w.clock.sleep(5)
        assert await w.events("web") == []
        assert (await w.get(apps_v1.ReplicaSet, "web")).status.conditions == ()


def owned_by(rs: apps_v1.ReplicaSet, **more: Any) -> list[dict[str, Any]]:
    return [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": rs.metadata.name, "uid": rs.metadata.uid, **more}]


@simulated
async def test_a_pod_that_a_set_merely_owns_becomes_its_pod():
    async with world(nodes=0) as w:
        rs = await replica_set(w, replicas=1)
        body = msgspec.to_builtins(rs.spec.template)
        meta = {"labels": {"app": "web"}, "ownerReferences": owned_by(rs), "annotations": {
            "controller.kubernetes.io/pod-deletion-cost": "10"}}  # fmt: skip
        await w.create(core_v1.Pod, "mine", metadata=meta, spec=body["spec"])
        await w.clock.sleep(5)
        (pod,) = await w.pods()
        assert pod.metadata.name == "mine"
        (ref,) = pod.metadata.ownerReferences
        assert (ref.uid, ref.controller, ref.blockOwnerDeletion) == (rs.metadata.uid, True, True)


@simulated
async def test_pods_that_end_count_as_terminating_while_the_selector_means_them():
    async with world(nodes=0, only=("replicaset-controller", "serviceaccount-controller")) as w:
        await replica_set(w, replicas=2)
        await w.clock.sleep(1)
        for pod in await w.pods():
            await w.patch(core_v1.Pod, pod.metadata.name, {"metadata": {"finalizers": ["test/hold"]}})
        held = [pod.metadata.name for pod in await w.pods()]
        for name in held:
            await w.delete(core_v1.Pod, name)
        await w.clock.sleep(1)
        assert (await w.get(apps_v1.ReplicaSet, "web")).status.terminatingReplicas == 2
        await w.patch(core_v1.Pod, held[0], {"metadata": {"labels": {"app": "other"}}})
        await w.clock.sleep(1)
        assert (await w.get(apps_v1.ReplicaSet, "web")).status.terminatingReplicas == 1
        for name in held:
            await w.patch(core_v1.Pod, name, {"metadata": {"finalizers": None}})
        await w.clock.sleep(1)
        assert (await w.get(apps_v1.ReplicaSet, "web")).status.terminatingReplicas == 0


@simulated
async def test_a_deployment_of_the_longest_name_rolls_out():
    async with world() as w:
        name = "a" * 253
        body = {"replicas": 1, "selector": {"matchLabels": {"app": "long"}}}
        spec = {"metadata": {"labels": {"app": "long"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
        await w.create(apps_v1.Deployment, name, spec=body | {"template": spec})
        await ready(w, 1, name, apps_v1.Deployment)
        (rs,) = await w.all(apps_v1.ReplicaSet)
        assert len(rs.metadata.name) == 253
        assert rs.metadata.name.endswith(f"a-{rs.metadata.labels['pod-template-hash']}")


@simulated
async def test_a_set_of_another_template_with_the_wanted_name_makes_another_name():
    async with world() as w:
        await deployment(w, replicas=1)
        await ready(w, 1, kind=apps_v1.Deployment)
        (first,) = await w.all(apps_v1.ReplicaSet)
        grace = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 60}}}}
        await w.patch(apps_v1.ReplicaSet, first.metadata.name, grace)
        await w.clock.sleep(10)
        d = await w.get(apps_v1.Deployment, "web")
        assert (d.status.collisionCount, d.metadata.annotations[REVISION]) == (1, "2")
        found = await sets(w)
        assert (found["1"].metadata.name, found["1"].spec.replicas) == (first.metadata.name, 0)
        assert found["2"].metadata.name != first.metadata.name
        assert found["2"].spec.replicas == 1


@simulated
async def test_a_set_whose_labels_change_is_let_go_and_taken_back():
    async with world() as w:
        await deployment(w, replicas=1)
        await ready(w, 1, kind=apps_v1.Deployment)
        (first,) = await w.all(apps_v1.ReplicaSet)
        name = first.metadata.name
        await w.patch(apps_v1.ReplicaSet, name, {"metadata": {"labels": {"app": "other"}}})
        await w.clock.sleep(10)
        assert (await w.get(apps_v1.ReplicaSet, name)).metadata.ownerReferences == ()
        d = await w.get(apps_v1.Deployment, "web")
        assert d.status.collisionCount == 1  # the one that was let go has the name
        assert len(await w.pods()) == 2
        await w.patch(apps_v1.ReplicaSet, name, {"metadata": {"labels": {"app": "web"}}})
        await w.clock.sleep(10)
        (ref,) = (await w.get(apps_v1.ReplicaSet, name)).metadata.ownerReferences
        assert (ref.uid, ref.controller) == (d.metadata.uid, True)
        assert len(await w.pods()) == 1
