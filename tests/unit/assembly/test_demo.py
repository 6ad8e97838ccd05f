"""What the demonstration says of a Pod: when each step was seen, and whether it is ready."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.assembly.cluster import ClusterRecord, LocalCluster, claimed, node_names
from pybernetes.assembly.demo import Demonstration, Timeline
from pybernetes.assembly.progress import Progress
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.rules.readiness import is_ready
from pybernetes.testing import Cluster


def pod(*conditions: dict[str, Any]) -> core_v1.Pod:
    metadata = {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return msgspec.convert({"metadata": metadata, "status": {"conditions": conditions}}, core_v1.Pod)


READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}


async def test_the_timeline_has_every_step_from_the_creation_on() -> None:
    clock: Clock = SystemClock()
    async with Cluster() as cluster:
        client = cluster.client()
        timeline = Timeline(client, "web", clock)
        following = asyncio.create_task(timeline.follow())
        spec = {"containers": [{"name": "main", "image": "web"}]}
        await client.raw("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "web"}, "spec": spec})
        while not is_ready(await client.of(core_v1.Pod).get(Key("default", "web"))) or len(timeline.rows()) < 4:
            await asyncio.sleep(0)
        following.cancel()
        await asyncio.wait([following])
    steps = [step for step, _ in timeline.rows()]
    assert steps[0] == "created"
    assert {"scheduled", "running", "ready"} <= set(steps)
    assert timeline.rows()[0][1] == 0


def test_a_pod_is_ready_by_its_condition_alone() -> None:
    assert is_ready(pod(READY))
    assert not is_ready(pod(READY | {"status": "False"}))
    assert not is_ready(pod())


async def test_two_demonstrations_do_not_run_at_once(tmp_path: Path) -> None:
    clock = SystemClock()
    demonstration = Demonstration(tmp_path, Progress(clock, quiet=True), clock)
    demonstration.cluster = LocalCluster(ClusterRecord("demo", node_names(3), 0), clock, tmp_path)
    with claimed(demonstration.cluster.folder), pytest.raises(LocalClusterError, match="another pybernetes command"):
        await demonstration.run()
