"""ReplicationControllers: upstream's test/e2e/apps/rc.go."""

from typing import Any

import pytest
from tests.component.conformance.e2e import (
    CORE,
    PODS,
    Workloads,
    conditions,
    controller_of,
    template,
    workloads,
)
from tests.component.controllers.world import simulated

PATH = f"{CORE}/replicationcontrollers"
STATIC = "labelSelector=test-rc-static%3Dtrue"


def controller(name, /, replicas=1, labels=None, **pod):
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": template(labels or {"name": name}, **pod)},
    }


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota [Conformance]"
)
@simulated
async def test_a_quota_that_is_too_small_is_a_condition_until_the_controller_is_small_enough():
    async with workloads() as k:
        await quota_of_pods(k, "2")
        await fails_until_small_enough(k, PATH, controller("condition-test", 3))


async def quota_of_pods(k: Workloads, pods: str) -> None:
    """A quota of the namespace, once it is in force."""
    quotas = f"{CORE}/resourcequotas"
    await k.made(quotas, {"metadata": {"name": "condition-test"}, "spec": {"hard": {"pods": pods}}})

    async def synced() -> bool:
        status = (await k.ok("GET", f"{quotas}/condition-test")).get("status", {})
        return bool(status.get("hard", {}).get("pods") == pods)

    await k.poll(synced, seconds=60)


async def fails_until_small_enough(k: Workloads, path: str, body: Any) -> None:
    """Three replicas where two may be: ReplicaFailure, until two are asked for."""
    one = f"{path}/{body['metadata']['name']}"

    async def has(generation: int, condition: bool) -> bool:
        obj = await k.ok("GET", one)
        seen = obj["status"].get("observedGeneration", 0) >= generation
        return seen and ("ReplicaFailure" in conditions(obj)) == condition

    made = await k.made(path, body)
    await k.poll(lambda: has(made["metadata"]["generation"], True), seconds=60)
    (failure,) = (await k.ok("GET", one))["status"]["conditions"]
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    assert "exceeded quota: condition-test, requested: pods=1, used: pods=2, limited: pods=2" in failure["message"]
    updated = await k.updated(one, lambda obj: obj["spec"].update(replicas=2))
    await k.poll(lambda: has(updated["metadata"]["generation"], False), seconds=60)


async def serves_its_names(k: Workloads, path: str, body: Any) -> None:
    """Each Pod of it answers with its name, by the API server's proxy. What runs there is played: a rule says what it serves."""
    name, pods = body["metadata"]["name"], body["spec"]["template"]
    pods["metadata"]["annotations"] = {"simulated.pybernetes.io/serve-hostname": "true"}
    pods["spec"]["containers"][0] |= {"args": ["serve-hostname"], "ports": [{"containerPort": 9376}]}
    await k.made(path, body)
    (pod,) = await k.running(f"name={name}", 1)
    one = f"{PODS}/{pod['metadata']['name']}"

    async def answers() -> bool:
        return await k("GET", f"{one}/proxy/") == (200, pod["metadata"]["name"].encode())

    await k.poll(answers, 120, every=5)


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should serve a basic image on each replica with a public image [Conformance]"
)
@simulated
async def test_a_controllers_pods_serve_their_names():
    async with workloads() as k:
        await serves_its_names(k, PATH, controller("my-hostname-basic-4c0ef5b1-6e3c-4d7e-8b9a-0f1e2d3c4b5a"))


async def adopts(k: Workloads, path: str, body: Any) -> str:
    """A Pod of that name which runs already becomes the controller's. The controller's uid."""
    name = body["metadata"]["name"]
    spec = {"containers": [{"name": name, "image": "httpd:2.4.38"}]}
    orphan = await k.made(PODS, {"metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
    await k.running(f"name={name}", 1)
    made = await k.made(path, body)

    async def adopted() -> bool:
        return bool(controller_of(await k.ok("GET", f"{PODS}/{name}")) == made["metadata"]["uid"])

    await k.poll(adopted, seconds=60)
    assert [pod["metadata"]["uid"] for pod in await k.running(f"name={name}", 1)] == [orphan["metadata"]["uid"]]
    return str(made["metadata"]["uid"])


async def releases(k: Workloads, name: str, uid: str) -> None:
    """A Pod whose label changes is the controller's no more, which makes another."""
    (pod,) = await k.poll(lambda: k.active(f"name={name}"), seconds=60)
    assert controller_of(pod) == uid
    one = f"{PODS}/{pod['metadata']['name']}"
    await k.updated(one, lambda pod: pod["metadata"].update(labels={"name": "not-matching-name"}))

    async def released() -> bool:
        return controller_of(await k.ok("GET", one)) is None

    await k.poll(released, seconds=60)
    await k.running(f"name={name}", 1)


@pytest.mark.conformance("[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]")
@simulated
async def test_a_pod_without_an_owner_is_adopted():
    async with workloads() as k:
        body = controller("pod-adoption")
        body["spec"]["selector"] = {"name": "pod-adoption"}
        await adopts(k, PATH, body)


@pytest.mark.conformance("[sig-apps] ReplicationController should release no longer matching pods [Conformance]")
@simulated
async def test_a_pod_that_matches_no_more_is_released():
    async with workloads() as k:
        body = controller("pod-release")
        body["spec"]["selector"] = {"name": "pod-release"}
        made = await k.made(PATH, body)
        await releases(k, "pod-release", made["metadata"]["uid"])


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]"
)
@simulated
async def test_the_lifecycle_of_a_controller():
    async with workloads() as k:
        one, labels = f"{PATH}/rc-test", {"test-rc-static": "true"}
        since = await k.since(f"{PATH}?{STATIC}")
        seen = await k.watch(f"{PATH}?watch=1&{STATIC}&resourceVersion={since}")

        async def until(**counts: int) -> Any:
            """The next event that tells these numbers."""
            while True:
                kind, rc = await seen.next()
                assert kind in ("ADDED", "MODIFIED")
                if {name: rc["status"].get(name, 0) for name in counts} == counts:
                    return rc

        body = controller("rc-test", 1, labels, name="rc-test", image="nginx")
        body["metadata"]["labels"], body["spec"]["selector"] = labels, labels
        await k.made(PATH, body)
        assert (await seen.until("ADDED"))["metadata"]["name"] == "rc-test"
        await until(replicas=1, readyReplicas=1)
        blank = {"metadata": {"creationTimestamp": None}, "spec": {}, "status": {"replicas": 0}}
        patch = {**blank, "metadata": {**blank["metadata"], "labels": {"test-rc": "patched"}}}
        assert (await k.ok("PATCH", one, patch))["metadata"]["labels"] == labels | {"test-rc": "patched"}
        await seen.until("MODIFIED")
        patch = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        assert (await k.ok("PATCH", f"{one}/status", patch))["status"].get("readyReplicas", 0) == 0
        await seen.until("MODIFIED")
        await until(replicas=1)
        assert (await k.ok("GET", f"{one}/status"))["status"]["replicas"] == 1
        await k.ok("PATCH", f"{one}/scale", {**blank, "spec": {"replicas": 2}})
        await seen.until("MODIFIED")
        await until(replicas=2, readyReplicas=2)
        rc = await k.ok("GET", one)
        assert rc["metadata"]["labels"]["test-rc"] == "patched"
        rc["status"] |= {"availableReplicas": 1, "readyReplicas": 1}
        await k.ok("PUT", f"{one}/status", rc)
        await seen.until("MODIFIED")
        (found,) = await k.items(f"/api/v1/replicationcontrollers?{STATIC}")
        assert (found["metadata"]["name"], found["metadata"]["labels"]["test-rc"]) == ("rc-test", "patched")
        await k.ok("DELETE", f"{PATH}?{STATIC}")
        assert (await seen.until("DELETED"))["metadata"]["name"] == "rc-test"


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"
)
@simulated
async def test_a_controllers_scale():
    async with workloads() as k:
        one = f"{PATH}/e2e-rc-abcde"
        await k.made(PATH, controller("e2e-rc-abcde"))

        async def counts(replicas: int) -> bool:
            return bool((await k.ok("GET", one))["status"]["replicas"] == replicas)

        await k.poll(lambda: counts(1), seconds=60)
        scale = await k.ok("GET", f"{one}/scale")
        assert (scale["kind"], scale["apiVersion"], scale["status"]["replicas"]) == ("Scale", "autoscaling/v1", 1)
        scale["metadata"]["resourceVersion"] = ""
        scale["spec"]["replicas"] = 2
        await k.ok("PUT", f"{one}/scale", scale)
        await k.poll(lambda: counts(2), seconds=60)
