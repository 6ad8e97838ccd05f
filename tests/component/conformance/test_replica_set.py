"""ReplicaSets: upstream's test/e2e/apps/replica_set.go."""

import pytest
from tests.component.conformance.e2e import APPS, image_of, template, workloads
from tests.component.conformance.test_rc import (
    adopts,
    fails_until_small_enough,
    quota_of_pods,
    releases,
    serves_its_names,
)
from tests.component.controllers.world import simulated

SETS = f"{APPS}/replicasets"
EVERYWHERE = "/apis/apps/v1/replicasets"
LABELS = {"name": "sample-pod", "pod": "agnhost"}


def replica_set(name="test-rs", replicas=1, labels=LABELS, container="agnhost"):
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels, container)}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.mark.conformance(
    "[sig-apps] ReplicaSet should serve a basic image on each replica with a public image [Conformance]"
)
@simulated
async def test_the_pods_of_a_set_serve_their_names():
    async with workloads() as k:
        name = "my-hostname-basic-4c0ef5b1-6e3c-4d7e-8b9a-0f1e2d3c4b5a"
        await serves_its_names(k, SETS, replica_set(name, 1, {"name": name}, name))


@pytest.mark.conformance(
    "[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]"
)
@simulated
async def test_a_pod_is_adopted_and_released():
    async with workloads() as k:
        name = "pod-adoption-release"
        uid = await adopts(k, SETS, replica_set(name, 1, {"name": name}, name))
        await releases(k, name, uid)


@simulated
async def test_a_quota_that_is_too_small_is_a_condition_until_the_set_is_small_enough():
    async with workloads() as k:
        await quota_of_pods(k, "2")
        await fails_until_small_enough(k, SETS, replica_set("condition-test", 3, {"name": "condition-test"}))


@pytest.mark.conformance("[sig-apps] ReplicaSet Replace and Patch tests [Conformance]")
@simulated
async def test_a_replica_set_is_replaced_and_patched():
    """The patch names a container that is not there: it comes first, as the client asked last."""
    async with workloads() as k:
        since = await k.since(f"{EVERYWHERE}?labelSelector=test-rs%3Dpatched")
        made = await k.made(SETS, replica_set())
        await k.running("name=sample-pod", 1)
        await k.updated(f"{SETS}/test-rs", lambda rs: rs["spec"].update(replicas=2))
        pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "test-rs", "image": "pause"}]}
        change = {"metadata": {"labels": {"test-rs": "patched"}}, "spec": {"replicas": 3, "template": {"spec": pod}}}
        patched = await k.ok("PATCH", f"{SETS}/test-rs", change)
        assert int(patched["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])

        def ready(kind, rs):
            counts = [rs["status"].get(f"{name}Replicas", 0) for name in ("ready", "available")]
            return counts == [3, 3] and image_of(rs) == "pause"

        seen = await k.seen(SETS, since, ready, query="&labelSelector=test-rs%3Dpatched")
        assert seen["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 0
        assert [c["name"] for c in seen["spec"]["template"]["spec"]["containers"]] == ["test-rs", "agnhost"]


@pytest.mark.conformance("[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]")
@simulated
async def test_scale_is_read_written_and_patched():
    async with workloads() as k:
        await k.made(SETS, replica_set())
        await k.running("name=sample-pod", 1)
        await k.validate_scale(f"{SETS}/test-rs")


@pytest.mark.conformance("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]")
@simulated
async def test_replica_sets_are_listed_and_deleted_together():
    async with workloads() as k:
        await k.made(SETS, replica_set(replicas=3, labels={**LABELS, "e2e": "abcde"}))
        await k.running("name=sample-pod", 3)
        assert len(await k.items(f"{EVERYWHERE}?labelSelector=e2e%3Dabcde")) == 1
        options = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 1}
        await k.ok("DELETE", f"{SETS}?labelSelector=e2e%3Dabcde", options)
        assert await k.items(f"{EVERYWHERE}?labelSelector=e2e%3Dabcde") == []


@pytest.mark.conformance("[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]")
@simulated
async def test_the_status_of_a_replica_set_is_its_own():
    async with workloads() as k:
        selector = "name%3Dsample-pod,pod%3Dagnhost"
        since = await k.since(f"{EVERYWHERE}?labelSelector={selector}")
        await k.made(SETS, replica_set())
        await k.running("name=sample-pod", 1)
        await k.validate_status(SETS, "test-rs", since, selector)


async def test_replica_sets_have_every_verb(api):
    await api.cycle(SETS, replica_set(), status={"replicas": 1})
