"""Time that moves by hand, with real sockets: an unmodified kubectl beside leases that expire."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.component.testing.manifests import deployment

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.testing import Cluster, OptionError, SyncCluster

KUBECTL = str(Path(sys.executable).with_name("kubectl"))
EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e"},
    "involvedObject": {"namespace": "default"},
}
UNPLACED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "unplaced"},
    "spec": {"nodeSelector": {"none": "such"}, "containers": [{"name": "c", "image": "i"}]},
}


def kubectl(cluster: SyncCluster, *words: str) -> dict:
    asked = [KUBECTL, *words, "-o", "json", "--kubeconfig", str(cluster.kubeconfig())]
    return json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)


def test_kubectl_lives_beside_time_that_is_moved():
    with SyncCluster(time="manual") as cluster:
        cluster.apply(deployment("web", 1))
        cluster.wait("deployment/web", "condition=Available")
        before = renewed(kubectl(cluster, "get", "lease", "node-1", "-n", "kube-node-lease"))
        again = renewed(kubectl(cluster, "get", "lease", "node-1", "-n", "kube-node-lease"))
        assert again == before
        cluster.advance(minutes=5)
        after = renewed(kubectl(cluster, "get", "lease", "node-1", "-n", "kube-node-lease"))
        assert 290 <= after - before <= 300  # renewed every ten seconds, to the last


def renewed(lease: dict) -> float:
    from pybernetes.aio.clock import parse_time

    return parse_time(lease["spec"]["renewTime"])


async def test_what_is_due_is_done_when_advance_returns():
    async with Cluster(time="manual", nodes=0) as cluster:
        await cluster.apply(EVENT)
        events = cluster.client().of(core_v1.Event)
        assert [event.metadata.name for event in (await events.list("default")).items] == ["e"]
        await cluster.advance(hours=1, seconds=2)
        assert (await events.list("default")).items == ()
        with pytest.raises(ValueError, match="time goes forward only"):
            await cluster.advance(-1)
        with pytest.raises(ValueError, match="not for ever"):
            await cluster.advance(float("inf"))


async def test_watches_cross_from_thread_to_loop():
    async with Cluster(time="manual") as cluster:
        pods = cluster.client().of(core_v1.Pod)
        revision = (await pods.list("default")).revision
        await cluster.apply(UNPLACED)
        events = pods.watch(revision, "default")
        async with asyncio.timeout(20):
            event = await anext(events)
        await events.aclose()
        assert event.key == Key("default", "unplaced")


def test_on_real_time_nothing_advances_by_hand():
    with SyncCluster(nodes=0) as cluster, pytest.raises(OptionError, match="time='simulated' or time='manual'"):
        cluster.advance(1)
