"""A simulated node takes Pods, refuses them, resizes them and gives them addresses as a kubelet does."""

import ipaddress
from typing import Any

from tests.unit.assembly.simulated.worlds import World, holds, main, simulated, state, world

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.description import SimulatedNode


def wants(cpu: str, name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "web", "resources": {"requests": {"cpu": cpu}}, **more}


async def resize(w: World, cpu: str) -> None:
    change = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}}
    kind = "application/strategic-merge-patch+json"
    await w.patch(change, content_type=kind, subresource="resize")
    await w.clock.sleep(1)


@simulated
async def test_what_does_not_fit_is_refused(w: World) -> None:
    await w.pod("large", containers=[wants("3")])
    await w.clock.sleep(1)
    await w.pod(containers=[wants("2")])
    await w.clock.sleep(1)
    pod = await w.get()
    message = "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000"
    assert (pod.status.phase, pod.status.reason, pod.status.message) == (
        "Failed",
        "OutOfcpu",
        f"Pod was rejected: {message}",
    )
    assert f"OutOfcpu: {message}" in await w.events()
    assert pod.status.containerStatuses == ()


@simulated
async def test_what_has_ended_leaves_its_room_to_others(w: World) -> None:
    await w.pod("large", containers=[wants("3")], restartPolicy="Never", rules={"run-seconds": "5"})
    await w.clock.sleep(6)
    await w.pod(containers=[wants("2")])
    await w.clock.sleep(1)
    assert (await w.get()).status.phase == "Running"


@simulated
async def test_a_selector_that_does_not_match_is_looked_at_once_more_before_it_refuses(w: World) -> None:
    await w.pod("wrong", nodeSelector={"disk": "fast"})
    await w.clock.sleep(1)
    assert (await w.get("wrong")).status.reason == "NodeAffinity"
    # Label and Pod come at the same moment: the node's watch may tell of the Pod first.
    agent = w.nodes.agents["one"]
    behind = agent.node
    await w.client.of(core_v1.Node).patch_raw("one", {"metadata": {"labels": {"disk": "fast"}}})
    await w.clock.sleep(1)
    agent.node = behind
    await w.pod(nodeSelector={"disk": "fast"})
    await w.clock.sleep(1)
    assert (await w.get()).status.phase == "Running"


@simulated
async def test_a_taint_that_is_not_tolerated_refuses(w: World) -> None:
    taint = {"key": "k", "effect": "NoExecute"}
    await w.client.of(core_v1.Node).patch_raw("one", {"spec": {"taints": [taint]}})
    await w.clock.sleep(1)
    await w.pod()
    await w.clock.sleep(1)
    assert (await w.get()).status.reason == "TaintToleration"


@simulated
async def test_a_critical_pod_makes_others_leave(w: World) -> None:
    await w.pod("other", containers=[wants("3")], rules={"stop-seconds": "4"})
    await w.clock.sleep(1)
    classes = {"priorityClassName": "system-node-critical"}
    critical = {"metadata": {"name": "p", "namespace": "kube-system"}, "spec": {"nodeName": "one", **classes}}
    critical["spec"]["containers"] = [wants("2")]
    await w.client.raw("POST", "/api/v1/namespaces/kube-system/pods", critical)
    await w.clock.sleep(3)
    pods = w.client.of(core_v1.Pod)
    assert (await pods.get(Key("kube-system", "p"))).status.phase == "Pending"
    await w.clock.sleep(2)
    other = await w.get("other")
    assert (other.status.phase, other.status.reason) == ("Failed", "Preempting")
    assert holds(other, "DisruptionTarget") == "True TerminationByKubelet"
    assert (await pods.get(Key("kube-system", "p"))).status.phase == "Running"


@simulated
async def test_a_resize_is_given_without_a_restart(w: World) -> None:
    await w.pod(containers=[wants("1")])
    await w.clock.sleep(1)
    await resize(w, "2")
    pod = await w.get()
    told = main(pod)
    assert (told.allocatedResources, told.resources.requests, told.restartCount) == ({"cpu": "2"}, {"cpu": "2"}, 0)
    assert (holds(pod, "PodResizePending"), holds(pod, "PodResizeInProgress")) == ("none", "none")
    assert [e.partition(":")[0] for e in await w.events()][-2:] == ["ResizeStarted", "ResizeCompleted"]


@simulated
async def test_a_resize_restarts_a_container_that_wants_it_so(w: World) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    await w.pod(containers=[wants("1", resizePolicy=policy)])
    await w.clock.sleep(1)
    await resize(w, "2")
    pod = await w.get()
    assert (main(pod).allocatedResources, main(pod).restartCount, state(main(pod))) == ({"cpu": "2"}, 1, "running")
    assert "Killing: Container main resize requires restart" in await w.events()
    assert holds(pod, "PodResizeInProgress") == "none"


@simulated
async def test_a_resize_waits_for_room(w: World) -> None:
    await w.pod("other", containers=[wants("2")], restartPolicy="Never")
    await w.pod(containers=[wants("1")])
    await w.clock.sleep(1)
    await resize(w, "3")
    pod = await w.get()
    assert (holds(pod, "PodResizePending"), main(pod).allocatedResources) == ("True Deferred", {"cpu": "1"})
    (await w.simulated("other")).end("main", 0)
    await w.clock.sleep(2)
    pod = await w.get()
    assert (holds(pod, "PodResizePending"), main(pod).allocatedResources) == ("none", {"cpu": "3"})


@simulated
async def test_another_image_restarts_the_container(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    await w.patch({"spec": {"containers": [{"name": "main", "image": "web:2"}]}}, content_type=(
        "application/strategic-merge-patch+json"
    ))  # fmt: skip
    await w.clock.sleep(1)
    told = main(await w.get())
    assert (told.image, told.restartCount, state(told)) == ("web:2", 1, "running")
    assert "Killing: Container main definition changed, will be restarted" in await w.events()


# -- addresses ---------------------------------------------------------------------------------------------------------


async def give_ranges(w: World, *ranges: str) -> None:
    await w.client.of(core_v1.Node).patch_raw("one", {"spec": {"podCIDR": ranges[0], "podCIDRs": list(ranges)}})
    await w.clock.sleep(1)


@simulated
async def test_pods_have_addresses_of_their_nodes_ranges(w: World) -> None:
    await give_ranges(w, "10.1.2.0/24", "fd00:1::/64")
    await w.pod("a")
    await w.pod("b")
    await w.pod("host", hostNetwork=True)
    await w.clock.sleep(1)
    found = {name: [ip.ip for ip in (await w.get(name)).status.podIPs] for name in ("a", "b", "host")}
    assert found == {"a": ["10.1.2.2", "fd00:1::2"], "b": ["10.1.2.3", "fd00:1::3"], "host": ["198.18.0.1"]}


@simulated
async def test_an_address_is_used_again_once_its_pod_has_ended(w: World) -> None:
    await give_ranges(w, "10.1.2.0/29")  # five addresses
    names = [f"p{n}" for n in range(6)]
    for name in names:
        await w.pod(name, restartPolicy="Never")
        await w.clock.sleep(1)
    last = await w.get("p5")
    assert (last.status.phase, state(main(last))) == ("Pending", "ContainerCreating")
    assert "FailedCreatePodSandBox: Failed to create pod sandbox: no IP addresses available in range 10.1.2.0/29" in (
        await w.events("p5")
    )
    (await w.simulated("p2")).end("main", 0)
    await w.clock.sleep(16)
    assert (await w.get("p5")).status.podIP == "10.1.2.4"
    assert (await w.get("p2")).status.podIP == "10.1.2.4"  # what it had, as a Pod that has ended says


def test_pods_wait_for_the_range_of_their_node() -> None:
    async def story() -> None:
        async with world(needs_range=True) as w:
            await w.pod()
            await w.clock.sleep(5)
            assert (await w.events())[-1] == "NetworkNotReady: network is not ready: the node has no podCIDR yet"
            await give_ranges(w, "10.1.2.0/24")
            assert (await w.get()).status.podIP == "10.1.2.2"

    run_simulated(story())


def test_nodes_are_as_large_as_they_are_described() -> None:
    gpu = SimulatedNode(
        "big",
        capacity={"cpu": "64", "example.com/gpu": "8"},
        labels={"disk": "fast"},
        taints=(core_v1.Taint(key="gpu", effect="NoSchedule"),),
    )

    async def story() -> None:
        async with world([gpu, "plain"]) as w:
            big, plain = (await w.client.of(core_v1.Node).list()).items
            assert big.status.allocatable == {
                "cpu": "64", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi", "example.com/gpu": "8",
            }  # fmt: skip
            assert (big.metadata.labels["disk"], big.spec.taints[0].key) == ("fast", "gpu")
            assert plain.status.capacity["cpu"] == "4"

    run_simulated(story())


@simulated
async def test_addresses_of_nodes_without_ranges_are_their_own(w: World) -> None:
    for number in range(3):
        await w.pod(f"p{number}", nodeName=("one", "two")[number % 2])
    await w.clock.sleep(1)
    found = [(await w.get(name)).status.podIP for name in await w.names()]
    assert len(set(found)) == 3
    assert all(ipaddress.ip_address(ip) in ipaddress.ip_network("100.64.0.0/10") for ip in found)


def test_quiet_nodes_tell_only_what_is_wrong() -> None:
    async def story() -> None:
        async with world(quiet=True) as w:
            await w.pod(rules={"exit-code": "1"})
            await w.clock.sleep(5)
            assert {e.partition(":")[0] for e in await w.events()} == {"BackOff"}

    run_simulated(story())
