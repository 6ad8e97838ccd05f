"""A cluster inside a test process: the real API server on the memory store, controllers, scheduler, simulated nodes.

async with Cluster(nodes=2) as cluster:
    client = cluster.client()
    await client.of(core_v1.Pod).create(...)
"""

import asyncio
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.api.objects import User
from pybernetes.apiserver.config import Config
from pybernetes.assembly.controlplane import ADMIN, ControlPlane, Settings, admin_kubeconfig, serving_leaf
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.store.memory import STORE
from pybernetes.wire.pki.certificates import Authority, issue, new_authority
from pybernetes.wire.pki.keys import new_rsa_key
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, server_context


class ClosedClusterError(RuntimeError):
    """The cluster is used outside of its `async with`."""


class Cluster:
    """One cluster. `nodes` simulated nodes; `serve` opens the API on a loopback port over TLS for any client."""

    def __init__(self, *, nodes: int = 1, serve: bool = False, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._nodes = [f"node-{number}" for number in range(1, nodes + 1)]
        self._serve = serve
        self._stack = AsyncExitStack()
        self._plane: ControlPlane | None = None
        self._kubeconfig: Path | None = None

    async def __aenter__(self) -> "Cluster":
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._plane = None
        await self._stack.aclose()

    def client(self, user: User = ADMIN) -> Client:
        """A client without sockets, as this user (the administrator). Raises ClosedClusterError."""
        return self._running().client(user)

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig for any client; needs `serve=True`. Raises ClosedClusterError."""
        self._running()
        if self._kubeconfig is None:
            raise ClosedClusterError("this cluster has no socket: make it with Cluster(serve=True)")
        return self._kubeconfig

    def _running(self) -> ControlPlane:
        if self._plane is None:
            raise ClosedClusterError("the cluster is not running: use it inside `async with Cluster() as cluster`")
        return self._plane

    async def _start(self) -> None:
        authority, signing_key = new_authority("kubernetes", self.clock.now()), _signing_key()
        store = await STORE.open("")
        self._stack.push_async_callback(store.close)
        settings = Settings(
            simulated_nodes=self._nodes,
            authority=authority,
            api=Config(signing_key=signing_key, verifying_keys=(signing_key.public_key(),)),
        )
        plane = ControlPlane(store, self.clock, settings)
        task = asyncio.create_task(plane.run(), name="control-plane")
        self._stack.push_async_callback(_ended, task)
        ready = asyncio.create_task(plane.ready.wait())
        await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            ready.cancel()
            await task
        if self._serve:
            await self._listen(plane, authority)
        self._plane = plane

    async def _listen(self, plane: ControlPlane, authority: Authority) -> None:
        folder, now = Path(self._stack.enter_context(TemporaryDirectory(prefix="pybernetes-"))), self.clock.now()
        identity, ca = Identity(folder / "apiserver.crt", folder / "apiserver.key"), folder / "ca.crt"
        certificate, key = issue(authority, serving_leaf("127.0.0.1"), now)
        for path, data in ((identity.certificate, certificate), (identity.key, key), (ca, authority.pem)):
            path.write_bytes(data)  # the folder is ours alone
        server = HttpServer(plane.api.handler, ssl=server_context(identity, client_ca=ca), clock=self.clock)
        await server.start("127.0.0.1", 0)
        self._stack.push_async_callback(server.stop)
        self._kubeconfig = folder / "admin.conf"
        kubeconfig.write(self._kubeconfig, admin_kubeconfig(authority, f"https://127.0.0.1:{server.port}", now))


@cache
def _signing_key() -> RSAPrivateKey:
    """One for all clusters of the process: making one takes longer than the rest of a cluster's start."""
    return new_rsa_key()


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
