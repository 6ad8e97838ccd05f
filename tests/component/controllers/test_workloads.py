"""ReplicaSets, ReplicationControllers and Deployments with the real API server."""

from typing import Any

from tests.component.controllers.world import World, deployment, no_pods, simulated, template, world

from pybernetes.api.types import apps_v1, core_v1


async def replica_set(w: World, name: str = "web", replicas: int = 3) -> apps_v1.ReplicaSet:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(app=name)}
    return await w.create(apps_v1.ReplicaSet, name, spec=spec)


async def ready(w: World, replicas: int, name: str = "web", kind: type[Any] = apps_v1.ReplicaSet) -> None:
    async def holds() -> bool:
        status = (await w.get(kind, name)).status
        return bool(status.replicas == status.readyReplicas == status.availableReplicas == replicas)

    await w.until(holds)


@simulated
async def test_a_replica_set_makes_its_pods_and_says_so():
    async with world() as w:
        await replica_set(w)
        await ready(w, 3)
        pods = await w.pods()
        assert len(pods) == 3
        assert all(p.metadata.name.startswith("web-") for p in pods)
        assert {p.metadata.ownerReferences[0].kind for p in pods} == {"ReplicaSet"}
        rs = await w.get(apps_v1.ReplicaSet, "web")
        assert rs.status.observedGeneration == rs.metadata.generation
        assert sorted(await w.events("web")) == sorted(
            f"SuccessfulCreate: Created pod: {p.metadata.name}" for p in pods
        )


@simulated
async def test_a_deleted_pod_is_replaced_and_surplus_is_removed():
    async with world() as w:
        await replica_set(w)
        await ready(w, 3)
        victim = (await w.pods())[0]
        await w.delete(core_v1.Pod, victim.metadata.name)
        await w.clock.sleep(5)
        await ready(w, 3)
        assert victim.metadata.uid not in {p.metadata.uid for p in await w.pods()}
        await w.patch(apps_v1.ReplicaSet, "web", {"spec": {"replicas": 1}})
        await ready(w, 1)
        assert len(await w.pods()) == 1


@simulated
async def test_a_pod_whose_labels_change_is_released_and_replaced_then_adopted_again():
    async with world() as w:
        await replica_set(w)
        await ready(w, 3)
        chosen = (await w.pods())[0].metadata.name
        await w.patch(core_v1.Pod, chosen, {"metadata": {"labels": {"app": "other"}}})
        await w.clock.sleep(2)
        assert (await w.get(core_v1.Pod, chosen)).metadata.ownerReferences == ()
        assert len(await w.pods(labels="app=web")) == 3
        await w.patch(core_v1.Pod, chosen, {"metadata": {"labels": {"app": "web"}}})
        await w.clock.sleep(2)
        assert len(await w.pods()) == 3


@simulated
async def test_orphans_that_match_are_adopted():
    async with world() as w:
        body = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
        await w.create(core_v1.Pod, "mine", **body)
        await replica_set(w)
        await ready(w, 3)
        pod = await w.get(core_v1.Pod, "mine")
        assert pod.metadata.ownerReferences[0].name == "web"
        assert len(await w.pods()) == 3


@simulated
async def test_a_replication_controller_does_the_same():
    async with world() as w:
        spec = {"replicas": 2, "selector": {"app": "rc"}, "template": template(app="rc")}
        await w.create(core_v1.ReplicationController, "rc", spec=spec)
        await ready(w, 2, "rc", core_v1.ReplicationController)
        await w.patch(core_v1.ReplicationController, "rc", {"spec": {"replicas": 0}})
        await ready(w, 0, "rc", core_v1.ReplicationController)
        rc = await w.get(core_v1.ReplicationController, "rc")
        assert rc.status.observedGeneration == rc.metadata.generation
        assert await w.pods() == []


@simulated
async def test_hundreds_of_replicas_are_neither_more_nor_less():
    async with world(nodes=10) as w:
        await replica_set(w, replicas=520)

        async def holds() -> bool:
            return (await w.get(apps_v1.ReplicaSet, "web")).status.replicas == 520

        await w.until(holds)
        assert len(await w.all(core_v1.Pod)) == 520


@simulated
async def test_a_deployment_rolls_out_as_kubectl_waits_for_it():
    async with world() as w:
        await deployment(w)
        await ready(w, 3, kind=apps_v1.Deployment)
        await w.clock.sleep(1)
        d = await w.get(apps_v1.Deployment, "web")
        assert d.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
        (rs,) = await w.all(apps_v1.ReplicaSet)
        assert rs.metadata.name == f"web-{rs.metadata.labels['pod-template-hash']}"
        conditions = {c.type: (c.status, c.reason, c.message) for c in d.status.conditions}
        assert conditions == {
            "Available": ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            "Progressing": (
                "True", "NewReplicaSetAvailable", f'ReplicaSet "{rs.metadata.name}" has successfully progressed.',
            ),
        }  # fmt: skip
        assert await w.events("web") == [f"ScalingReplicaSet: Scaled up replica set {rs.metadata.name} from 0 to 3"]


@simulated
async def test_a_rolling_update_never_falls_below_its_limits_and_keeps_the_old_set_for_undo():
    async with world() as w:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await deployment(w, replicas=4, strategy=strategy)
        await ready(w, 4, kind=apps_v1.Deployment)
        await w.patch(
            apps_v1.Deployment, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}
        )
        fewest, most = 99, 0

        async def rolled() -> bool:
            nonlocal fewest, most
            pods = await w.pods()
            able = [p for p in pods if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions)]
            fewest, most = min(fewest, len(able)), max(most, len(pods))
            d = await w.get(apps_v1.Deployment, "web")
            return d.status.updatedReplicas == d.status.replicas == d.status.availableReplicas == 4

        await w.clock.sleep(0.01)
        await w.until(rolled)
        assert fewest >= 4
        assert most <= 5
        sets = await w.all(apps_v1.ReplicaSet)
        revisions = {rs.metadata.annotations["deployment.kubernetes.io/revision"]: rs.spec.replicas for rs in sets}
        assert revisions == {"1": 0, "2": 4}
        # Undo: the old template comes back as a new revision of the old ReplicaSet.
        await w.patch(
            apps_v1.Deployment, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "one"}]}}}}
        )
        await w.clock.sleep(1)
        await w.until(rolled)
        sets = await w.all(apps_v1.ReplicaSet)
        revisions = {rs.metadata.annotations["deployment.kubernetes.io/revision"]: rs.spec.replicas for rs in sets}
        assert revisions == {"2": 0, "3": 4}


@simulated
async def test_recreate_ends_all_old_pods_before_it_starts_new_ones():
    async with world() as w:
        await deployment(w, strategy={"type": "Recreate"})
        await ready(w, 3, kind=apps_v1.Deployment)
        await w.patch(apps_v1.Deployment, "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})

        async def mixed() -> bool:
            pods = await w.all(core_v1.Pod)
            versions = {p.metadata.labels.get("v", "1") for p in pods}
            assert len(versions) <= 1
            return len(pods) == 3 and versions == {"2"}

        await w.until(mixed)


@simulated
async def test_a_paused_deployment_does_not_roll_and_a_scaled_one_scales():
    async with world() as w:
        await deployment(w)
        await ready(w, 3, kind=apps_v1.Deployment)
        await w.patch(apps_v1.Deployment, "web", {"spec": {"paused": True}})
        await w.patch(apps_v1.Deployment, "web", {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})
        await w.patch(apps_v1.Deployment, "web", {"spec": {"replicas": 5}})
        await ready(w, 5, kind=apps_v1.Deployment)
        assert len(await w.all(apps_v1.ReplicaSet)) == 1
        progressing = [c for c in (await w.get(apps_v1.Deployment, "web")).status.conditions if c.type == "Progressing"]
        assert progressing[0].reason == "DeploymentPaused"
        await w.patch(apps_v1.Deployment, "web", {"spec": {"paused": False}})
        await w.until(lambda: labelled(w, "v=2", 5))
        assert len(await w.all(apps_v1.ReplicaSet)) == 2


async def labelled(w: World, labels: str, count: int) -> bool:
    return len(await w.pods(labels)) == count and len(await w.pods()) == count


@simulated
async def test_a_rollout_that_does_not_move_exceeds_its_deadline():
    async with world(nodes=0) as w:
        await deployment(w, progressDeadlineSeconds=30)
        await w.clock.sleep(40)
        conditions = {c.type: (c.status, c.reason) for c in (await w.get(apps_v1.Deployment, "web")).status.conditions}
        assert conditions["Progressing"] == ("False", "ProgressDeadlineExceeded")
        assert conditions["Available"] == ("False", "MinimumReplicasUnavailable")


@simulated
async def test_history_beyond_its_limit_is_deleted():
    async with world() as w:
        await deployment(w, replicas=1, revisionHistoryLimit=1)
        for version in ("2", "3", "4"):
            await w.clock.sleep(5)
            await w.patch(apps_v1.Deployment, "web", {"spec": {"template": {"metadata": {"labels": {"v": version}}}}})
        await w.clock.sleep(10)
        sets = await w.all(apps_v1.ReplicaSet)
        assert sorted(rs.metadata.annotations["deployment.kubernetes.io/revision"] for rs in sets) == ["3", "4"]


@simulated
async def test_what_is_refused_is_said_in_a_condition_that_goes_again():
    async with world() as w:
        w.wire.refuse = no_pods
        await replica_set(w, replicas=8)
        await w.clock.sleep(5)
        (condition,) = (await w.get(apps_v1.ReplicaSet, "web")).status.conditions
        assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
        assert condition.message == 'pods "x" is forbidden: exceeded quota'
        attempts = [write for write in w.wire.writes if write.endswith("/pods")]
        counters = w.manager.loops["replicaset-controller"].counters
        assert len(attempts) == counters.errors  # slow start: one request an attempt, not eight
        w.wire.refuse = lambda request: None
        await w.clock.sleep(70)
        await ready(w, 8)
        assert (await w.get(apps_v1.ReplicaSet, "web")).status.conditions == ()
        w.expected_errors = [f"replicaset-controller: {counters.errors - counters.races}"]


@simulated
async def test_refusals_that_name_each_pod_are_not_tried_again_at_once():
    async with world() as w:
        await w.create(core_v1.ResourceQuota, "q", spec={"hard": {"requests.cpu": "1"}})
        await deployment(w, replicas=4)
        w.wire.writes.clear()
        await w.clock.sleep(60)
        attempts = [write for write in w.wire.writes if write.endswith("/pods")]
        assert 2 <= len(attempts) <= 20
        (condition,) = (await w.all(apps_v1.ReplicaSet))[0].status.conditions
        assert "must specify requests.cpu" in condition.message
        counters = w.manager.loops["replicaset-controller"].counters
        w.expected_errors = [f"replicaset-controller: {counters.errors - counters.races}"]


@simulated
async def test_when_all_is_as_it_should_be_nothing_is_written():
    async with world() as w:
        await deployment(w, replicas=3)
        await w.create(core_v1.Service, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await w.clock.sleep(120)
        w.wire.writes.clear()
        await w.clock.sleep(600)
        assert w.wire.writes == []
