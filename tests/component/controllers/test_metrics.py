"""What controllers count, under upstream's names, as a scraper reads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from msgspec.structs import replace
from tests.component.controllers.metrics import MetricsApis
from tests.component.controllers.world import MANAGER, World, deployment, simulated, template, world
from tests.exposition import Family, read

from pybernetes.api.types import apps_v1, autoscaling_v2, batch_v1, core_v1
from pybernetes.client.rest import Client
from pybernetes.controllers.runtime import ControllerManager, chosen
from pybernetes.wire.http import Request, Response

PERIOD = 15.0
"""Of looks at autoscalers."""


def value(found: dict[str, Family], name: str, series: str = "", /, **labels: str) -> float:
    """Of one series; `series` is what a histogram's is called behind the family's name."""
    return found[name].series[name + series, tuple(labels.items())]


async def job(w: World, name: str, code: str, **spec: object) -> None:
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    annotations = {"simulated.pybernetes.io/run-seconds": "1", "simulated.pybernetes.io/exit-code": code}
    await w.create(batch_v1.Job, name, spec={"template": {**pod, "metadata": {"annotations": annotations}}, **spec})


@simulated
async def test_what_becomes_of_jobs_is_counted():
    async with world() as w:
        await job(w, "good", "0", completions=2, parallelism=2, ttlSecondsAfterFinished=5)
        await job(w, "bad", "1", backoffLimit=0)
        cron = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {**template(), "spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}  # fmt: skip
        await w.create(batch_v1.CronJob, "cron", spec=cron)
        await w.clock.sleep(70)
        found = read(w.manager.metrics())
        name = "job_controller"
        mode = {"completion_mode": "NonIndexed"}
        assert value(found, f"{name}_jobs_finished_total", **mode, result="succeeded", reason="CompletionsReached") == 1
        assert value(found, f"{name}_jobs_finished_total", **mode, result="failed", reason="BackoffLimitExceeded") == 1
        assert value(found, f"{name}_job_pods_finished_total", **mode, result="succeeded") == 2
        assert value(found, f"{name}_job_pods_finished_total", **mode, result="failed") == 1
        assert value(found, f"{name}_job_pods_creation_total", reason="new", status="succeeded") == 4
        assert value(found, f"{name}_job_syncs_total", **mode, result="success", action="pods_created") == 3
        syncs = found[f"{name}_job_sync_duration_seconds"]
        assert syncs.kind == "histogram"
        assert value(found, "cronjob_controller_job_creation_skew_duration_seconds", "_count") == 1
        assert value(found, "ttl_after_finished_controller_job_deletion_duration_seconds", "_count") == 1


@simulated
async def test_what_becomes_of_the_pods_and_indexes_of_jobs_is_counted():
    async with world() as w:
        two = {"completions": 2, "parallelism": 2, "completionMode": "Indexed"}
        code = {"operator": "In", "values": [1]}
        rules = [{"action": "FailIndex", "onExitCodes": code}]
        await job(w, "lost", "1", **two, backoffLimitPerIndex=1, podFailurePolicy={"rules": rules})
        await job(w, "well", "0", **two)
        rules = [{"action": "Ignore", "onExitCodes": code}]
        await job(w, "ignored", "1", podFailurePolicy={"rules": rules}, activeDeadlineSeconds=15, backoffLimit=0)
        await job(w, "counted", "1", backoffLimit=1, podReplacementPolicy="Failed")
        await job(w, "others", "0", managedBy="example.com/other")
        await w.clock.sleep(60)
        await w.patch(batch_v1.Job, "others", {"metadata": {"labels": {"a": "b"}}})
        await w.clock.sleep(1)
        found, name = read(w.manager.metrics()), "job_controller"
        handled, ended = f"{name}_pod_failures_handled_by_failure_policy_total", f"{name}_job_finished_indexes_total"
        assert value(found, handled, action="FailIndex") == 2
        assert value(found, handled, action="Ignore") == 2
        assert value(found, ended, status="failed", backoffLimit="perIndex") == 2
        assert value(found, ended, status="succeeded", backoffLimit="global") == 2
        mode = {"completion_mode": "Indexed"}
        assert value(found, f"{name}_job_pods_finished_total", **mode, result="succeeded") == 2
        waited = f"{name}_terminated_pods_tracking_finalizer_total"
        assert value(found, waited, event="add") == value(found, waited, event="delete") == 8
        made = f"{name}_job_pods_creation_total"
        assert value(found, made, reason="new", status="succeeded") == 7
        assert value(found, made, reason="recreate_failed", status="succeeded") == 1
        assert value(found, f"{name}_jobs_by_external_controller_total", controller_name="example.com/other") == 1
        assert value(found, f"{name}_stale_sync_skips_total", group="batch", resource="jobs") > 0


@simulated
async def test_what_runs_and_what_every_namespace_gets_is_counted():
    async with world() as w:
        await w.create(
            apps_v1.ReplicaSet,
            "web",
            spec={"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template(app="web")},
        )
        await w.clock.sleep(20)
        await w.patch(apps_v1.ReplicaSet, "web", {"spec": {"replicas": 1}})
        await w.clock.sleep(5)
        found = read(w.manager.metrics())
        running = found["running_managed_controllers"].series
        labels = (("manager", "kube-controller-manager"), ("name", "replicaset-controller"))
        assert running["running_managed_controllers", labels] == 1
        assert len(running) == len(w.manager.loops)
        assert value(found, "root_ca_cert_publisher_sync_total", code="200") >= 4
        ratio = "replicaset_controller_sorting_deletion_age_ratio"
        assert (value(found, ratio, "_count"), value(found, ratio, "_sum")) == (2, 2)
        await w.patch(apps_v1.ReplicaSet, "web", {"spec": {"replicas": 0}})
        await w.clock.sleep(5)
        assert value(read(w.manager.metrics()), ratio, "_count") == 2  # where all go none was chosen
        names = {dict(labels)["name"] for _, labels in found["workqueue_depth"].series}
        assert {
            "deployment",
            "replicaset",
            "replicationmanager",
            "job",
            "cronjob",
            "endpoint",
            "endpoint_slice",
        } <= names
        assert value(found, "workqueue_depth", name="certificate") == 0
        assert set(w.manager.checks()) == set(w.manager.loops)
        assert not any(check() for check in w.manager.checks().values())


@simulated
async def test_what_autoscalers_do_is_counted():
    async with world() as w:
        apis = w.wire.serve = MetricsApis(w)
        apis.external = {"queue": [3]}
        await deployment(w, "web", 1)
        queue = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue"}}}
        queue["external"]["target"]["averageValue"] = "1"
        ref = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
        spec = {"maxReplicas": 5, "metrics": [queue], "scaleTargetRef": ref}
        await w.create(autoscaling_v2.HorizontalPodAutoscaler, "web", spec=spec)
        lost = {**spec, "scaleTargetRef": {**ref, "name": "lost"}}
        await w.create(autoscaling_v2.HorizontalPodAutoscaler, "lost", spec=lost)
        await w.clock.sleep(PERIOD / 2)
        apis.external = None
        await w.clock.sleep(PERIOD)
        found, name = read(w.manager.metrics()), "horizontal_pod_autoscaler_controller"
        assert value(found, f"{name}_reconciliations_total", action="scale_up", error="none") == 1
        assert value(found, f"{name}_reconciliations_total", action="none", error="internal") == 3
        computed, kind = f"{name}_metric_computation_total", "External"
        assert value(found, computed, action="scale_up", error="none", metric_type=kind) == 1
        assert value(found, computed, action="none", error="internal", metric_type=kind) == 1
        assert value(found, f"{name}_reconciliation_duration_seconds", "_count", action="scale_up", error="none") == 1
        assert value(found, f"{name}_num_horizontal_pod_autoscalers") == 2
        assert value(found, f"{name}_desired_replicas", namespace="default", hpa_name="web") == 3
        await w.delete(autoscaling_v2.HorizontalPodAutoscaler, "lost")
        await w.clock.sleep(1)
        assert value(read(w.manager.metrics()), f"{name}_num_horizontal_pod_autoscalers") == 1


@simulated
async def test_what_sets_lack_and_what_pod_gc_removes_is_counted():
    async with world() as w:
        selected = {"selector": {"matchLabels": {"app": "s"}}, "template": template(app="s")}
        rolling = {"rollingUpdate": {"maxUnavailable": 2}}
        await w.create(apps_v1.StatefulSet, "s", spec={**selected, "replicas": 3, "updateStrategy": rolling})
        await w.create(
            core_v1.Pod, "lost", spec={"nodeName": "never-there", "containers": [{"name": "c", "image": "i"}]}
        )
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        volume = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
        await w.create(core_v1.Pod, "own", spec={"containers": [{"name": "c", "image": "i"}], "volumes": [volume]})
        await w.clock.sleep(90)
        found = read(w.manager.metrics())
        assert value(found, "ephemeral_volume_controller_create_total") == 1
        assert "ephemeral_volume_controller_create_failures_total" not in found
        name = "statefulset_controller_statefulset"
        which = {"statefulset_namespace": "default", "statefulset_name": "s", "pod_management_policy": "OrderedReady"}
        assert value(found, f"{name}_max_unavailable", **which) == 2
        assert value(found, f"{name}_unavailable_replicas", **which) == 0
        assert value(found, "pod_gc_collector_force_delete_pods_total", namespace="default", reason="orphaned") == 1
        await w.patch(apps_v1.StatefulSet, "s", {"spec": {"template": {"spec": {"nodeSelector": {"no": "where"}}}}})
        await w.clock.sleep(10)
        found = read(w.manager.metrics())
        assert value(found, f"{name}_unavailable_replicas", **which) == 2
        await w.delete(apps_v1.StatefulSet, "s")
        await w.clock.sleep(10)
        assert f"{name}_max_unavailable" not in read(w.manager.metrics())


@simulated
async def test_looks_that_wait_for_a_late_cache_are_counted():
    kinds = ("replicaset", "statefulset", "daemonset", "job")
    async with world(only=("*", *(f"-{kind}-controller" for kind in kinds))) as w:
        gate, send = asyncio.Event(), w.as_user(MANAGER).transport

        async def late(request: Request) -> Response:
            """Tells of Pods while the gate is open."""
            response = await send(request)
            if not request.path.endswith("/pods") or "watch=" not in request.target:
                return response
            whole = response.body
            assert not isinstance(whole, bytes)

            async def held() -> AsyncIterator[bytes]:
                async with aclosing(whole):
                    async for chunk in whole:
                        await gate.wait()
                        yield chunk

            return replace(response, body=held())

        names = chosen([f"{kind}-controller" for kind in kinds])
        manager = ControllerManager(Client(late, clock=w.clock), None, names)
        gate.set()
        running = asyncio.create_task(manager.run())
        await w.clock.sleep(2)
        gate.clear()
        body = {"selector": {"matchLabels": {"app": "a"}}, "template": template(app="a")}
        await w.create(apps_v1.ReplicaSet, "a", spec={**body, "replicas": 1})
        await w.create(apps_v1.StatefulSet, "a", spec={**body, "replicas": 1})
        await w.create(apps_v1.DaemonSet, "a", spec=body)
        pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
        await w.create(batch_v1.Job, "a", spec={"template": {"spec": pod}})
        await w.clock.sleep(5)
        made = len(await w.all(core_v1.Pod))
        for kind in (apps_v1.ReplicaSet, apps_v1.StatefulSet, apps_v1.DaemonSet, batch_v1.Job):
            await w.patch(kind, "a", {"spec": {"parallelism": 2} if kind is batch_v1.Job else {"minReadySeconds": 1}})
        await w.clock.sleep(5)
        found = read(manager.metrics())
        for kind in kinds:
            assert value(found, f"{kind}_controller_stale_sync_skips_total", group="", resource="pods") >= 1
        assert len(await w.all(core_v1.Pod)) == made
        gate.set()
        await w.clock.sleep(20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (await w.get(apps_v1.ReplicaSet, "a")).status.availableReplicas == 1
