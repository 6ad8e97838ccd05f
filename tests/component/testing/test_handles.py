"""What a test tells simulated Pods and nodes, and what the whole cluster makes of it."""

import asyncio
from typing import Any

import pytest
from tests.component.testing.manifests import deployment

from pybernetes.api.errors import ServiceUnavailable
from pybernetes.api.objects import Key, Object
from pybernetes.api.types import core_v1
from pybernetes.testing import Cluster, NotInTimeError, OptionError, OrderError, SimulatedNode, SyncCluster
from pybernetes.testing.virtual import simulated


def pod(name: str = "p", *names: str, rules: dict[str, str] | None = None, **spec: Any) -> Object:
    said = {f"simulated.pybernetes.io/{key}": text for key, text in (rules or {}).items()}
    containers = [{"name": each, "image": "web"} for each in names or ("main",)]
    meta = {"name": name, "annotations": said}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}


async def get(cluster: Cluster, name: str = "p") -> core_v1.Pod:
    return await cluster.client().of(core_v1.Pod).get(Key("default", name))


async def names(cluster: Cluster, app: str) -> list[str]:
    pods = await cluster.client().of(core_v1.Pod).list("default", labels=f"app={app}")
    return sorted(p.metadata.name for p in pods.items if not p.metadata.deletionTimestamp)


@simulated
async def test_a_pod_is_finished_once_it_runs_and_the_api_knows_it_at_once():
    async with Cluster() as cluster:
        await cluster.apply(pod(rules={"start-seconds": "10"}, restartPolicy="Never"))
        await cluster.pod("p").finish(exit_code=3, reason="Broken", message="no disk")
        found = await get(cluster)
        ended = found.status.containerStatuses[0].state.terminated
        assert (found.status.phase, ended.exitCode, ended.reason, ended.message) == ("Failed", 3, "Broken", "no disk")
        assert ended.startedAt == "2026-01-01T00:00:10Z"


@simulated
async def test_one_container_of_several_is_finished():
    async with Cluster() as cluster:
        await cluster.apply(pod("p", "first", "second", restartPolicy="Never"))
        await cluster.pod("p").finish(container="second")
        assert (await get(cluster)).status.phase == "Running"
        with pytest.raises(OrderError, match="container 'second' of pod default/p has ended already, with exit code 0"):
            await cluster.pod("p").finish(container="second")
        await cluster.pod("p").finish(container="first")
        assert (await get(cluster)).status.phase == "Succeeded"


@simulated
async def test_a_crash_is_repeated_as_often_as_one_says_with_the_kubelets_back_off():
    async with Cluster() as cluster:
        await cluster.apply(pod())
        await cluster.pod("p").crash(times=3)
        told = (await get(cluster)).status.containerStatuses[0]
        assert (told.restartCount, told.state.waiting.reason) == (1, "CrashLoopBackOff")  # the second was at once
        await cluster.advance(seconds=11)
        told = (await get(cluster)).status.containerStatuses[0]
        assert (told.restartCount, told.state.waiting.message[:13]) == (2, "back-off 20s ")
        await cluster.advance(seconds=21)
        told = (await get(cluster)).status.containerStatuses[0]
        assert (told.restartCount, told.state.running is not None) == (3, True)


@simulated
async def test_a_pod_out_of_memory_says_so():
    async with Cluster() as cluster:
        await cluster.apply(pod())
        await cluster.pod("p").oom()
        ended = (await get(cluster)).status.containerStatuses[0].lastState.terminated
        assert (ended.reason, ended.exitCode) == ("OOMKilled", 137)


@simulated
async def test_what_is_written_to_a_log_is_read_by_everybody():
    async with Cluster() as cluster:
        await cluster.apply(pod("p", "a", "b"))
        one = cluster.pod("p")
        with pytest.raises(OrderError, match="pod default/p has several containers: say container=, one of a, b"):
            await one.log("which?")
        await one.log("hello\nworld", container="b")
        await one.log("oops", container="b", stream="stderr")
        assert await one.logs(container="b") == "hello\nworld\noops\n"
        await one.finish(container="b")
        assert (await one.logs(container="b"), await one.logs(container="b", previous=True)) == (
            "",
            "hello\nworld\noops\n",
        )


@simulated
async def test_a_pod_that_is_not_ready_keeps_a_rollout_from_going_on():
    async with Cluster() as cluster:
        await cluster.apply(deployment("web", 2))
        await cluster.wait("deployment/web", "condition=Available")
        before = await names(cluster, "web")
        changed = deployment("web", 2)
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
        changed["spec"]["template"]["metadata"]["annotations"] = {"simulated.pybernetes.io/ready": "false"}
        changed["spec"]["progressDeadlineSeconds"] = 60
        await cluster.apply(changed)
        await cluster.advance(minutes=2)
        await cluster.wait("deployment/web", "condition=Progressing=False")
        now = await names(cluster, "web")
        assert set(before) <= set(now)
        (new,) = set(now) - set(before)
        await cluster.pod(new).ready()
        await cluster.advance(seconds=5)
        assert set(before) <= set(await names(cluster, "web"))  # its annotation says no


@simulated
async def test_readiness_that_is_taken_away_and_given_back_is_seen_by_services():
    async with Cluster() as cluster:
        await cluster.apply(deployment("web", 1))
        service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
        await cluster.raw("POST", "/api/v1/namespaces/default/services", service)
        await cluster.wait("pods", "condition=Ready", labels="app=web")
        (name,) = await names(cluster, "web")

        async def ready() -> list[bool]:
            path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
            slices = await cluster.raw("GET", path, query={"labelSelector": "kubernetes.io/service-name=web"})
            return [e["conditions"]["ready"] for s in slices["items"] for e in s["endpoints"]]

        await cluster.advance(seconds=2)
        found = [await ready()]
        await cluster.pod(name).ready(False)
        await cluster.advance(seconds=2)
        found.append(await ready())
        await cluster.pod(name).ready()
        await cluster.advance(seconds=2)
        assert [*found, await ready()] == [[True], [False], [True]]


@simulated
async def test_a_pod_that_ignores_its_end_takes_its_grace():
    async with Cluster() as cluster:
        await cluster.apply(pod(terminationGracePeriodSeconds=60))
        await cluster.pod("p").ignore_stop()
        await cluster.raw("DELETE", "/api/v1/namespaces/default/pods/p")
        await cluster.advance(seconds=59)
        assert (await get(cluster)).status.phase == "Running"
        await cluster.advance(seconds=2)
        assert (await cluster.raw("GET", "/api/v1/pods"))["items"] == []


@simulated
async def test_five_minutes_after_a_node_is_lost_its_pods_are_elsewhere():
    async with Cluster(nodes=2) as cluster:
        await cluster.apply(deployment("web", 4))
        await cluster.wait("deployment/web", "condition=Available")
        node = cluster.node("node-1")
        await node.fail()
        await cluster.advance(seconds=48)
        await cluster.wait("node/node-1", "condition=Ready", seconds=1)
        await cluster.advance(seconds=4)
        await cluster.wait("node/node-1", "condition=Ready=Unknown", seconds=1)
        assert len(await names(cluster, "web")) == 4
        await cluster.advance(minutes=5, seconds=10)
        pods = (await cluster.client().of(core_v1.Pod).list()).items
        living = [p for p in pods if not p.metadata.deletionTimestamp]
        assert {p.spec.nodeName for p in living} == {"node-2"}
        assert (len(living), len(pods)) == (4, 6)  # those of the lost node cannot be ended: nobody is there to do it
        await node.recover()
        await cluster.advance(seconds=10)
        await cluster.wait("node/node-1", "condition=Ready", seconds=1)
        assert len((await cluster.client().of(core_v1.Pod).list()).items) == 4


@simulated
async def test_a_cordoned_node_gets_no_pods():
    async with Cluster(nodes=2) as cluster:
        await cluster.node("node-1").cordon()
        await cluster.apply(deployment("web", 3))
        await cluster.wait("deployment/web", "condition=Available")
        pods = (await cluster.client().of(core_v1.Pod).list()).items
        assert {p.spec.nodeName for p in pods} == {"node-2"}
        await cluster.node("node-1").uncordon()
        await cluster.node("node-2").cordon()
        await cluster.apply(pod("late"))
        await cluster.wait("pod/late", "condition=Ready")
        assert (await get(cluster, "late")).spec.nodeName == "node-1"


@simulated
async def test_orders_that_cannot_be_obeyed_say_why():
    async with Cluster() as cluster:
        await cluster.raw("POST", "/api/v1/nodes", {"metadata": {"name": "real"}})
        await cluster.apply(pod("elsewhere", nodeName="real"))
        await cluster.apply(pod("large", nodeSelector={"disk": "fast"}))
        await cluster.apply(pod("slow", rules={"start-seconds": "100"}))
        await cluster.apply(pod("done", restartPolicy="Never", rules={"exit-code": "1"}))
        await cluster.advance(seconds=1)
        for name, error, why in (
            ("none", OrderError, "there is no pod default/none"),
            ("elsewhere", OrderError, "pod default/elsewhere is on real, which is no simulated node"),
            ("done", OrderError, "pod default/done has ended already: Failed"),
            ("slow", NotInTimeError, "pod default/slow: it does not run after 5 s: Pending, on node-1"),
            ("large", NotInTimeError, r"it does not run after 5 s: Pending, not scheduled \(0/2 nodes are"),
        ):
            with pytest.raises(error, match=why):
                await cluster.pod(name, seconds=5).finish()
        with pytest.raises(OrderError, match="pod default/slow has no container 'other'; it has: main"):
            await cluster.pod("slow").finish(container="other")
        with pytest.raises(OrderError, match="there is no simulated node 'node-7'; there are: node-1"):
            await cluster.node("node-7").fail()
        await cluster.node("node-1").fail()
        with pytest.raises(OrderError, match="pod default/slow is on node node-1, which has failed"):
            await cluster.pod("slow").ready(False)


@simulated
async def test_a_cluster_without_nodes_has_nobody_to_order():
    async with Cluster(nodes=0) as cluster:
        with pytest.raises(OrderError, match="this cluster has no simulated nodes"):
            await cluster.node("node-1").fail()


@simulated
async def test_values_that_are_none_are_refused():
    async with Cluster() as cluster:
        await cluster.apply(pod())
        one = cluster.pod("p")
        with pytest.raises(ValueError, match="exit_code: 256"):
            await one.finish(256)
        with pytest.raises(ValueError, match="times: 0"):
            await one.crash(times=0)
        with pytest.raises(ValueError, match="stream: 'stdin'"):
            await one.log("x", stream="stdin")


async def test_orders_are_obeyed_on_real_time_too():
    async with Cluster() as cluster, asyncio.timeout(30):
        await cluster.apply(pod(restartPolicy="Never"))
        one = cluster.pod("p")
        await one.log("by hand")
        await one.finish()
        assert (await get(cluster)).status.phase == "Succeeded"
        assert await one.logs() == "by hand\n"


@simulated
async def test_kubelets_come_as_their_nodes():
    async with Cluster(nodes=2) as cluster:
        await cluster.apply(pod(nodeName="node-2"))
        await cluster.wait("pod/p", "condition=Ready")
        cluster.audit.assert_count(at_least=1, user="system:node:node-2", verb="patch", resource="pods/status")
        cluster.audit.assert_none(user="system:node:node-1", resource="pods/status")


@simulated
async def test_pods_are_what_they_were_when_a_state_is_restored():
    async with Cluster() as cluster:
        for name, rules in (("loop", {"exit-code": "1"}), ("short", {"run-seconds": "60"}), ("long", {}), ("off", {})):
            await cluster.apply(pod(name, rules=rules, restartPolicy="Always" if name == "loop" else "Never"))
        await cluster.pod("off").ready(False)
        await cluster.pod("long").log("before")
        await cluster.advance(seconds=15)
        state = await cluster.checkpoint()
        before = {name: (await get(cluster, name)).status for name in ("loop", "short", "long", "off")}
        await cluster.pod("long").finish(exit_code=1)
        await cluster.pod("off").ready()
        await cluster.raw("DELETE", "/api/v1/namespaces/default/pods/short")
        await cluster.apply(pod("late"))
        await cluster.advance(seconds=200)
        await cluster.restore(state)
        with cluster.audit.recording() as calls:
            await cluster.advance(seconds=0.5)
            assert {name: (await get(cluster, name)).status for name in ("long", "off")} == {
                name: before[name] for name in ("long", "off")
            }
            # What was due in the time between comes at once: the end of the short one, and the next run of the loop.
            assert {call.name for call in calls.writes(resource="pods/status")} == {"loop", "short"}
            assert calls.calls(resource="events", verb="create", where=lambda call: b"Killing" in call.body) == []
        assert await cluster.pod("long").logs() == "before\n"
        await cluster.pod("long").finish()
        assert (await get(cluster, "long")).status.phase == "Succeeded"
        await cluster.advance(seconds=30)
        assert (await get(cluster, "short")).status.phase == "Succeeded"
        assert (await get(cluster, "off")).status.containerStatuses[0].ready is False
        assert (await get(cluster, "loop")).status.containerStatuses[0].restartCount == 3


def test_without_await_the_words_are_the_same():
    for time in ("real", "simulated"):
        with SyncCluster(time=time) as cluster:
            cluster.apply(pod(restartPolicy="Never"))
            one = cluster.pod("p")
            one.ready(False)
            one.ignore_stop()
            one.log("by hand")
            assert one.logs() == "by hand\n"
            one.finish(exit_code=2)
            with pytest.raises(OrderError, match="has ended already: Failed"):
                one.crash()
            node = cluster.node("node-1")
            node.cordon()
            node.uncordon()
            node.fail()
            with pytest.raises(ServiceUnavailable, match="has no power"):
                one.logs()
            node.recover()


async def test_orders_reach_a_cluster_whose_time_moves_by_hand():
    async with Cluster(time="manual") as cluster:
        await cluster.apply(pod(restartPolicy="Never", rules={"start-seconds": "10"}))
        one = cluster.pod("p", seconds=0.3)
        with pytest.raises(NotInTimeError, match=r"it does not run after 0\.3 s: Pending, on node-1"):
            await one.finish()
        await cluster.advance(seconds=11)
        await one.log("by hand")
        assert await one.logs() == "by hand\n"
        await one.finish()
        assert (await get(cluster)).status.phase == "Succeeded"
        await cluster.node("node-1").fail()
        await cluster.advance(seconds=60)
        await cluster.wait("node/node-1", "condition=Ready=Unknown")


@simulated
async def test_nodes_may_be_described():
    taint = core_v1.Taint(key="gpu", value="yes", effect="NoSchedule")
    big = SimulatedNode("big", capacity={"cpu": "32", "example.com/gpu": "4"}, labels={"disk": "fast"}, taints=(taint,))
    async with Cluster(nodes=("plain", big)) as cluster:
        wanted = pod(nodeSelector={"disk": "fast"}, tolerations=[{"key": "gpu", "operator": "Exists"}])
        requests = {"cpu": "20", "example.com/gpu": "2"}
        wanted["spec"]["containers"][0]["resources"] = {"requests": requests, "limits": {"example.com/gpu": "2"}}
        await cluster.apply(wanted)
        await cluster.wait("pod/p", "condition=Ready")
        assert (await get(cluster)).spec.nodeName == "big"


def test_what_is_no_node_is_refused():
    with pytest.raises(OptionError, match="nodes: 3 is not allowed; allowed: names and SimulatedNodes"):
        Cluster(nodes=("one", 3))
    with pytest.raises(OptionError, match="nodes: 'one' is not allowed; allowed: names that differ"):
        Cluster(nodes=("one", SimulatedNode("one")))
