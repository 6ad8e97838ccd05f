"""Limits on a real containerd: what a Pod may use is what it uses, and its neighbours do not notice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from bench._containerd import IMAGE, OwnContainerd
from bench._node import NodeUnderTest, gone, node, running

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import State

pytestmark = pytest.mark.root

_PIDS = 40


@pytest_asyncio.fixture
async def limited(containerd: OwnContainerd, tmp_path: Path) -> AsyncIterator[NodeUnderTest]:
    async with node(tmp_path, containerd, pod_pids_limit=_PIDS) as made:
        yield made


def wanting(*command: str, **limits: str) -> core_v1.Container:
    resources = core_v1.ResourceRequirements(limits=limits, requests=limits)
    return core_v1.Container(name="c", image=IMAGE, command=command, resources=resources)


def group_file(one: NodeUnderTest, pod: core_v1.Pod, *names: str) -> Path:
    """The first of some files that there is in the Pod's cgroup."""
    for name in names:
        for folder in one.containerd.cgroup.folders():
            for parent in ("kubepods", "kubepods/burstable", "kubepods/besteffort"):
                file = folder / parent / f"pod{pod.metadata.uid}" / name
                if file.exists():
                    return file
    raise FileNotFoundError(names)


async def container(one: NodeUnderTest, pod: core_v1.Pod) -> str:
    return next(c.id for c in await one.runtime.containers(pod.metadata.uid) if c.state == State.RUNNING)


def seconds(one: NodeUnderTest, pod: core_v1.Pod) -> float:
    """CPU time that a Pod has used."""
    file = group_file(one, pod, "cpuacct.usage", "cpu.stat")
    text = file.read_text()
    return int(text) / 1e9 if file.name == "cpuacct.usage" else int(text.split()[1]) / 1e6


def reason(pod: core_v1.Pod | None) -> str:
    """Why the Pod's container has ended."""
    state = pod.status.containerStatuses[0].state if pod is not None and pod.status.containerStatuses else None
    return state.terminated.reason if state is not None and state.terminated is not None else ""


async def test_a_pod_gets_no_more_cpu_than_its_limit(limited: NodeUnderTest) -> None:
    loop = wanting("sh", "-c", "while :; do :; done", cpu="100m", memory="32Mi")
    await limited.create("busy", containers=(loop,))
    pod = await limited.until("busy", running)
    began, used = limited.clock.monotonic(), seconds(limited, pod)
    while seconds(limited, pod) - used < 0.2:
        await asyncio.sleep(0.1)
    # 0.2 s of CPU at a tenth of one are two seconds; one period more or less.
    assert limited.clock.monotonic() - began > 1.5
    assert group_file(limited, pod, "cpu.shares", "cpu.weight").read_text().strip() in ("102", "17")


async def test_a_pod_that_takes_more_memory_than_its_limit_is_killed_and_no_other(limited: NodeUnderTest) -> None:
    await limited.create("neighbour")
    neighbour = await limited.until("neighbour", running)
    before = await container(limited, neighbour)
    # containerd begins to watch a container's memory after it has started it: what dies before that died for no reason.
    eats = "sleep 0.5; exec dd if=/dev/zero of=/dev/null bs=200M count=1"
    hungry = wanting("sh", "-c", eats, cpu="1", memory="16Mi")
    await limited.create("hungry", containers=(hungry,), restartPolicy="Never")
    pod = await limited.until("hungry", lambda p: reason(p) == "OOMKilled")
    assert pod.status.phase == "Failed"
    ended = pod.status.containerStatuses[0].state.terminated
    assert ended is not None
    assert ended.exitCode == 137
    assert await container(limited, neighbour) == before


async def test_a_container_whose_child_was_killed_for_want_of_memory_says_so(limited: NodeUnderTest) -> None:
    eats = "sleep 0.5; dd if=/dev/zero of=/dev/null bs=200M count=1; exit 5"
    for number in range(3):  # the runtime hears of it before or after the end
        hungry = wanting("sh", "-c", eats, cpu="1", memory="16Mi")
        await limited.create(f"parent-{number}", containers=(hungry,), restartPolicy="Never")
        pod = await limited.until(f"parent-{number}", lambda p: reason(p) == "OOMKilled")
        ended = pod.status.containerStatuses[0].state.terminated
        assert ended is not None
        assert ended.exitCode == 5


async def test_a_fork_bomb_stays_within_its_pod(limited: NodeUnderTest) -> None:
    await limited.create("neighbour")
    neighbour = await limited.until("neighbour", running)
    before = await container(limited, neighbour)
    # Bounded whatever happens: it would make 200 processes and no more, each for a minute at most.
    bomb = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; wait"
    await limited.create("bomb", containers=(wanting("sh", "-c", bomb, cpu="500m", memory="64Mi"),))
    pod = await limited.until("bomb", lambda p: bool(p and any(c.containerID for c in p.status.containerStatuses)))
    # A shell that cannot fork ends, so the most there ever was tells, not what there is now.
    for _ in range(200):
        most = int(group_file(limited, pod, "pids.peak").read_text())
        if most == _PIDS:
            break
        await asyncio.sleep(0.05)
    assert most == int(group_file(limited, pod, "pids.max").read_text()) == _PIDS
    assert (await limited.runtime.exec(await container(limited, neighbour), ("true",), 5.0)).exit_code == 0
    await limited.pods.delete(Key("default", "bomb"), grace=0)
    await limited.until("bomb", gone)
    assert await container(limited, neighbour) == before


async def test_all_pods_together_are_held_to_the_nodes_allocatable(containerd: OwnContainerd, tmp_path: Path) -> None:
    reserved = {"cpu": "500m", "memory": "256Mi"}
    async with node(tmp_path, containerd, system_reserved=reserved) as one:
        await one.create("web", containers=(wanting("sleep", "1000", cpu="100m"),))
        await one.until("web", running)
        assert one.kubelet is not None
        assert one.kubelet.node.node is not None
        capacity = one.kubelet.node.node.status.capacity
        groups = [f / "kubepods" for f in containerd.cgroup.folders()]
        files = {n: f / n for f in groups for n in ("memory.limit_in_bytes", "memory.max") if (f / n).exists()}
        memory = int(capacity["memory"].removesuffix("Ki")) * 1024 - (256 << 20)
        for _ in range(100):
            found = {int(text) for f in files.values() if (text := f.read_text().strip()).isdigit()}
            if found == {memory // 4096 * 4096}:
                break
            await asyncio.sleep(0.05)
        assert found == {memory // 4096 * 4096}


async def test_a_critical_pod_takes_the_place_of_another(containerd: OwnContainerd, tmp_path: Path) -> None:
    async with node(tmp_path, containerd, max_pods=1) as one:
        await one.create("first")
        await one.until("first", running)
        await one.create("critical", priorityClassName="system-node-critical")
        victim = await one.until("first", lambda p: p is not None and p.status.phase == "Failed")
        assert (victim.status.reason, victim.status.message) == (
            "Preempting",
            "Preempted in order to admit critical pod",
        )
        disruption = next(c for c in victim.status.conditions if c.type == "DisruptionTarget")
        assert (disruption.status, disruption.reason) == ("True", "TerminationByKubelet")
        await one.until("critical", running)
