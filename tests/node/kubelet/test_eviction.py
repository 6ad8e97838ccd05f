"""Eviction on a real containerd: a disk that really is full, and Pods that take more local storage than they may."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from bench._containerd import IMAGE, OwnContainerd
from bench._node import NODE, NodeUnderTest, node, running
from tests.node.cri import until

from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts

pytestmark = pytest.mark.root

_SIZE = 64 << 20


@pytest_asyncio.fixture
async def small(containerd: OwnContainerd, tmp_path: Path) -> AsyncIterator[NodeUnderTest]:
    """A node whose kubelet has its folder on a disk of 64 MiB, and looks often."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounts.mount("tmpfs", folder, "tmpfs", options=f"size={_SIZE},mode=755")
    try:
        hard = {"nodefs.available": "50%", "memory.available": "1Mi"}
        async with node(
            folder,
            containerd,
            eviction_hard=hard,
            eviction_pressure_transition_period=1.0,
            volume_stats_agg_period=1.0,
        ) as made:
            yield made
    finally:
        mounts.unmount_below(folder)


def empty_dir(limit: str | None = None) -> core_v1.Volume:
    return core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource(sizeLimit=limit))


def writing(size: str, to: str, **limits: str) -> core_v1.Container:
    """Writes so much and then waits."""
    return core_v1.Container(
        name="c",
        image=IMAGE,
        command=("sh", "-c", f"dd if=/dev/zero of={to} bs={size} count=1 2>/dev/null; exec sleep 1000"),
        volumeMounts=(core_v1.VolumeMount(name="v", mountPath="/v"),),
        resources=core_v1.ResourceRequirements(limits=limits, requests=limits),
    )


def evicted(pod: core_v1.Pod | None) -> bool:
    return pod is not None and (pod.status.phase, pod.status.reason) == ("Failed", "Evicted")


async def pressure(one: NodeUnderTest, status: str) -> None:
    async def holds() -> bool:
        found = await one.client.of(core_v1.Node).get(NODE)
        return any(c.type == "DiskPressure" and c.status == status for c in found.status.conditions)

    await until(holds, f"DiskPressure {status}")


async def test_a_full_disk_ends_the_pod_that_fills_it_and_refuses_new_ones_until_it_is_free(
    small: NodeUnderTest,
) -> None:
    await small.create("calm", containers=(writing("1k", "/v/f"),), volumes=(empty_dir(),))
    await small.until("calm", running)
    await small.create("filler", containers=(writing("40M", "/v/f"),), volumes=(empty_dir(),))
    # The kubelet looks every ten seconds.
    pod = await small.until("filler", evicted, timeout=40.0)
    assert pod.status.message.startswith(
        "The node was low on resource: ephemeral-storage. Threshold quantity: 32Mi, available: "
    )
    disruption = next(c for c in pod.status.conditions if c.type == "DisruptionTarget")
    assert (disruption.status, disruption.reason) == ("True", "TerminationByKubelet")
    await pressure(small, "True")
    await small.create("late")
    late = await small.until("late", evicted)
    assert late.status.message == "Pod was rejected: The node had condition: [DiskPressure]. "
    await pressure(small, "False")
    await small.create("later")
    await small.until("later", running)
    assert running(await small.get("calm"))


async def test_a_pod_that_writes_more_than_its_limit_is_evicted_and_no_other(small: NodeUnderTest) -> None:
    await small.create("within", containers=(writing("1M", "/v/f"),), volumes=(empty_dir("4Mi"),))
    await small.create("over", containers=(writing("6M", "/v/f"),), volumes=(empty_dir("4Mi"),))
    limited = writing("1k", "/f", **{"ephemeral-storage": "2Mi"})
    chatty = core_v1.Container(
        name="c",
        image=IMAGE,
        command=("sh", "-c", "yes 'a line that is long enough to count' | head -c 6000000; exec sleep 1000"),
        resources=limited.resources,
    )
    await small.create("chatty", containers=(chatty,))
    pod = await small.until("over", evicted, timeout=40.0)
    assert pod.status.message == 'Usage of EmptyDir volume "v" exceeds the limit "4Mi". '
    assert not any(c.type == "DisruptionTarget" for c in pod.status.conditions)
    pod = await small.until("chatty", evicted, timeout=40.0)
    assert pod.status.message == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert running(await small.get("within"))
    await asyncio.sleep(0)
