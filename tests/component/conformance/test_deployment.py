"""Deployments: upstream's test/e2e/apps/deployment.go."""

import asyncio
from typing import Any

import pytest
from tests.component.api import STRATEGIC
from tests.component.conformance.e2e import (
    APPS,
    PODS,
    PULL_ERROR,
    Workloads,
    image_of,
    set_image,
    set_missing_image,
    template,
    workloads,
)
from tests.component.controllers.world import simulated

DEPLOYMENTS = f"{APPS}/deployments"
SETS = f"{APPS}/replicasets"
REVISION = "deployment.kubernetes.io/revision"
AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.45"


def deployment(name="web", replicas=1, labels=None, container="httpd", image="httpd:2.4.38", **spec):
    labels = labels or {"name": "httpd"}
    own = {"selector": {"matchLabels": labels}, "template": template(labels, container, image)}
    strategy = {"type": "RollingUpdate"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "strategy": strategy, **own, **spec},
    }


def replica_set(name, labels, **meta):
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template(labels)}
    return {"metadata": {"name": name, "labels": labels, **meta}, "spec": spec}


async def sets_of(k: Workloads, d: Any) -> tuple[Any, list[Any]]:
    """The ReplicaSet of the Deployment's template, and its other ones."""
    new, old = None, []
    for rs in await k.items(SETS):
        if d["metadata"]["uid"] not in [ref["uid"] for ref in rs["metadata"].get("ownerReferences", ())]:
            continue
        rs["spec"]["template"]["metadata"]["labels"].pop("pod-template-hash", None)
        if rs["spec"]["template"] == d["spec"]["template"]:
            new = rs
        else:
            old.append(rs)
    return new, old


async def has_revision(k: Workloads, name: str, revision: str, image: str) -> bool:
    d = await k.ok("GET", f"{DEPLOYMENTS}/{name}")
    new, _ = await sets_of(k, d)
    return (
        d["status"].get("observedGeneration", 0) >= d["metadata"]["generation"]
        and new is not None
        and d["metadata"].get("annotations", {}).get(REVISION) == new["metadata"]["annotations"][REVISION] == revision
        and image_of(d) == image_of(new) == image
    )


async def wait_for_revision(k: Workloads, name: str, revision: str, image: str) -> None:
    await k.poll(lambda: has_revision(k, name, revision, image))


def is_complete(d: Any) -> bool:
    status, wanted = d["status"], d["spec"]["replicas"]
    counts = [status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [wanted] * 3 and status.get("observedGeneration", 0) >= d["metadata"]["generation"]


async def wait_until_complete(k: Workloads, name: str, *, most: int | None = None, least: int = 0) -> None:
    """And on the way there are never more Pods than `most` or fewer available ones than `least`."""

    async def complete() -> bool:
        d = await k.ok("GET", f"{DEPLOYMENTS}/{name}")
        if most is not None:
            assert sum(rs["status"]["replicas"] for rs in await k.items(SETS)) <= most
            assert d["status"].get("availableReplicas", 0) >= least
        return is_complete(d)

    await k.poll(complete)


async def observed(k: Workloads, d: Any) -> Any:
    """The Deployment once its controller has seen that generation."""

    async def seen() -> Any:
        found = await k.ok("GET", f"{DEPLOYMENTS}/{d['metadata']['name']}")
        return found if found["status"].get("observedGeneration", 0) >= d["metadata"]["generation"] else None

    return await k.poll(seen)


async def sized(k: Workloads, name: str, replicas: int, *, made: bool = False) -> Any:
    """A ReplicaSet once its size is that, and with `made` the number of its Pods, too."""

    async def right() -> Any:
        rs = await k.ok("GET", f"{SETS}/{name}")
        seen = rs["status"].get("observedGeneration", 0) >= rs["metadata"]["generation"]
        counts = (rs["spec"]["replicas"], rs["status"]["replicas"] if made else replicas)
        return rs if seen and counts == (replicas, replicas) else None

    return await k.poll(right, seconds=60)


@pytest.mark.conformance(
    "[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]"
)
@simulated
async def test_a_rolling_update_goes_on_from_the_revision_of_the_set_it_adopts():
    async with workloads() as k:
        rs = replica_set("test-rolling-update-controller", {"name": "sample-pod", "pod": "httpd"})
        rs["metadata"]["annotations"] = {REVISION: "3546343826724305832"}
        await k.made(SETS, rs)
        await k.running("name=sample-pod", 1)
        name = "test-rolling-update-deployment"
        await k.made(DEPLOYMENTS, deployment(name, 1, {"name": "sample-pod"}, "agnhost", AGNHOST))
        await wait_for_revision(k, name, "3546343826724305833", AGNHOST)
        await wait_until_complete(k, name)
        _, old = await sets_of(k, await k.ok("GET", f"{DEPLOYMENTS}/{name}"))
        assert [rs["metadata"]["name"] for rs in old] == ["test-rolling-update-controller"]
        (pod,) = await k.poll(lambda: only(k, "name=sample-pod"))
        assert image_of(pod) == AGNHOST


async def only(k: Workloads, labels: str) -> list[Any]:
    found = await k.active(labels)
    return found if len(found) == 1 else []


@pytest.mark.conformance(
    "[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]"
)
@simulated
async def test_new_pods_never_run_beside_old_ones_where_the_strategy_is_recreate():
    async with workloads() as k:
        name = "test-recreate-deployment"
        made = deployment(name, 1, {"name": "sample-pod-3"}, "agnhost", AGNHOST, strategy={"type": "Recreate"})
        await k.made(DEPLOYMENTS, made)
        await wait_for_revision(k, name, "1", AGNHOST)
        await wait_until_complete(k, name)
        d = await k.updated(f"{DEPLOYMENTS}/{name}", set_image("httpd:2.4.38", "httpd"))

        def recreated(kind: str, d: Any) -> bool:
            updated, replicas = d["status"].get("updatedReplicas", 0), d["status"].get("replicas", 0)
            assert not updated or replicas == updated, "new Pods beside old ones"
            seen = d["status"]["observedGeneration"] >= d["metadata"]["generation"]
            return bool(d["spec"]["replicas"] == replicas == updated and seen)

        query = f"&fieldSelector=metadata.name%3D{name}"
        since = d["metadata"]["resourceVersion"]
        done = await k.seen(DEPLOYMENTS, since, recreated, query=query, seconds=120)
        assert image_of(done) == "httpd:2.4.38"


@pytest.mark.conformance("[sig-apps] Deployment deployment should delete old replica sets [Conformance]")
@simulated
async def test_without_history_the_adopted_set_goes_and_makes_no_pod_on_the_way():
    async with workloads() as k:
        await k.made(SETS, replica_set("test-cleanup-controller", {"name": "cleanup-pod", "pod": "httpd"}))
        await k.running("name=cleanup-pod", 1)
        events = await k.watch(f"{PODS}?watch=1&resourceVersion={await k.since(PODS)}")
        made: list[str] = []

        async def follow() -> None:
            while True:
                kind, pod = await events.next()
                if kind == "ADDED":
                    made.append(pod["spec"]["containers"][0]["name"])

        following = asyncio.create_task(follow())
        body = deployment(
            "test-cleanup-deployment", 1, {"name": "cleanup-pod"}, "agnhost", AGNHOST, revisionHistoryLimit=0
        )
        await k.made(DEPLOYMENTS, body)

        async def cleaned_up() -> bool:
            return [rs["metadata"]["name"] != "test-cleanup-controller" for rs in await k.items(SETS)] == [True]

        await k.poll(cleaned_up, every=2)
        following.cancel()
        assert made == ["agnhost"]


@pytest.mark.conformance("[sig-apps] Deployment deployment should support rollover [Conformance]")
@simulated
async def test_a_stuck_rollout_is_rolled_over():
    async with workloads() as k:
        await k.made(SETS, replica_set("test-rollover-controller", {"name": "rollover-pod", "pod": "httpd"}))
        await k.running("name=rollover-pod", 1)
        await sized(k, "test-rollover-controller", 1, made=True)
        one = f"{DEPLOYMENTS}/test-rollover-deployment"
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        stuck = "gcr.io/google_samples/gb-redisslave:nonexistent"
        labels = {"name": "rollover-pod"}
        body = deployment(
            "test-rollover-deployment", 1, labels, "redis-slave", stuck, strategy=rolling, minReadySeconds=10
        )
        body["spec"]["template"]["metadata"]["annotations"] = {PULL_ERROR: "not found"}
        made = await k.made(DEPLOYMENTS, body)

        async def scaling() -> bool:
            status = (await k.ok("GET", one))["status"]
            generation = status.get("observedGeneration", 0)
            return status.get("updatedReplicas", 0) >= 1 and generation >= made["metadata"]["generation"]

        await k.poll(scaling, every=2)
        assert await has_revision(k, "test-rollover-deployment", "1", stuck)
        await sized(k, "test-rollover-controller", 1, made=True)
        new, _ = await sets_of(k, await k.ok("GET", one))
        assert new["spec"]["replicas"] == new["status"]["replicas"] == 1
        d = await k.updated(one, set_image(AGNHOST, "agnhost"))
        await observed(k, d)
        await wait_for_revision(k, "test-rollover-deployment", "2", AGNHOST)
        await wait_until_complete(k, "test-rollover-deployment", most=2, least=1)
        for name in ("test-rollover-controller", new["metadata"]["name"]):
            rs = await k.ok("GET", f"{SETS}/{name}")
            assert rs["spec"]["replicas"] == rs["status"]["replicas"] == 0


@pytest.mark.conformance("[sig-apps] Deployment deployment should support proportional scaling [Conformance]")
@simulated
async def test_both_sets_of_a_stuck_rollout_get_their_share():
    async with workloads() as k:
        one = f"{DEPLOYMENTS}/webserver-deployment"
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
        await observed(k, await k.made(DEPLOYMENTS, deployment("webserver-deployment", 10, strategy=rolling)))
        await k.running("name=httpd", 10)
        await wait_until_complete(k, "webserver-deployment")
        first, _ = await sets_of(k, await k.ok("GET", one))
        d = await observed(k, await k.updated(one, set_missing_image("webserver:404")))

        async def available() -> bool:
            return bool((await k.ok("GET", f"{SETS}/{first['metadata']['name']}"))["status"]["availableReplicas"] == 8)

        await k.poll(available)
        await sized(k, first["metadata"]["name"], 8, made=True)
        second, _ = await sets_of(k, d)
        assert second["status"].get("availableReplicas", 0) == 0
        await sized(k, second["metadata"]["name"], 5, made=True)
        assert (await k.ok("GET", one))["status"]["availableReplicas"] >= 8
        await k.updated(one, lambda d: d["spec"].update(replicas=30))
        await sized(k, first["metadata"]["name"], 20)
        await sized(k, second["metadata"]["name"], 13)


@pytest.mark.conformance("[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]")
@simulated
async def test_scale_is_read_written_and_patched():
    async with workloads() as k:
        await k.made(DEPLOYMENTS, deployment("test-new-deployment"))
        await wait_for_revision(k, "test-new-deployment", "1", "httpd:2.4.38")
        await wait_until_complete(k, "test-new-deployment")
        await k.validate_scale(f"{DEPLOYMENTS}/test-new-deployment")


STATIC = "test-deployment-static=true"
SELECTED = "labelSelector=test-deployment-static%3Dtrue"


def counts(d: Any) -> tuple[int, int, int]:
    return tuple(d["status"].get(f"{name}Replicas", 0) for name in ("ready", "updated", "unavailable"))


@pytest.mark.conformance("[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]")
@simulated
async def test_a_deployment_lives():
    async with workloads() as k:
        one, name = f"{DEPLOYMENTS}/test-deployment", "test-deployment"
        since = await k.since(f"/apis/apps/v1/deployments?{SELECTED}")

        async def seen(holds, since=since, seconds=300):
            return await k.seen(DEPLOYMENTS, since, holds, query=f"&{SELECTED}", seconds=seconds)

        labels = {"test-deployment-static": "true"}
        body = deployment(name, 2, labels, name, AGNHOST)
        body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
        made = await k.made(DEPLOYMENTS, body)
        await seen(lambda kind, d: kind == "ADDED" and d["metadata"]["name"] == name, seconds=30)
        await seen(lambda kind, d: counts(d)[0] == 2)
        pod = {"terminationGracePeriodSeconds": 2, "containers": [{"name": name, "image": "pause"}]}
        change = {"metadata": {"labels": {name: "patched"}}, "spec": {"replicas": 1, "template": {"spec": pod}}}
        await k.ok("PATCH", one, change, content_type=STRATEGIC)
        await seen(lambda kind, d: kind == "MODIFIED", seconds=30)
        patched = await seen(lambda kind, d: counts(d) == (1, 1, 0) and image_of(d) == "pause")
        assert patched["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 2
        assert patched["metadata"]["labels"] == labels | {name: "patched"}
        everywhere = await k.ok("GET", f"/apis/apps/v1/deployments?{SELECTED}")
        assert [item["metadata"]["name"] for item in everywhere["items"]] == [name]
        since = everywhere["metadata"]["resourceVersion"]
        # What a dynamic client sends of an object that was made once: no revision, empty times and an empty status.
        blank = {**body, "apiVersion": "apps/v1", "kind": "Deployment", "status": {}}
        blank["metadata"] = {**body["metadata"], "creationTimestamp": None, "labels": labels | {name: "updated"}}
        blank["spec"]["template"]["metadata"]["creationTimestamp"] = None
        set_image("httpd:2.4.38")(blank)
        updated = await k.ok("PUT", one, blank, content_type="application/json")
        assert updated["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
        await seen(lambda kind, d: kind == "MODIFIED", since, 30)
        shown = await k.ok("GET", f"{one}/status")
        assert (image_of(shown), shown["metadata"]["labels"][name]) == ("httpd:2.4.38", "updated")
        await seen(lambda kind, d: counts(d) == (2, 2, 0), since)
        patch = {"metadata": {"labels": {name: "patched-status"}}}
        patch["status"] = {"readyReplicas": 0, "availableReplicas": 0}
        await k.ok("PATCH", f"{one}/status", patch, content_type=STRATEGIC)
        await seen(lambda kind, d: kind == "MODIFIED", since, 30)
        shown = await k.ok("GET", f"{one}/status")
        assert (image_of(shown), shown["metadata"]["labels"][name]) == ("httpd:2.4.38", "updated")
        await seen(lambda kind, d: counts(d) == (2, 2, 0) and image_of(d) == "httpd:2.4.38", since)
        options = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 1}
        await k.ok("DELETE", f"{DEPLOYMENTS}?{SELECTED}", options)
        await seen(lambda kind, d: kind == "DELETED" and d["metadata"]["name"] == name, since, 60)


@pytest.mark.conformance("[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]")
@simulated
async def test_the_status_of_a_deployment_is_its_own():
    async with workloads() as k:
        since = await k.since("/apis/apps/v1/deployments?labelSelector=e2e%3Dtesting")
        await k.made(DEPLOYMENTS, deployment("test-deployment-abcde", 1, {"name": "httpd", "e2e": "testing"}))
        await wait_for_revision(k, "test-deployment-abcde", "1", "httpd:2.4.38")
        await wait_until_complete(k, "test-deployment-abcde")
        await k.validate_status(DEPLOYMENTS, "test-deployment-abcde", since, "e2e%3Dtesting")


async def test_deployments_have_every_verb(api):
    await api.cycle(DEPLOYMENTS, deployment(), status={"replicas": 1})
