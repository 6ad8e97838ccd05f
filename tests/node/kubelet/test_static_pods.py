"""Static Pods on real containerd: they need no API server, and the API shows them as mirrors."""

import asyncio
import json
from pathlib import Path

import pytest
from bench._containerd import IMAGE, OwnContainerd
from bench._node import NodeUnderTest, gone, running, serving
from bench._process import ProcessNode
from tests.node.cri import until

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import State
from pybernetes.kubelet.status.machine import read_machine
from pybernetes.wire.http import Request, Response
from pybernetes.wire.server import HttpServer

pytestmark = pytest.mark.root

MIRROR = "web-n1"
STOPPED_LATE = "trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.05; done"


def manifest(name: str, script: str) -> dict[str, object]:
    """A Pod of one container."""
    container = {"name": "c", "image": IMAGE, "command": ["sh", "-c", script]}
    spec = {"hostNetwork": True, "terminationGracePeriodSeconds": 5, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def write(one: NodeUnderTest, name: str, script: str) -> Path:
    """A manifest, written as kubeadm does: beside its place, then renamed."""
    fresh = one.manifests / f".{name}.yaml"
    fresh.write_text(json.dumps(manifest(name, script)))
    return fresh.rename(one.manifests / f"{name}.yaml")


async def running_uids(one: NodeUnderTest) -> set[str]:
    return {c.pod.uid for c in await one.runtime.containers() if c.state == State.RUNNING}


def hash_of(pod: core_v1.Pod) -> str:
    return pod.metadata.annotations["kubernetes.io/config.hash"]


async def test_a_manifest_runs_and_its_mirror_shows_it(one: NodeUnderTest) -> None:
    file = write(one, "web", "sleep 1000")
    mirror = await one.until(MIRROR, running)
    assert await running_uids(one) == {hash_of(mirror)}
    assert mirror.metadata.annotations["kubernetes.io/config.mirror"] == hash_of(mirror)
    assert mirror.metadata.ownerReferences[0].kind == "Node"
    assert mirror.metadata.uid != hash_of(mirror)
    file.unlink()
    await one.until(MIRROR, gone)
    assert await running_uids(one) == set()


async def test_a_deleted_mirror_comes_back_and_the_pod_never_stops(one: NodeUnderTest) -> None:
    write(one, "web", "sleep 1000")
    first = await one.until(MIRROR, running)
    await one.pods.delete(Key("default", MIRROR))
    second = await one.until(MIRROR, lambda p: running(p) and p is not None and p.metadata.uid != first.metadata.uid)
    assert second.status.containerStatuses[0].containerID == first.status.containerStatuses[0].containerID


async def test_a_changed_manifest_ends_the_old_pod_before_the_new_one_starts(one: NodeUnderTest) -> None:
    write(one, "web", STOPPED_LATE)
    first = await one.until(MIRROR, running)
    write(one, "web", "sleep 1001")
    both = False

    async def changed() -> bool:
        nonlocal both
        uids = await running_uids(one)
        both = both or len(uids) > 1
        return bool(uids) and hash_of(first) not in uids

    await until(changed, "the new Pod runs")
    assert not both
    second = await one.until(MIRROR, lambda p: running(p) and p is not None and hash_of(p) != hash_of(first))
    assert await running_uids(one) == {hash_of(second)}


async def test_static_pods_start_without_the_api_server_and_their_statuses_catch_up(one: NodeUnderTest) -> None:
    await one.create("ordinary")
    await one.until("ordinary", running)
    await one.stop_kubelet()
    one.cut = True
    write(one, "web", "sleep 1000")
    kubelet = await one.start_kubelet()

    async def two() -> bool:
        return len(await running_uids(one)) == 2  # the ordinary Pod is no orphan only because nobody answers

    await until(two, "the static Pod runs")
    assert kubelet.find("default", MIRROR) is not None
    assert await one.get(MIRROR) is None
    one.cut = False
    await one.until(MIRROR, running)
    await one.until("ordinary", running)


async def test_a_new_kubelet_takes_up_what_runs(one: NodeUnderTest) -> None:
    write(one, "web", "sleep 1000")
    before = await one.until(MIRROR, running)
    await one.stop_kubelet()
    kubelet = await one.start_kubelet()
    await asyncio.wait_for(kubelet.table.complete.wait(), 10)
    after = await one.until(MIRROR, running)
    assert after.status.containerStatuses == before.status.containerStatuses
    assert after.metadata.uid == before.metadata.uid


async def test_a_manifest_that_changed_while_no_kubelet_ran_ends_the_old_pod_first(one: NodeUnderTest) -> None:
    write(one, "web", "sleep 1000")
    first = await one.until(MIRROR, running)
    await one.stop_kubelet()
    write(one, "web", "sleep 1001")
    await one.start_kubelet()
    second = await one.until(MIRROR, lambda p: running(p) and p is not None and hash_of(p) != hash_of(first))
    assert await running_uids(one) == {hash_of(second)}


async def test_without_a_kubeconfig_static_pods_run_alone_from_files_and_from_a_url(
    containerd: OwnContainerd, tmp_path: Path
) -> None:
    items = [manifest("far", "sleep 1000")]

    async def answer(request: Request) -> Response:
        if request.headers.get("x-asked-by") != "kubelet":
            return Response(403)
        return Response(200, body=json.dumps({"apiVersion": "v1", "kind": "PodList", "items": items}).encode())

    async def names() -> set[str]:
        return {c.pod.name for c in await one.runtime.containers() if c.state == State.RUNNING}

    one = ProcessNode(tmp_path, containerd)
    one.standalone = True
    server = HttpServer(answer)
    await server.start("127.0.0.1", 0)
    one.more = {
        "staticPodPath": str(one.manifests),
        "staticPodURL": f"http://127.0.0.1:{server.port}/pods?node=n1",
        "staticPodURLHeader": {"x-asked-by": ["kubelet"]},
        "httpCheckFrequency": "100ms",
        "systemReserved": {"memory": "100Mi"},
    }
    async with serving(one):
        try:
            file = write(one, "near", "sleep 1000")
            await one.start_kubelet()

            async def both() -> bool:
                return await names() == {"near-n1", "far-n1"}

            await until(both, "both Pods run")
            assert "Node/n1 Normal NodeAllocatableEnforced: Updated Node Allocatable limit across pods" in one.log()
            tree = PodCgroups(containerd.cgroup.path)
            assert tree.memory_limit(tree.root) == read_machine(one.folder).memory - 100 * 2**20
            items.clear()
            file.unlink()

            async def none() -> bool:
                return await names() == set()

            await until(none, "both Pods have ended")
        finally:
            await one.kill_kubelet()
            await server.stop()
