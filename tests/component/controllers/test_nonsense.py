"""Objects that pass validation and make no sense: something says so, few writes a minute, nobody else suffers."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.component.controllers.world import World, deployment, simulated, template, world

from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, batch_v1, core_v1, discovery_v1, rbac_v1

CALM = 30
"""Writes in a minute, events among them, that something may cost for ever which cannot succeed."""


@asynccontextmanager
async def nonsense(nodes: int = 2) -> AsyncIterator[World]:
    """A world in which refusals are no faults, but a traceback in the log is; others are still served at the end."""
    tracebacks: list[str] = []

    class Watcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                tracebacks.append(record.getMessage())

    watcher = Watcher()
    logging.getLogger().addHandler(watcher)
    try:
        async with world(nodes=nodes) as w:
            yield w
            await w.create(core_v1.Namespace, "others")
            await w.until(lambda: w.there(core_v1.ServiceAccount, "default", "others"))
            spec = {"replicas": 1, "selector": {"matchLabels": {"app": "fine"}}, "template": template(app="fine")}
            await w.create(apps_v1.ReplicaSet, "fine", "others", spec=spec)
            await w.until(lambda: observed(w, "fine"))
            w.expected_errors = [
                f"{name}: {loop.counters.errors - loop.counters.races}"
                for name, loop in w.manager.loops.items()
                if loop.counters.errors > loop.counters.races
            ]
    finally:
        logging.getLogger().removeHandler(watcher)
    assert tracebacks == []


async def observed(w: World, name: str) -> bool:
    return (await w.get(apps_v1.ReplicaSet, name, "others")).status.replicas == 1


async def writes(w: World, seconds: float = 60.0) -> list[str]:
    """What the controllers write in a minute, once it has had time to settle."""
    w.wire.writes.clear()
    await w.clock.sleep(seconds)
    return list(w.wire.writes)


async def quota(w: World, **hard: str) -> None:
    await w.create(core_v1.ResourceQuota, "quota", spec={"hard": hard})
    await w.until(lambda: counted(w))


async def counted(w: World) -> bool:
    return bool((await w.get(core_v1.ResourceQuota, "quota")).status.hard)


def owners(pods: Iterable[core_v1.Pod]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pod in pods:
        (ref,) = pod.metadata.ownerReferences
        name = f"{ref.kind}/{ref.name}"
        found[name] = found.get(name, 0) + 1
    return found


def reference(obj: Any, kind: str, version: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": obj.metadata.name, "uid": obj.metadata.uid, **more}


def several(app: str, replicas: int = 2, **more: Any) -> dict[str, Any]:
    return {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(app=app), **more}


# --- selectors that meet others' Pods


@simulated
async def test_owners_of_every_kind_with_one_selector_keep_to_their_own_pods():
    async with nonsense() as w:
        for name in ("one", "two"):
            await w.create(apps_v1.Deployment, name, spec=several("same"))
            await w.create(apps_v1.ReplicaSet, name, spec=several("same"))
        await w.create(core_v1.ReplicationController, "rc", spec=several("same") | {"selector": {"app": "same"}})
        await w.create(apps_v1.StatefulSet, "set", spec=several("same", serviceName="x"))
        await w.create(apps_v1.DaemonSet, "daemon", spec={k: v for k, v in several("same").items() if k != "replicas"})
        await w.clock.sleep(60)
        found = owners(await w.pods())
        assert len(found) == 7  # the Deployments by their ReplicaSets
        assert {name: number for name, number in found.items() if number != 2} == {}
        assert await writes(w, 300) == []


@simulated
async def test_an_orphan_that_several_select_has_one_controller_in_the_end():
    async with nonsense() as w:
        await w.create(core_v1.Pod, "stray", metadata={"labels": {"app": "same"}}, spec=template()["spec"])
        for name in ("one", "two", "three"):
            await w.create(apps_v1.ReplicaSet, name, spec=several("same", 1))
        await w.create(core_v1.ReplicationController, "rc", spec=several("same", 1) | {"selector": {"app": "same"}})
        await w.clock.sleep(30)
        assert {*owners(await w.pods()).values()} == {1}
        assert len(owners(await w.pods())) == 4
        assert await writes(w) == []


@simulated
async def test_a_service_that_selects_everything_by_a_port_nobody_has_gets_slices_without_ports():
    async with nonsense() as w:
        await deployment(w, replicas=2)
        ports = [{"name": "x", "port": 80, "targetPort": "nobody-has-it"}]
        await w.create(core_v1.Service, "all", spec={"selector": {"app": "web"}, "ports": ports})
        await w.clock.sleep(10)
        (one,) = await w.all(discovery_v1.EndpointSlice, labels="kubernetes.io/service-name=all")
        assert one.ports == ()
        assert len(one.endpoints) == 2
        assert (await w.get(core_v1.Endpoints, "all")).subsets == ()
        assert await writes(w) == []


# --- what can never be made


@pytest.mark.parametrize(
    "kind", ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"]
)
def test_a_quota_of_no_pods_is_told_and_costs_little(kind: str):
    @simulated
    async def test() -> None:
        async with nonsense() as w:
            await quota(w, pods="0")
            spec: dict[str, Any] = several("web", 3)
            found: type[Any] = getattr(apps_v1, kind, None) or getattr(batch_v1, kind, None) or getattr(core_v1, kind)
            if kind == "ReplicationController":
                spec["selector"] = {"app": "web"}
            elif kind == "DaemonSet":
                del spec["replicas"]
            elif kind == "Job":
                spec = {"parallelism": 3, "template": template()}
                spec["template"]["spec"]["restartPolicy"] = "Never"
            await w.create(found, "web", spec=spec)
            await w.clock.sleep(60)
            assert await w.pods() == []
            told = [e for e in await w.all(core_v1.Event) if e.reason == "FailedCreate"]
            assert told
            assert "exceeded quota: quota, requested: pods=1, used: pods=0, limited: pods=0" in told[0].message
            if kind in ("Deployment", "ReplicaSet", "ReplicationController"):
                status = (await w.get(found, "web")).status
                (failure,) = [c for c in status.conditions if c.type == "ReplicaFailure"]
                assert (failure.status, failure.reason) == ("True", "FailedCreate")
            assert len(await writes(w)) <= CALM
            await w.patch(core_v1.ResourceQuota, "quota", {"spec": {"hard": {"pods": "9"}}})
            await w.until(lambda: some_pods(w), 90)

    test()


async def some_pods(w: World) -> bool:
    return len(await w.pods()) >= 2


@simulated
async def test_a_quota_on_what_controllers_make_is_told_by_those_who_make_it():
    async with nonsense() as w:
        hard = {"count/replicasets.apps": "0", "count/jobs.batch": "0", "persistentvolumeclaims": "0"}
        await quota(w, **hard, **{"count/controllerrevisions.apps": "9"})
        await deployment(w)
        job = {"template": template()}
        job["template"]["spec"]["restartPolicy"] = "Never"
        await w.create(batch_v1.CronJob, "tick", spec={"schedule": "* * * * *", "jobTemplate": {"spec": job}})
        claim = {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}},
        }
        await w.create(apps_v1.StatefulSet, "db", spec=several("db", serviceName="x", volumeClaimTemplates=[claim]))
        await w.clock.sleep(130)
        assert any(
            text.startswith("ReplicaSetCreateError: Failed to create new replica set") for text in await w.events("web")
        )
        conditions = {c.type: (c.status, c.reason) for c in (await w.get(apps_v1.Deployment, "web")).status.conditions}
        assert conditions["Progressing"] == ("False", "ReplicaSetCreateError")
        assert any(text.startswith("FailedCreate: Error creating job: ") for text in await w.events("tick"))
        assert any(
            text.startswith("FailedCreate: create Claim data-db-0 for Pod db-0") for text in await w.events("db")
        )
        assert len(await writes(w)) <= 3 * CALM


@pytest.mark.parametrize("how", ["limits", "security"])
def test_a_template_that_admission_refuses_is_told_and_costs_little(how: str):
    @simulated
    async def test() -> None:
        async with nonsense() as w:
            if how == "limits":
                limit = {"type": "Container", "max": {"cpu": "100m"}, "default": {"cpu": "100m"}}
                await w.create(core_v1.LimitRange, "limits", spec={"limits": [limit]})
            else:
                label = {"pod-security.kubernetes.io/enforce": "restricted"}
                await w.patch(core_v1.Namespace, "default", {"metadata": {"labels": label}}, "")
            pod = template(app="web")
            pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
            await deployment(w, template=pod)
            await w.clock.sleep(60)
            assert await w.pods() == []
            (rs,) = await w.all(apps_v1.ReplicaSet)
            text = (
                "maximum cpu usage per Container is 100m"
                if how == "limits"
                else 'violates PodSecurity "restricted:latest"'
            )
            assert text in rs.status.conditions[0].message
            assert any(text in event for event in await w.events(rs.metadata.name))
            (failure,) = [
                c for c in (await w.get(apps_v1.Deployment, "web")).status.conditions if c.type == "ReplicaFailure"
            ]
            assert text in failure.message
            assert len(await writes(w)) <= CALM

    test()


@simulated
async def test_a_template_that_never_becomes_ready_exceeds_its_deadline_and_rests():
    async with nonsense() as w:
        pod = template(app="web")
        pod["metadata"]["annotations"] = {"simulated.pybernetes.io/ready": "false"}
        await deployment(w, template=pod, progressDeadlineSeconds=60)
        await w.create(apps_v1.StatefulSet, "set", spec=several("set", 3, serviceName="x") | {"template": sick("set")})
        daemon = {k: v for k, v in several("daemon").items() if k != "replicas"} | {"template": sick("daemon")}
        await w.create(apps_v1.DaemonSet, "daemon", spec=daemon)
        await w.clock.sleep(90)
        conditions = {c.type: (c.status, c.reason) for c in (await w.get(apps_v1.Deployment, "web")).status.conditions}
        assert conditions["Progressing"] == ("False", "ProgressDeadlineExceeded")
        assert (await w.get(apps_v1.StatefulSet, "set")).status.replicas == 1
        assert (await w.get(apps_v1.DaemonSet, "daemon")).status.numberUnavailable == 2
        assert await writes(w, 600) == []


def sick(app: str) -> dict[str, Any]:
    pod = template(app=app)
    pod["metadata"]["annotations"] = {"simulated.pybernetes.io/ready": "false"}
    return pod


@simulated
async def test_a_template_that_crashes_at_once_is_replaced_slower_and_slower():
    async with nonsense() as w:
        pod = template()
        pod["metadata"]["annotations"] = {
            "simulated.pybernetes.io/run-seconds": "0",
            "simulated.pybernetes.io/exit-code": "1",
        }
        pod["spec"]["restartPolicy"] = "Never"
        await w.create(
            batch_v1.Job, "work", spec={"template": pod, "backoffLimit": 1000, "parallelism": 4, "completions": 4}
        )
        await w.clock.sleep(600)
        assert len(await writes(w)) <= 2 * CALM


@simulated
async def test_a_job_of_a_hundred_thousand_makes_no_more_than_may_be():
    async with nonsense() as w:
        await quota(w, pods="5")
        pod = template()
        pod["spec"]["restartPolicy"] = "Never"
        spec = {"parallelism": 100000, "completions": 100000, "completionMode": "Indexed", "template": pod}
        await w.create(batch_v1.Job, "huge", spec=spec)
        await w.clock.sleep(120)
        assert len(await w.pods()) == 5
        assert (await w.get(batch_v1.Job, "huge")).status.active == 5
        assert len(await writes(w)) <= CALM


@simulated
async def test_an_indexed_job_that_is_suspended_for_ever_rests():
    async with nonsense() as w:
        pod = template()
        pod["spec"]["restartPolicy"] = "Never"
        spec = {"completions": 50, "parallelism": 50, "completionMode": "Indexed", "suspend": True, "template": pod}
        await w.create(batch_v1.Job, "idle", spec=spec)
        await w.clock.sleep(10)
        (condition,) = (await w.get(batch_v1.Job, "idle")).status.conditions
        assert (condition.type, condition.status, condition.reason) == ("Suspended", "True", "JobSuspended")
        assert await writes(w, 600) == []


@simulated
async def test_a_schedule_of_the_thirtieth_of_february_is_told_once_and_costs_nothing():
    async with nonsense() as w:
        job = {"template": template()}
        job["template"]["spec"]["restartPolicy"] = "Never"
        await w.create(batch_v1.CronJob, "never", spec={"schedule": "0 0 30 2 *", "jobTemplate": {"spec": job}})
        await w.clock.sleep(10)
        why = "time difference between two schedules is less than 1 second"
        assert await w.events("never") == [f"InvalidSchedule: invalid schedule: 0 0 30 2 * : {why}"]
        assert await writes(w, 7200) == []
        assert await w.all(batch_v1.Job) == ()


# --- daemons and nodes


@simulated
async def test_a_daemon_for_nodes_that_are_not_there_rests():
    async with nonsense() as w:
        pod = template(app="daemon")
        pod["spec"]["nodeSelector"] = {"disk": "none-has-it"}
        await w.create(
            apps_v1.DaemonSet, "daemon", spec={"selector": {"matchLabels": {"app": "daemon"}}, "template": pod}
        )
        await w.clock.sleep(10)
        status = (await w.get(apps_v1.DaemonSet, "daemon")).status
        assert (status.desiredNumberScheduled, status.observedGeneration) == (0, 1)
        assert await writes(w) == []


@simulated
async def test_a_daemon_that_a_taint_drives_away_again_and_again_comes_back_no_faster_than_it_goes():
    async with nonsense() as w:
        await w.patch(core_v1.Node, "node-1", {"spec": {"taints": [{"key": "away", "effect": "NoExecute"}]}}, "")
        pod = template(app="daemon")
        pod["spec"]["tolerations"] = [
            {"key": "away", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        ]
        await w.create(
            apps_v1.DaemonSet, "daemon", spec={"selector": {"matchLabels": {"app": "daemon"}}, "template": pod}
        )
        await w.clock.sleep(60)
        assert len(await writes(w)) <= 2 * CALM
        assert [pod.spec.nodeName for pod in await w.pods()].count("node-2") == 1
        told = [e for e in await w.all(core_v1.Event) if e.reason == "TaintManagerEviction"]
        assert told


# --- finalizers and namespaces


@simulated
async def test_a_finalizer_that_nobody_removes_holds_its_object_and_nothing_else():
    async with nonsense() as w:
        await deployment(w, replicas=2)
        await w.clock.sleep(10)
        for pod in await w.pods():
            await w.patch(core_v1.Pod, pod.metadata.name, {"metadata": {"finalizers": ["example.com/never"]}})
            await w.delete(core_v1.Pod, pod.metadata.name)
        await w.clock.sleep(60)
        assert len(await w.pods()) == 2
        assert len(await w.all(core_v1.Pod)) == 4
        assert await writes(w, 300) == []
        await w.delete(apps_v1.Deployment, "web", propagation="Foreground")
        await w.clock.sleep(60)
        assert await w.there(apps_v1.Deployment, "web")
        assert len(await writes(w)) <= CALM


@simulated
async def test_a_namespace_that_something_foreign_holds_says_so_and_rests():
    async with nonsense() as w:
        await w.create(core_v1.Namespace, "held", spec={"finalizers": ["kubernetes", "example.com/never"]})
        await w.create(core_v1.Namespace, "full")
        await w.create(core_v1.ConfigMap, "c", "full", metadata={"finalizers": ["example.com/never"]})
        await w.clock.sleep(5)
        await w.delete(core_v1.Namespace, "held", "")
        await w.delete(core_v1.Namespace, "full", "")
        await w.clock.sleep(60)
        held = await w.get(core_v1.Namespace, "held", "")
        assert (held.status.phase, held.spec.finalizers) == ("Terminating", ("example.com/never",))
        full = {c.type: (c.status, c.message) for c in (await w.get(core_v1.Namespace, "full", "")).status.conditions}
        assert full["NamespaceContentRemaining"] == (
            "True", "Some resources are remaining: configmaps. has 1 resource instances"
        )  # fmt: skip
        assert full["NamespaceFinalizersRemaining"] == (
            "True", "Some content in the namespace has finalizers remaining: example.com/never in 1 resource instances"
        )  # fmt: skip
        assert len(await writes(w)) <= CALM


# --- owners


@simulated
async def test_owners_in_a_circle_stay_until_one_is_deleted_and_go_then():
    async with nonsense() as w:
        first = await w.create(core_v1.ConfigMap, "first")
        second = await w.create(
            core_v1.ConfigMap,
            "second",
            metadata={"ownerReferences": [reference(first, "ConfigMap", "v1", blockOwnerDeletion=True)]},
        )
        await w.patch(
            core_v1.ConfigMap,
            "first",
            {"metadata": {"ownerReferences": [reference(second, "ConfigMap", "v1", blockOwnerDeletion=True)]}},
        )
        own = await w.create(core_v1.ConfigMap, "itself")
        await w.patch(
            core_v1.ConfigMap,
            "itself",
            {"metadata": {"ownerReferences": [reference(own, "ConfigMap", "v1", blockOwnerDeletion=True)]}},
        )
        await w.clock.sleep(10)
        assert await writes(w) == []
        assert await w.there(core_v1.ConfigMap, "first")
        assert await w.there(core_v1.ConfigMap, "itself")
        await w.delete(core_v1.ConfigMap, "first", propagation="Foreground")
        await w.delete(core_v1.ConfigMap, "itself", propagation="Foreground")
        await w.clock.sleep(30)
        for name in ("first", "second", "itself"):
            assert not await w.there(core_v1.ConfigMap, name)
        assert await writes(w) == []


@simulated
async def test_an_owner_of_a_kind_that_nobody_serves_keeps_its_dependents_and_asks_nothing():
    async with nonsense() as w:
        ref = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "0"}
        await w.create(core_v1.ConfigMap, "c", metadata={"ownerReferences": [ref]})
        await w.clock.sleep(10)
        asked = w.manager.loops["garbage-collector-controller"].counters.reconciles
        assert await writes(w, 300) == []
        assert w.manager.loops["garbage-collector-controller"].counters.reconciles - asked <= 40
        assert await w.there(core_v1.ConfigMap, "c")


@simulated
async def test_an_owner_whose_name_another_has_now_is_gone():
    async with nonsense() as w:
        owner = await w.create(core_v1.ConfigMap, "owner")
        ref = reference(owner, "ConfigMap", "v1") | {"uid": "of-an-earlier-one"}
        await w.create(core_v1.ConfigMap, "dependent", metadata={"ownerReferences": [ref]})
        await w.clock.sleep(10)
        assert not await w.there(core_v1.ConfigMap, "dependent")
        assert await writes(w) == []


@simulated
async def test_an_owner_in_another_namespace_is_told_and_is_none():
    async with nonsense() as w:
        await w.create(core_v1.Namespace, "far")
        owner = await w.create(core_v1.ConfigMap, "owner", "far")
        await w.clock.sleep(5)
        ref = reference(owner, "ConfigMap", "v1")
        dependent = await w.create(core_v1.ConfigMap, "dependent", metadata={"ownerReferences": [ref]})
        await w.create(rbac_v1.ClusterRole, "wide", "", metadata={"ownerReferences": [ref]})
        await w.clock.sleep(10)
        (told,) = [e for e in await w.all(core_v1.Event) if e.involvedObject.uid == dependent.metadata.uid]
        assert (told.type, told.reason) == ("Warning", "OwnerRefInvalidNamespace")
        text = f"[v1/ConfigMap, namespace: default, name: owner, uid: {owner.metadata.uid}]"
        assert told.message == f'ownerRef {text} does not exist in namespace "default"'
        assert not await w.there(core_v1.ConfigMap, "dependent")
        (wide,) = [e for e in await w.all(core_v1.Event) if e.involvedObject.name == "wide"]
        assert wide.reason == "OwnerRefInvalidNamespace"
        assert await w.client.of(rbac_v1.ClusterRole).get(Key("", "wide"))
        assert await writes(w) == []
