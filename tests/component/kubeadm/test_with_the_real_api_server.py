"""kubeadm against the API server that its own manifest describes: every flag, certificate and role must fit."""

import asyncio
import contextlib
import json
import random
import shlex
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from pybernetes.api.errors import ApiError, Forbidden, Unauthorized
from pybernetes.client import kubeconfig
from pybernetes.cmd import kube_apiserver
from pybernetes.controllers.bootstrap_signer import signature
from pybernetes.kubeadm import commands
from pybernetes.kubeadm.cluster import Cluster
from pybernetes.kubeadm.commands import Machine
from pybernetes.kubeadm.config import Checks, InitConfig, JoinConfig, Networking, Node, Paths
from pybernetes.kubeadm.tokens import Token
from pybernetes.wire.pki import certificates, keys

TOKEN = Token("abcdef", "0123456789abcdef")
ANYWAY = Checks(ignored=frozenset({"all"}))
INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"


class Impatient:
    """The machine's clock, but nobody sleeps longer than a moment; `hook` runs before each sleep."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.hook: Callable[[], Awaitable[None]] | None = None

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        if self.hook is not None:
            await self.hook()
        await asyncio.sleep(min(seconds, 0.05))


class Site:
    """A machine in a folder, and the control plane that its supervisor would start."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.clock = Impatient()
        self.said: list[str] = []
        self.machine = Machine(self.paths, self.clock, self.said.append, lambda text: None)
        self.paths.at("/etc/pybernetes/services").mkdir(parents=True)
        self.serving: asyncio.Task[None] | None = None

    async def supervise(self) -> None:
        manifest = self.paths.at("/etc/kubernetes/manifests/kube-apiserver.yaml")
        if self.serving is None and manifest.exists():
            words = self.words("kube-apiserver")
            options = kube_apiserver.parser().parse_args([*words, "--bind-address=127.0.0.1"])
            self.serving = asyncio.create_task(kube_apiserver.serve(options))
        if self.serving is not None and self.serving.done():
            self.serving.result()

    def words(self, name: str) -> list[str]:
        """The flags in a static Pod's manifest, with this folder's paths."""
        manifest = self.paths.at(f"/etc/kubernetes/manifests/{name}.yaml")
        _, *words = yaml.safe_load(manifest.read_text())["spec"]["containers"][0]["command"]
        return [self._here(word) for word in words]

    def _here(self, word: str) -> str:
        flag, equals, value = word.partition("=")
        return f"{flag}={self.paths.at(value)}" if equals and value.startswith("/") else word

    def cluster(self, path: str) -> Cluster:
        return Cluster.of_file(self.paths.at(path), self.clock)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A control plane made by `kubeadm init`; its kubelet registers the Node with its own certificate."""
    site = Site(tmp_path / "master")

    async def master() -> None:
        await site.supervise()
        if site.serving is not None:
            with contextlib.suppress(OSError, ApiError):
                await register(site, "/etc/kubernetes/kubelet.conf", "m1")

    site.clock.hook = master
    port = free_port()
    config = InitConfig(
        node=Node(name="m1", address="127.0.0.1"),
        networking=Networking(pod_cidr="10.244.0.0/16"),
        token=TOKEN,
        bind_port=port,
        checks=ANYWAY,
        # the server says that it is well in the place of both, who do not run here
        extra_args={name: (("secure-port", str(port)),) for name in ("kube-controller-manager", "kube-scheduler")},
    )
    try:
        await commands.init(config, site.machine)
        site.clock.hook = None
        yield site
    finally:
        if site.serving is not None:
            site.serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await site.serving


async def register(site: Site, conf: str, name: str) -> None:
    cluster = site.cluster(conf)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
    try:
        await cluster.client.raw("POST", "/api/v1/nodes", node)
    finally:
        await cluster.aclose()


async def test_init_gives_every_identity_what_it_needs(site: Site) -> None:
    admin = site.cluster("/etc/kubernetes/admin.conf")
    node = await admin.node("m1")
    assert node is not None
    assert "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
    assert node["spec"]["taints"][0]["effect"] == "NoSchedule"
    scheduler = site.cluster("/etc/kubernetes/scheduler.conf")
    assert (await scheduler.client.raw("GET", "/api/v1/pods"))["items"] == []
    manager = site.cluster("/etc/kubernetes/controller-manager.conf")
    assert (await manager.client.raw("GET", "/api/v1/secrets"))["kind"] == "SecretList"
    kubelet = site.cluster("/etc/kubernetes/kubelet.conf")
    with pytest.raises(Forbidden):
        await kubelet.client.raw("GET", "/api/v1/secrets")
    with pytest.raises(Forbidden):
        await register(site, "/etc/kubernetes/kubelet.conf", "another")
    for cluster in (admin, scheduler, manager, kubelet):
        await cluster.aclose()


async def test_join_with_the_token_may_ask_for_a_certificate_and_little_else(site: Site, tmp_path: Path) -> None:
    admin = site.cluster("/etc/kubernetes/admin.conf")
    info = await admin.client.raw("GET", INFO)
    # what the bootstrap signer does
    info["data"]["jws-kubeconfig-abcdef"] = signature(info["data"]["kubeconfig"], TOKEN.id, TOKEN.secret)
    await admin.client.raw("PUT", INFO, info)
    worker = Site(tmp_path / "worker")
    asked: list[dict[str, Any]] = []

    async def kubelet() -> None:
        conf = worker.paths.at("/etc/kubernetes/bootstrap-kubelet.conf")
        if asked or not conf.exists():
            return
        cluster = worker.cluster("/etc/kubernetes/bootstrap-kubelet.conf")
        asked.append(await request_certificate(cluster))
        with pytest.raises(Forbidden):
            await cluster.client.raw("GET", "/api/v1/nodes")
        with pytest.raises(Forbidden):
            await cluster.client.raw("GET", "/api/v1/namespaces/kube-system/secrets")
        await cluster.aclose()
        worker.paths.at("/etc/kubernetes/kubelet.conf").write_text("the kubelet's own")

    worker.clock.hook = kubelet
    ca = certificates.parse_certificate(site.paths.at("/etc/kubernetes/pki/ca.crt").read_bytes())
    server = kubeconfig.load(site.paths.at("/etc/kubernetes/admin.conf")).clusters["kubernetes"].server
    config = JoinConfig(
        node=Node(name="w1", address="127.0.0.1"),
        endpoint=server.removeprefix("https://"),
        token=TOKEN,
        ca_hashes=(certificates.public_key_hash(ca),),
        checks=ANYWAY,
    )
    await commands.join(config, worker.machine)
    assert "This node has joined the cluster:" in "".join(worker.said)
    assert asked[0]["spec"]["username"] == "system:bootstrap:abcdef"
    assert "system:bootstrappers:kubeadm:default-node-token" in asked[0]["spec"]["groups"]
    await admin.aclose()


async def request_certificate(cluster: Cluster) -> dict[str, Any]:
    csr = certificates.new_request("system:node:w1", ["system:nodes"], [], keys.new_key())
    body = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "node-csr-w1"},
        "spec": {
            "request": kubeconfig.encoded(csr),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    }
    return await cluster.client.raw("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", body)


async def test_kubelet_and_proxy_understand_what_they_are_given(site: Site) -> None:
    pytest.importorskip("grpc", reason="the kubelet needs the extra `node`")
    from pybernetes.cmd import _kubelet as kubelet
    from pybernetes.cmd import kube_proxy

    unit = json.loads(site.paths.at("/etc/pybernetes/services/kubelet.json").read_text())
    flags = shlex.split(site.paths.at("/var/lib/kubelet/kubeadm-flags.env").read_text().partition("=")[2])
    _, *words = [*unit["command"], *shlex.split(flags[0])]
    options = kubelet.parser().parse_args([site._here(word) for word in words])
    settings = kubelet.settings_of(options, kubelet.configuration_of(options))
    assert (settings.node_name, settings.node_ips, settings.config.cluster_dns) == (
        "m1",
        ("127.0.0.1",),
        ("10.96.0.10",),
    )
    assert kube_proxy.parser().parse_args(site.words("kube-proxy")).hostname_override == "m1"


async def test_tokens_live_and_die_on_the_server(site: Site) -> None:
    conf = site.paths.at("/etc/kubernetes/admin.conf")
    new = Token("fedcba", "fedcba9876543210")
    await commands.create_token(commands.NewToken(new, 3600.0), conf, site.machine)
    admin = kubeconfig.load(conf)
    bearer = kubeconfig.new("kubernetes", admin.clusters["kubernetes"], "t", kubeconfig.User(token=str(new)))
    holder = Cluster.of(bearer, site.clock)
    assert "kubelet" in await holder.config_map("kube-system", "kubelet-config")
    await commands.list_tokens(conf, site.machine)
    assert sum(str(token) in site.said[-1] for token in (TOKEN, new)) == 2
    await commands.delete_tokens(["fedcba"], conf, site.machine)
    with pytest.raises(Unauthorized):
        await holder.config_map("kube-system", "kubelet-config")
    await holder.aclose()
