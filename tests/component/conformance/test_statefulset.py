"""StatefulSets: upstream's test/e2e/apps/statefulset.go, those tests that need no storage."""

import asyncio
from typing import Any

import pytest
from tests.component.conformance.e2e import (
    APPS,
    CORE,
    HASH,
    PODS,
    Workloads,
    controller_of,
    image_of,
    is_ready,
    set_image,
    template,
    workloads,
)
from tests.component.controllers.world import simulated

SETS = f"{APPS}/statefulsets"
EVERYWHERE = "/apis/apps/v1/statefulsets"
BASIC = "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] "
LABELS = {"foo": "bar", "baz": "blah"}
SELECTED = "labelSelector=baz%3Dblah%2Cfoo%3Dbar"
OLD, NEW = "httpd:2.4.38", "httpd:2.4.39"
PROBE = {
    "httpGet": {"path": "/index.html", "port": 80},
    "periodSeconds": 1,
    "successThreshold": 1,
    "failureThreshold": 1,
}


def stateful_set(name="ss", replicas=1, labels=LABELS, **spec):
    """A set whose Pods are ready when their probe says so."""
    pods = template(labels, "webserver", OLD)
    del pods["spec"]["terminationGracePeriodSeconds"]
    pods["spec"]["containers"][0]["readinessProbe"] = PROBE
    own = {"selector": {"matchLabels": labels}, "template": pods, "serviceName": "test"}
    update = {"type": "RollingUpdate"}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "updateStrategy": update, **own, **spec}}


def partition(value: int) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"partition": value}}


class Stateful:
    """One set, and what upstream's tests do to it."""

    def __init__(self, k: Workloads, ss: Any) -> None:
        self.k = k
        self.uid, self.name = ss["metadata"]["uid"], ss["metadata"]["name"]
        self.one = f"{SETS}/{self.name}"

    async def get(self) -> Any:
        return await self.k.ok("GET", self.one)

    async def pods(self) -> list[Any]:
        """By ordinal; those that are being deleted, too."""
        found = [pod for pod in await self.k.items(PODS) if controller_of(pod) == self.uid]
        return sorted(found, key=lambda pod: int(pod["metadata"]["name"].rpartition("-")[2]))

    async def observed(self) -> Any:
        """The set once its controller has seen it as it is."""

        async def seen() -> Any:
            ss = await self.get()
            return ss if ss["status"].get("observedGeneration", 0) >= ss["metadata"]["generation"] else None

        return await self.k.poll(seen)

    async def all_are(self, count: int, *, ready: bool = True) -> None:
        """That many Pods, and all run and are ready, or are not."""

        async def holds() -> bool:
            pods = await self.pods()
            running = all(pod["status"]["phase"] == "Running" for pod in pods)
            return len(pods) == count and running and all(is_ready(pod) == ready for pod in pods)

        await self.k.poll(holds, seconds=600)

    async def ready_replicas(self, count: int) -> None:
        async def told() -> bool:
            return bool((await self.observed())["status"].get("readyReplicas", 0) == count)

        await self.k.poll(told)

    async def probe(self, succeeds: bool, *names: str) -> None:
        """Whether the probes of its Pods succeed: the last Pod is told first, before the others let it be removed."""
        for name in names or [pod["metadata"]["name"] for pod in reversed(await self.pods())]:
            await self.k.cluster.pod(name).ready(succeeds)

    async def resize(self, replicas: int) -> None:
        await self.k.updated(self.one, lambda ss: ss["spec"].update(replicas=replicas))

    async def stays(self, count: int) -> None:
        """For ten seconds it has so many Pods."""
        for _ in range(10):
            assert len(await self.pods()) == count
            await self.k.sleep(1)

    async def comes_to(self, count: int, seconds: float = 10) -> None:
        async def there() -> bool:
            return len(await self.pods()) == count

        await self.k.poll(there, seconds=seconds)

    async def rolled(self) -> Any:
        """The set once its rolling update is done."""

        async def done() -> Any:
            ss = await self.get()
            return ss if ss["status"]["currentRevision"] == ss["status"]["updateRevision"] else None

        return await self.k.poll(done, seconds=600)

    async def rolled_down_to(self, ordinal: int) -> Any:
        """The set once every Pod from that ordinal up is of the new revision."""
        await self.k.updated(self.one, lambda ss: ss["spec"].update(updateStrategy=partition(ordinal)))

        async def done() -> Any:
            ss, pods = await self.get(), await self.pods()
            status = ss["status"]
            if not ordinal and status["currentRevision"] != status["updateRevision"]:
                return None
            new = [pod["metadata"]["labels"][HASH] == status["updateRevision"] for pod in pods]
            return ss if len(pods) == 3 and all(new[ordinal:]) else None

        return await self.k.poll(done, seconds=600)

    async def has(self, *wanted: tuple[str, str]) -> None:
        """Image and revision of each Pod."""
        assert [(image_of(pod), pod["metadata"]["labels"][HASH]) for pod in await self.pods()] == list(wanted)


async def running_set(k: Workloads, body: Any) -> Stateful:
    """A set, with the headless Service of its Pods."""
    labels = body["spec"]["selector"]["matchLabels"]
    spec = {"clusterIP": "None", "selector": labels, "ports": [{"port": 80, "name": "http", "protocol": "TCP"}]}
    await k.made(f"{CORE}/services", {"metadata": {"name": "test", "labels": labels}, "spec": spec})
    return Stateful(k, await k.made(SETS, body))


def revisions(ss: Any) -> tuple[str, str]:
    return ss["status"]["currentRevision"], ss["status"]["updateRevision"]


@pytest.mark.conformance(
    BASIC + "should perform rolling updates and roll backs of template modifications [Conformance]"
)
@simulated
async def test_a_rolling_update_and_its_roll_back_know_their_revisions():
    async with workloads() as k:
        s = await running_set(k, stateful_set("ss2", 3))
        await s.all_are(3)
        first, update = revisions(await s.observed())
        assert first == update
        await s.has(*[(OLD, first)] * 3)
        deleted = asyncio.create_task(deletions(k, 3))
        await s.probe(False, "ss2-1")
        await k.updated(s.one, set_image(NEW))
        current, second = revisions(await s.observed())
        assert current == first != second
        await s.probe(True, "ss2-1")
        assert revisions(await s.rolled()) == (second, second)
        await s.has(*[(NEW, second)] * 3)
        assert await deleted == ["ss2-2", "ss2-1", "ss2-0"]
        deleted = asyncio.create_task(deletions(k, 3))
        await s.probe(False, "ss2-1")
        await k.updated(s.one, set_image(OLD))
        assert revisions(await s.observed()) == (second, first)
        await s.probe(True, "ss2-1")
        assert revisions(await s.rolled()) == (first, first)
        await s.has(*[(OLD, first)] * 3)
        assert await deleted == ["ss2-2", "ss2-1", "ss2-0"]


async def deletions(k: Workloads, count: int, kind: str = "DELETED") -> list[str]:
    """The names of the next Pods that are gone, or of those that are there (ADDED)."""
    events = await k.watch(f"{PODS}?watch=1&{SELECTED}&resourceVersion={await k.since(PODS)}")
    found = [(await events.until(kind))["metadata"]["name"] for _ in range(count)]
    await events.close()
    return found


@pytest.mark.conformance(
    BASIC + "should perform canary updates and phased rolling updates of template modifications [Conformance]"
)
@simulated
async def test_a_canary_then_one_pod_after_the_other():
    async with workloads() as k:
        s = await running_set(k, stateful_set("ss2", 3, updateStrategy=partition(3)))
        await s.all_are(3)
        old, update = revisions(await s.observed())
        assert old == update
        await s.has(*[(OLD, old)] * 3)
        await k.updated(s.one, set_image(NEW))
        current, new = revisions(await s.observed())
        assert current == old != new
        await s.has(*[(OLD, old)] * 3)
        await s.rolled_down_to(2)
        await s.has((OLD, old), (OLD, old), (NEW, new))
        for name in ("ss2-0", "ss2-2"):
            await k.ok("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        await s.all_are(3)
        await s.has((OLD, old), (OLD, old), (NEW, new))
        await s.rolled_down_to(1)
        await s.has((OLD, old), (NEW, new), (NEW, new))
        ss = await s.rolled_down_to(0)
        await s.has(*[(NEW, new)] * 3)
        assert ss["status"]["currentRevision"] == new


@pytest.mark.conformance(
    BASIC + "Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Slow] [Conformance]"
)
@simulated
async def test_scaling_goes_in_order_and_halts_while_a_pod_is_not_ready():
    async with workloads() as k:
        made = asyncio.create_task(deletions(k, 3, "ADDED"))
        s = await running_set(k, stateful_set())
        await s.all_are(1)
        await s.probe(False)
        await s.all_are(1, ready=False)
        await s.ready_replicas(0)
        await s.resize(3)
        await s.stays(1)
        await s.probe(True)
        await s.all_are(3)
        assert await made == ["ss-0", "ss-1", "ss-2"]
        gone = asyncio.create_task(deletions(k, 3))
        await s.probe(False)
        await s.ready_replicas(0)
        await s.all_are(3, ready=False)
        await s.resize(0)
        await s.stays(3)
        await s.probe(True)
        await s.comes_to(0, 600)
        assert await gone == ["ss-2", "ss-1", "ss-0"]


@pytest.mark.conformance(BASIC + "Burst scaling should run to completion even with unhealthy pods [Slow] [Conformance]")
@simulated
async def test_a_parallel_set_does_not_wait_for_pods_that_are_not_ready():
    async with workloads() as k:
        s = await running_set(k, stateful_set(podManagementPolicy="Parallel"))
        await s.all_are(1)
        await s.probe(False)
        await s.all_are(1, ready=False)
        await s.ready_replicas(0)
        await s.resize(3)
        await s.comes_to(3)
        await s.probe(True)
        await s.all_are(3)
        await s.probe(False)
        await s.ready_replicas(0)
        await s.all_are(3, ready=False)
        await s.resize(0)
        await s.comes_to(0)

        async def none_left() -> bool:
            return (await s.observed())["status"]["replicas"] == 0

        await k.poll(none_left)


@pytest.mark.conformance(BASIC + "Should recreate evicted statefulset [Conformance]")
@simulated
async def test_a_pod_that_its_node_rejects_is_made_again_until_there_is_room():
    async with workloads() as k:
        port = {"hostPort": 21017, "containerPort": 21017, "name": "conflict"}
        containers = [{"name": "webserver", "image": OLD, "ports": [port]}]
        await k.made(PODS, {"metadata": {"name": "test-pod"}, "spec": {"nodeName": "node-1", "containers": containers}})

        async def runs() -> bool:
            return bool((await k.ok("GET", f"{PODS}/test-pod"))["status"]["phase"] == "Running")

        await k.poll(runs)
        body = stateful_set()
        body["spec"]["template"]["spec"]["nodeName"] = "node-1"
        body["spec"]["template"]["spec"]["containers"] = containers
        await running_set(k, body)
        only = "fieldSelector=metadata.name%3Dss-0"
        seen: set[str] = {pod["metadata"]["uid"] for pod in await k.items(f"{PODS}?{only}")}

        def deleted(kind: str, pod: Any) -> bool:
            if kind == "DELETED":
                assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "NodePorts")
                return bool(seen)
            seen.add(pod["metadata"]["uid"])
            return False

        await k.seen(PODS, await k.since(f"{PODS}?{only}"), deleted, query=f"&{only}")
        await k.ok("DELETE", f"{PODS}/test-pod?gracePeriodSeconds=0")

        async def made_again() -> bool:
            code, pod = await k("GET", f"{PODS}/ss-0")
            return code == 200 and pod["status"]["phase"] == "Running" and pod["metadata"]["uid"] not in seen

        await k.poll(made_again, every=2)


@pytest.mark.conformance(BASIC + "should have a working scale subresource [Conformance]")
@simulated
async def test_scale_is_read_written_and_patched():
    async with workloads() as k:
        s = await running_set(k, stateful_set())
        await s.all_are(1)
        await s.observed()
        await k.validate_scale(s.one)


@pytest.mark.conformance(BASIC + "should list, patch and delete a collection of StatefulSets [Conformance]")
@simulated
async def test_stateful_sets_are_listed_patched_and_deleted_together():
    """The patch names a container that is not there: it comes first. Names are told apart by their case."""
    async with workloads() as k:
        s = await running_set(k, stateful_set("test-ss", 1, {"name": "sample-pod", "pod": "httpd"}))
        await s.all_are(1)
        await s.observed()
        pod = {"TerminationGracePeriodSeconds": 1, "containers": [{"name": "test-ss", "image": "pause"}]}
        change = {"metadata": {"labels": {"test-ss": "patched"}}, "spec": {"replicas": 2, "template": {"spec": pod}}}
        await k.ok("PATCH", s.one, change)
        ss = await s.get()
        assert (ss["spec"]["replicas"], image_of(ss)) == (2, "pause")
        assert ss["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
        await s.all_are(2)
        await s.observed()
        assert len(await k.items(f"{EVERYWHERE}?labelSelector=test-ss%3Dpatched")) == 1
        options = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 1}
        await k.ok("DELETE", f"{SETS}?labelSelector=test-ss%3Dpatched", options)
        assert await k.items(f"{EVERYWHERE}?labelSelector=test-ss%3Dpatched") == []


@pytest.mark.conformance(BASIC + "should validate Statefulset Status endpoints [Conformance]")
@simulated
async def test_the_status_of_a_stateful_set_is_its_own():
    async with workloads() as k:
        since = await k.since(f"{EVERYWHERE}?labelSelector=e2e%3Dtesting")
        s = await running_set(k, stateful_set())
        await s.all_are(1)
        await s.observed()
        await k.ok("PATCH", s.one, {"metadata": {"labels": {"e2e": "testing"}}})
        await k.validate_status(SETS, "ss", since, "e2e%3Dtesting")


async def test_stateful_sets_have_every_verb(api):
    await api.cycle(SETS, stateful_set(), status={"replicas": 1, "availableReplicas": 0})
