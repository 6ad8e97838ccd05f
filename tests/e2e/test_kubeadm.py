"""kubeadm on machines: what upstream refuses is refused, with nothing half made, and the next attempt works."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pybernetes.aio.clock import SystemClock
from pybernetes.assembly.cluster import ClusterRecord, LocalCluster, join_command
from pybernetes.assembly.progress import Progress
from pybernetes.localcluster.errors import MissingRequirement
from pybernetes.localcluster.sandbox import Result, check_machine
from pybernetes.localcluster.sweep import sweep

NAME = "e2e-kubeadm"
SKIP = "--discovery-token-unsafe-skip-ca-verification"
pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 172.30.0.11}
nodeRegistration: {name: master, kubeletExtraArgs: [{name: node-labels, value: "colour=blue"}]}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
networking: {podSubnet: 10.244.0.0/16}
apiServer: {extraArgs: [{name: v, value: "4"}]}
controllerManager: {extraArgs: [{name: node-monitor-grace-period, value: 20s}]}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 42
"""


class Machines:
    """A master that was initialized from a file, and a worker."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.join: list[str] = []

    async def on(self, node: str, *argv: str) -> Result:
        return await self.cluster.nodes[node].exec(argv, env={"KUBECONFIG": "/etc/kubernetes/admin.conf"}, timeout=300)

    async def refused(self, node: str, *argv: str) -> str:
        result = await self.on(node, *argv)
        assert result.code == 1, result.out
        assert "Traceback" not in result.err
        return result.err

    async def files(self, node: str) -> list[str]:
        """What kubeadm writes; the kubelet's own certificates come when they are signed."""
        found = (await self.on(node, "find", "/etc/kubernetes", "/var/lib/kubelet", "-type", "f")).out.split()
        changing = ("/var/lib/kubelet/pki/kubelet-", "/var/lib/kubelet/pods/")
        return [path for path in found if not path.startswith(changing)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machines() -> AsyncIterator[Machines]:
    try:
        check_machine(Path("/var/lib"))
    except MissingRequirement as error:
        pytest.skip(str(error))
    clock = SystemClock()
    cluster = LocalCluster(ClusterRecord(NAME, ("master", "worker-1")), clock)
    try:
        await cluster.machines_up(Progress(clock, quiet=True))
        cluster.master.path("/root/kubeadm.yaml").write_text(CONFIG)
        made = Machines(cluster)
        done = await made.on("master", "kubeadm", "init", "--config=/root/kubeadm.yaml")
        assert done.code == 0, done.err
        made.join = join_command(done.out)
        yield made
    finally:
        cluster.switch.close()
        await asyncio.to_thread(sweep, NAME, disks=True)


async def test_the_file_reaches_every_component(machines: Machines) -> None:
    shown = (await machines.on("master", "kubectl", "get", "node", "master", "--show-labels")).check()
    assert "colour=blue" in shown
    pods = ["kubectl", "get", "node", "master", "-o", "jsonpath={.status.capacity.pods}"]
    assert (await machines.on("master", *pods)).out == "42"
    manifests = (await machines.on("master", "sh", "-c", "cat /etc/kubernetes/manifests/*")).out
    assert "--v=4" in manifests
    assert "--node-monitor-grace-period=20s" in manifests
    stored = ["kubectl", "get", "cm", "-n", "kube-system", "kubeadm-config", "kubelet-config", "-o", "yaml"]
    text = (await machines.on("master", *stored)).check()
    assert "node-monitor-grace-period" in text
    assert "maxPods: 42" in text


async def test_a_second_init_is_refused(machines: Machines) -> None:
    before = await machines.files("master")
    said = await machines.refused("master", "kubeadm", "init", "--config=/root/kubeadm.yaml")
    assert "[ERROR Port-6443]: Port 6443 is in use" in said
    assert "[ERROR FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml]" in said
    assert await machines.files("master") == before


async def test_a_join_that_is_refused_makes_nothing(machines: Machines) -> None:
    _, _, endpoint, _, token, _, pin = machines.join
    (await machines.on("master", "kubeadm", "token", "create", "expire.0123456789abcdef", "--ttl=1s")).check()
    await machines.on("worker-1", "sleep", "1.2")
    tokens = ("aaaaaa.0123456789abcdef", "expire.0123456789abcdef", f"{token[:7]}{'0' * 16}")
    attempts = (machines.refused("worker-1", "kubeadm", "join", endpoint, f"--token={t}", SKIP) for t in tokens)
    unknown, expired, wrong = await asyncio.gather(*attempts)
    assert 'token id "aaaaaa" is invalid for this cluster or it has expired' in unknown
    assert 'token id "expire" is invalid for this cluster or it has expired. Use "kubeadm token create"' in expired
    assert "couldn't validate the identity of the API Server" in wrong
    other = [f"--token={token}", "--discovery-token-ca-cert-hash", f"sha256:{'0' * 64}"]
    assert f'none of the public keys "{pin}" are pinned' in await machines.refused(
        "worker-1", "kubeadm", "join", endpoint, *other
    )
    no_socket = [*machines.join, "--cri-socket=unix:///run/none.sock"]
    assert "[ERROR CRI]: container runtime is not running" in await machines.refused("worker-1", *no_socket)
    taken = ["sh", "-c", f"busybox nc -l -p 10250 & sleep 0.3; {' '.join(machines.join)}; code=$?; kill $!; exit $code"]
    assert "[ERROR Port-10250]: Port 10250 is in use" in await machines.refused("worker-1", *taken)
    assert await machines.files("worker-1") == []


async def test_join_reset_and_join_again_with_a_fresh_token(machines: Machines) -> None:
    joined = await machines.on("worker-1", *machines.join)
    assert joined.code == 0, joined.err
    assert "This node has joined the cluster" in joined.out
    again = await machines.refused("worker-1", *machines.join)
    assert "[ERROR FileAvailable--etc-kubernetes-kubelet.conf]" in again
    (await machines.on("worker-1", "kubeadm", "reset", "-f")).check()
    assert await machines.files("worker-1") == []
    (await machines.on("master", "kubectl", "delete", "node", "worker-1")).check()
    printed = (await machines.on("master", "kubeadm", "token", "create", "--print-join-command")).check()
    (await machines.on("worker-1", *printed.split())).check()
    (await machines.on("master", "kubectl", "get", "node", "worker-1")).check()
