"""kubeadm with etcd.external: two control planes on three members of etcd, each of which may be lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from pybernetes.aio.clock import SystemClock
from pybernetes.assembly.cluster import ClusterRecord, LocalCluster, together
from pybernetes.assembly.progress import Progress
from pybernetes.localcluster.errors import MissingRequirement
from pybernetes.localcluster.sandbox import Result, check_machine
from pybernetes.localcluster.spec import STATE_DIR
from pybernetes.localcluster.sweep import sweep
from tests.e2e.test_faults import pids
from tests.etcd_servers import Place, Servers, etcd, needs_etcd

pytestmark = [needs_etcd, pytest.mark.asyncio(loop_scope="module")]
NAME = "e2e-etcd"
ENDPOINT = "control-plane.test"
PLANES = ("master", "master-2")
NODES = (*PLANES, "worker-1")
PKI = "/etc/kubernetes/pki"

CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {address}}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
controlPlaneEndpoint: {endpoint}:6443
networking: {{podSubnet: 10.244.0.0/16}}
etcd:
  external:
    endpoints: [{servers}]
    caFile: /etc/kubernetes/pki/etcd/ca.crt
    certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt
    keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key
controllerManager: {{extraArgs: [{quick}]}}
scheduler: {{extraArgs: [{quick}]}}
"""
QUICK = ", ".join(
    f'{{name: leader-elect-{name}, value: "{value}"}}'
    for name, value in (("lease-duration", "6s"), ("renew-deadline", "4s"), ("retry-period", "1s"))
)
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers: [{name: c, image: "registry.k8s.io/pause:3.10"}]
"""


class Site:
    """The machines and their etcd; kubectl runs on the worker, as an administrator who knows the endpoint alone."""

    def __init__(self, cluster: LocalCluster, servers: Servers) -> None:
        self.cluster, self.servers = cluster, servers

    async def on(self, node: str, *argv: str, stdin: bytes | None = None) -> Result:
        environment = {"KUBECONFIG": "/root/admin.conf"}
        return await self.cluster.nodes[node].exec(argv, env=environment, timeout=300, stdin=stdin)

    async def kubectl(self, *words: str, stdin: bytes | None = None) -> str:
        done = await self.on("worker-1", "kubectl", *words, stdin=stdin)
        assert done.code == 0, f"kubectl {' '.join(words)}: {done.err}{done.out}"
        return done.out

    async def until(self, wanted: str, *words: str) -> None:
        """Asks until kubectl prints just that."""
        said = ""
        async with asyncio.timeout(60):
            while said != wanted:
                await asyncio.sleep(0.1)
                said = (await self.on("worker-1", "kubectl", *words)).out.strip()

    async def scaled(self, replicas: int) -> None:
        """Scheduler and controllers must work for that, the etcd behind them, and a kubelet."""
        await self.kubectl("scale", "deploy/app", f"--replicas={replicas}")
        await self.until(str(replicas), "get", "deploy", "app", "-o", "jsonpath={.status.readyReplicas}")

    async def both_serve(self) -> None:
        """Each at its own address, and the Service `kubernetes` has both."""
        addresses = " ".join(self.cluster.nodes[name].spec.address for name in PLANES)
        for address in addresses.split():
            await self.until("ok", "get", "--raw", "/readyz", f"--server=https://{address}:6443")
        jsonpath = "jsonpath={.subsets[*].addresses[*].ip}"
        await self.until(addresses, "get", "endpoints", "kubernetes", "-o", jsonpath)

    async def all_ready(self) -> None:
        await self.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")


def machines() -> LocalCluster:
    """One name leads to both control planes, as a load balancer would: clients try the next where one refuses."""
    cluster = LocalCluster(ClusterRecord(NAME, NODES), SystemClock())
    named = [(node.spec.address, name) for name, node in cluster.nodes.items()]
    named += [(cluster.nodes[name].spec.address, ENDPOINT) for name in PLANES]
    hosts = "".join(f"{address} {name}\n" for address, name in [("127.0.0.1", "localhost"), *named])
    for node in cluster.nodes.values():
        node.spec = replace(node.spec, files={**node.spec.files, "/etc/hosts": hosts})
    return cluster


async def made(cluster: LocalCluster, servers: Servers) -> Site:
    """As the documentation says: etcd's files onto the first machine, init, then join with what it prints."""
    site, master = Site(cluster, servers), cluster.master
    files = servers.files()
    kept = ((f"{PKI}/etcd/ca.crt", "cafile"), (f"{PKI}/apiserver-etcd-client.crt", "certfile"))
    for path, name in (*kept, (f"{PKI}/apiserver-etcd-client.key", "keyfile")):
        target = master.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(files[name]).read_bytes())
    urls = ", ".join(f'"{member.url}"' for member in servers.members)
    text = CONFIG.format(address=master.spec.address, endpoint=ENDPOINT, servers=urls, quick=QUICK)
    master.path("/root/kubeadm.yaml").write_text(text)
    said = (await site.on("master", "kubeadm", "init", "--config=/root/kubeadm.yaml", "--upload-certs")).check()
    commands = [
        line.replace("\\", "").split() for line in said.replace("\\\n", "").splitlines() if "kubeadm join" in line
    ]
    plane, worker = commands
    assert "--control-plane" in plane
    assert "--control-plane" not in worker
    (cluster.nodes["worker-1"].path("/root/admin.conf")).write_text(
        master.path("/etc/kubernetes/admin.conf").read_text()
    )
    joined = await asyncio.gather(site.on("master-2", *plane), site.on("worker-1", *worker))
    for done in joined:
        done.check()
    await cluster.install_network()
    await site.all_ready()
    return site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    try:
        check_machine(STATE_DIR.parent)
    except MissingRequirement as error:
        pytest.skip(str(error))
    cluster = machines()
    try:
        await cluster.machines_up(Progress(cluster.clock, quiet=True))
        with etcd(3, place=Place(cluster.switch.address, str(cluster.switch.netns))) as servers:
            yield await made(cluster, servers)
    finally:
        cluster.switch.close()
        await asyncio.to_thread(sweep, NAME, disks=True)


async def test_both_serve_one_state_in_etcd(site: Site) -> None:
    await site.both_serve()
    await site.kubectl("apply", "-f", "-", stdin=DEPLOYMENT.encode())
    await site.scaled(1)
    keys = site.servers.ctl("get", "/registry/pods/default/", "--prefix", "--keys-only")
    assert keys is not None
    assert keys.startswith("/registry/pods/default/app-")
    planes = await site.kubectl("get", "nodes", "-l", "node-role.kubernetes.io/control-plane", "-o", "name")
    assert planes.split() == [f"node/{name}" for name in PLANES]
    for name in PLANES:
        there = await site.on(name, "sh", "-c", "ls /var/lib/pybernetes/apiserver; ls /etc/kubernetes/manifests")
        assert "store.db" not in there.out
        assert "kube-apiserver.yaml" in there.out


async def test_the_leader_of_etcd_may_be_killed(site: Site) -> None:
    leader = site.servers.leader()
    leader.kill()
    async with asyncio.timeout(30):  # a write that was on its way may have been done without an answer
        said = ""
        while "AlreadyExists" not in said:
            said = (await site.on("worker-1", "kubectl", "create", "configmap", "after-the-leader")).err
    await site.scaled(2)
    leader.start()
    site.servers.ready()


async def test_an_api_server_may_be_killed_and_nobody_waits_for_it(site: Site) -> None:
    cgroup = site.cluster.master.spec.cgroup
    before = pids(cgroup, "kube-apiserver")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    for number in range(5):
        await site.kubectl("create", "configmap", f"meanwhile-{number}")
    async with asyncio.timeout(60):
        while not pids(cgroup, "kube-apiserver") - before:
            await asyncio.sleep(0.1)
    await site.both_serve()


async def test_a_control_plane_may_lose_its_power(site: Site) -> None:
    await site.cluster.master.power_off()
    await site.scaled(3)
    await site.cluster.power_on("master")
    await site.both_serve()
    await site.all_ready()


async def test_all_comes_back_after_all_was_off(site: Site) -> None:
    pods = (await site.kubectl("get", "pods", "-o", "name")).split()
    await together(*(node.power_off() for node in site.cluster.nodes.values()))
    site.servers.stop()
    site.servers.start()
    await together(*(site.cluster.power_on(name) for name in NODES))
    await site.until(" ".join(pods).replace("pod/", ""), "get", "pods", "-o", "jsonpath={.items[*].metadata.name}")
    await site.all_ready()
    await site.scaled(4)
    await site.both_serve()
    kept = await site.kubectl("get", "configmaps", "-o", "name")
    assert {"configmap/after-the-leader", "configmap/meanwhile-4"} <= set(kept.split())
