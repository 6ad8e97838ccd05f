"""Names of nodes, the join command in what kubeadm prints, the cluster's record, and waiting for the API."""

import asyncio
import socket
from pathlib import Path

import msgspec
import pytest

from pybernetes.aio.clock import SystemClock
from pybernetes.aio.simulation import run_simulated
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.assembly.cluster import (
    ClusterRecord,
    LocalCluster,
    all_ready,
    join_command,
    node_names,
    together,
    until,
)
from pybernetes.localcluster import containerd
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.sandbox import NodeSandbox
from pybernetes.testing import Cluster

PRINTED = r"""
Your Kubernetes control-plane has initialized successfully!

Then you can join any number of worker nodes by running the following on each as root:

kubeadm join 10.99.0.2:6443 --token abcdef.0123456789abcdef \
	--discovery-token-ca-cert-hash sha256:1234
"""


async def test_work_done_together_ends_with_its_first_error() -> None:
    never = asyncio.Event()

    async def fails() -> None:
        raise LocalClusterError("the reason")

    with pytest.raises(LocalClusterError, match="the reason"):
        await together(never.wait(), fails())


def test_the_first_node_is_the_master() -> None:
    assert node_names(1) == ("master",)
    assert node_names(3) == ("master", "worker-1", "worker-2")


def test_the_join_command_is_read_over_its_continued_line() -> None:
    command = ["kubeadm", "join", "10.99.0.2:6443", "--token", "abcdef.0123456789abcdef"]
    assert join_command(PRINTED) == [*command, "--discovery-token-ca-cert-hash", "sha256:1234"]


def test_output_without_a_join_command_is_refused() -> None:
    with pytest.raises(LocalClusterError, match="no join command"):
        join_command("kubeadm went home\n")


def test_a_record_is_found_again_and_a_broken_one_is_no_cluster(tmp_path: Path) -> None:
    record = ClusterRecord("here", node_names(2), 6443)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "cluster.json").write_bytes(msgspec.json.encode(record))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "cluster.json").write_text("{")
    found = LocalCluster.open("here", SystemClock(), tmp_path)
    assert found is not None
    assert found.record == record
    assert list(found.nodes) == ["master", "worker-1"]
    assert found.kubeconfig == tmp_path / "here" / "admin.conf"
    found.switch.close()
    assert LocalCluster.open("broken", SystemClock(), tmp_path) is None
    assert LocalCluster.open("nowhere", SystemClock(), tmp_path) is None


async def test_a_node_that_is_on_keeps_its_door_when_another_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[NodeSandbox] = []

    async def ready(node: NodeSandbox) -> None:
        asked.append(node)

    monkeypatch.setattr(NodeSandbox, "running", True)
    monkeypatch.setattr(containerd, "wait_ready", ready)
    with socket.create_server(("127.0.0.1", 0)) as door:
        cluster = LocalCluster(ClusterRecord("here", node_names(2), door.getsockname()[1]), SystemClock(), tmp_path)
        await cluster.power_on("master")
    cluster.switch.close()
    assert asked == [cluster.master]
    assert list(tmp_path.iterdir()) == []


def test_what_a_node_said_before_it_was_switched_off_does_not_make_it_ready() -> None:
    def node(name: str, status: str, heard: str) -> core_v1.Node:
        ready = core_v1.NodeCondition(type="Ready", status=status, lastHeartbeatTime=heard)
        return core_v1.Node(metadata=meta_v1.ObjectMeta(name=name), status=core_v1.NodeStatus(conditions=(ready,)))

    nodes = [node("old", "True", "2026-01-01T00:00:00Z"), node("new", "True", "2026-01-01T00:01:00Z")]
    switched_on = 1767225660.7  # 00:01:00.7: heartbeats have whole seconds
    assert all_ready(nodes, ["old", "new"])
    assert all_ready(nodes, ["new"], switched_on)
    assert not all_ready(nodes, ["old", "new"], switched_on)
    assert not all_ready([node("new", "False", "2026-01-01T00:02:00Z")], ["new"])
    assert not all_ready(nodes, ["none"])


def test_waiting_ends_with_what_was_waited_for() -> None:
    async def main() -> None:
        async with Cluster(nodes=0) as cluster:
            with pytest.raises(LocalClusterError, match="not within 5 s: a node"):
                await until(cluster.client(), core_v1.Node, lambda nodes: len(nodes) > 0, "a node", timeout=5)
            spaces = await until(cluster.client(), core_v1.Namespace, lambda found: len(found) >= 3, "namespaces")
            assert {"default", "kube-system"} <= {space.metadata.name for space in spaces}

    run_simulated(main())
