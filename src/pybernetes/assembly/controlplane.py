"""The whole control plane in one process: API server, controllers, scheduler, and simulated nodes if wanted.

Components talk to the API server through direct transports: same authentication, authorization and admission, no
sockets. `pybernetes up --simulated-nodes` serves it over TLS; `pybernetes.testing` runs it inside a test.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pybernetes.aio.clock import Clock
from pybernetes.aio.pause import Pause
from pybernetes.api.objects import User
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.connect import Kubelets
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.door import open_door, port_of
from pybernetes.assembly.simulated.description import SimulatedNode
from pybernetes.assembly.simulated.dialer import SimulatedDialer
from pybernetes.assembly.simulated.nodes import Config as SimulatedConfig
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.client import kubeconfig
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS
from pybernetes.controllers.runtime import Config as ControllerConfig
from pybernetes.controllers.runtime import ControllerManager, chosen
from pybernetes.localcluster.switch import POD_NETWORK
from pybernetes.store import factory
from pybernetes.store.protocol import Store
from pybernetes.wire.http import Middleware, around
from pybernetes.wire.pki.certificates import Authority, Leaf, issue, new_authority, parse_authority
from pybernetes.wire.pki.files import write_private, write_public
from pybernetes.wire.pki.keys import key_pem, new_rsa_key, parse_key
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, server_context

log = logging.getLogger(__name__)

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
_CONTROLLERS = User("system:kube-controller-manager", groups=("system:authenticated",))
_SCHEDULER = User("system:kube-scheduler", groups=("system:authenticated",))
MANY = 100
"""Of more simulated nodes than this only what is wrong is told in events: all of them would be most of what Pods cost."""
_RANGES = 256
"""Nodes that POD_NETWORK has ranges for."""
_WIDE = "10.128.0.0/9"
"""The range of Pods where there are more: 32,768 nodes. Simulated Pods have addresses, and nothing is sent there."""
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a control plane in one process is made of. Without an authority no CSR is signed and no root CA published."""

    simulated_nodes: Sequence[str | SimulatedNode] = ()
    authority: Authority | None = None
    api: Config = field(default_factory=Config)
    controllers: Sequence[str] = ("*",)
    """As --controllers of kube-controller-manager takes them; empty: none."""
    scheduler: bool = True
    middlewares: Sequence[Middleware] = ()
    """Around the API server's handler, for requests from sockets and from inside alike; the first is the outermost."""


def kubelet_user(node: str) -> User:
    """As whom the kubelet of a node comes: what the Node authorizer and NodeRestriction know it by."""
    return User(f"system:node:{node}", groups=("system:nodes", "system:authenticated"))


class ControlPlane:
    """run() until cancelled; `ready` is set once the API answers. Raises ValueError for an unknown controller."""

    def __init__(self, store: Store, clock: Clock, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        config = self.settings.api
        dialer = SimulatedDialer(config.kubelets or Kubelets(config.kubelet_tls))
        if self.settings.simulated_nodes:
            config = replace(config, kubelets=dialer)
        self.api = ApiServer(config, store, clock)
        self.handler = around(self.api.handler, self.settings.middlewares)
        """What answers requests, from sockets and from inside."""
        self.pause = Pause()
        """Holds up what controllers and the scheduler decide, and what simulated nodes report."""
        self.informers: list[Informers] = []
        """Through which they see the cluster; there once they run."""
        self._controllers = chosen(self.settings.controllers)
        self.nodes = dialer.nodes = self._simulated_nodes()
        """The simulated nodes, where there are any."""

    @property
    def ready(self) -> asyncio.Event:
        """Set once the API server answers."""
        return self.api.ready

    def runs(self, controller: str) -> bool:
        """Whether a controller is among those that run."""
        return controller in self._controllers

    def client(self, user: User = ADMIN, agent: str = "pybernetes") -> Client:
        """A client inside this process."""
        return Client(direct(self.handler, user), clock=self.clock, user_agent=agent)

    async def run(self) -> None:
        """Runs all parts; the end of one ends all."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.api.run(), name="apiserver")
            await self.api.ready.wait()
            if self._controllers:
                client = self.client(_CONTROLLERS, "kube-controller-manager")
                manager = ControllerManager(client, self._controller_config(), self._controllers, self.pause)
                self.informers.append(manager.informers)
                group.create_task(manager.run(), name="controllers")
            if self.settings.scheduler:
                from pybernetes.scheduler.loop import Scheduler  # brings numpy, which takes longer than all the rest

                scheduler = Scheduler(self.client(_SCHEDULER, "kube-scheduler"), self.clock, pause=self.pause)
                self.informers.append(scheduler.informers)
                group.create_task(scheduler.run(), name="scheduler")
            if self.nodes is not None:
                self.informers.append(self.nodes.informers)
                group.create_task(self.nodes.run(), name="simulated-nodes")

    def _simulated_nodes(self) -> SimulatedNodes | None:
        nodes = self.settings.simulated_nodes
        if not nodes:
            return None
        config = SimulatedConfig(
            client_of=lambda name: self.client(kubelet_user(name), "kubelet"),
            needs_range=self.runs("node-ipam-controller"),
            quiet=len(nodes) > MANY,
            pause=self.pause,
        )
        return SimulatedNodes(self.client(agent="kubelet"), nodes, config)

    def _controller_config(self) -> ControllerConfig:
        authority = self.settings.authority
        return ControllerConfig(
            allocate_node_cidrs=True,
            cluster_cidrs=(POD_NETWORK if len(self.settings.simulated_nodes) <= _RANGES else _WIDE,),
            signing_authority=lambda signer: authority,
            root_ca=authority.pem if authority else b"",
            service_account_key=self.settings.api.signing_key,
        )


def write_pki(folder: Path, address: str, now: float) -> Authority:
    """Keys and certificates of a control plane in `folder`, made where they are missing: ca, apiserver, sa."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "ca.key").exists():
        authority = parse_authority((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    else:
        authority = new_authority("kubernetes", now)
        write_private(folder / "ca.key", authority.key_pem)
        write_public(folder / "ca.crt", authority.pem)
    certificate, key = issue(authority, serving_leaf(address), now)
    write_private(folder / "apiserver.key", key)
    write_public(folder / "apiserver.crt", certificate)
    if not (folder / "sa.key").exists():
        write_private(folder / "sa.key", key_pem(new_rsa_key()))
    return authority


def serving_leaf(address: str) -> Leaf:
    """What the API server's certificate says."""
    hosts = (*SERVICE_NAMES, "localhost", address, "10.96.0.1")
    return Leaf("kube-apiserver", hosts=hosts, usages=("server auth",))


def user_kubeconfig(authority: Authority, server: str, user: User, now: float) -> kubeconfig.Kubeconfig:
    """A kubeconfig of a user whom a certificate names, with the groups that say more than that somebody is known."""
    groups = tuple(group for group in user.groups if group != "system:authenticated")
    certificate, key = issue(authority, Leaf(user.name, groups=groups), now)
    cluster = kubeconfig.Cluster(server=server, certificate_authority_data=kubeconfig.encoded(authority.pem))
    credentials = kubeconfig.User(
        client_certificate_data=kubeconfig.encoded(certificate), client_key_data=kubeconfig.encoded(key)
    )
    return kubeconfig.new("kubernetes", cluster, user.name, credentials)


async def serve(folder: Path, nodes: int, port: int, clock: Clock) -> None:
    """A cluster of simulated nodes over TLS on the loopback, until cancelled. Its admin.conf is written once it answers.

    `port` 0: one that is free, best 6443. Raises LocalClusterError.
    """
    with open_door(port) as door:
        await _serve(folder, nodes, door, clock)


async def _serve(folder: Path, nodes: int, door: socket.socket, clock: Clock) -> None:
    now, port = clock.now(), port_of(door)
    authority = write_pki(folder / "pki", "127.0.0.1", now)
    signing_key = parse_key((folder / "pki" / "sa.key").read_bytes())
    fresh = not (folder / "store.db").exists()
    store = await factory("sqlite").open(str(folder / "store.db"))
    names = [f"simulated-{number}" for number in range(1, nodes + 1)]
    api = Config(signing_key=signing_key, verifying_keys=(signing_key.public_key(),), secure_port=port)
    plane = ControlPlane(store, clock, Settings(simulated_nodes=names, authority=authority, api=api))
    identity = Identity(folder / "pki" / "apiserver.crt", folder / "pki" / "apiserver.key")
    server = HttpServer(plane.handler, ssl=server_context(identity, client_ca=folder / "pki" / "ca.crt"), clock=clock)
    try:
        await server.start(sockets=[door])
        async with asyncio.TaskGroup() as group:
            running = group.create_task(plane.run(), name="control-plane")
            await plane.ready.wait()
            if fresh:
                await plane.client(ADMIN).of(StorageClass).create(STORAGE_CLASS)
            config = user_kubeconfig(authority, f"https://127.0.0.1:{port}", ADMIN, now)
            kubeconfig.write(folder / "admin.conf", config)
            log.info("cluster is up folder=%s port=%d nodes=%d", folder, port, nodes)
            await running
    finally:
        with suppress(FileNotFoundError):
            (folder / "admin.conf").unlink()
        await server.stop()
        await store.close()
