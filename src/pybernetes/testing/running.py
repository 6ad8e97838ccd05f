"""The parts of one cluster inside a process while they run, on the loop they run in. cluster.py is what tests see of it.

The socket is there from the start, so that the port is known and is nobody else's; certificates, files and the server
behind it are made when somebody asks for a kubeconfig. Until then a client in the process costs none of it.
"""

import asyncio
import os
import re
import socket
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from pybernetes.aio.clock import Clock
from pybernetes.aio.collector import put_off
from pybernetes.aio.manual import ManualLoop
from pybernetes.aio.simulation import SimulatedLoop
from pybernetes.api.objects import Object, User
from pybernetes.apiserver.config import Config
from pybernetes.assembly.controlplane import ADMIN, ControlPlane, Settings, serving_leaf, user_kubeconfig
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Store
from pybernetes.testing.checkpoint import Checkpoint, Parts, Trust, put_back, take
from pybernetes.testing.errors import CrashedError, OptionError, StartError
from pybernetes.testing.objects import followed
from pybernetes.testing.options import Options
from pybernetes.testing.report import OBSERVER, of_namespace
from pybernetes.testing.traffic import Traffic
from pybernetes.wire.http import Middleware
from pybernetes.wire.pki.certificates import issue, new_authority
from pybernetes.wire.pki.keys import PrivateKey, derived_key, new_key
from pybernetes.wire.server import HttpServer, Limits
from pybernetes.wire.tls import Identity, server_context

_BACKLOG = 512
_HOST = "127.0.0.1"
_FOR_EVER = 1e9
_PATIENT = Limits(
    head_seconds=_FOR_EVER,
    body_seconds=_FOR_EVER,
    idle_seconds=_FOR_EVER,
    write_seconds=_FOR_EVER,
    handshake_seconds=_FOR_EVER,
)
"""Peers live in real time: when it is moved by hand, they have not been slow."""
_ACCOUNTS = "serviceaccount-controller"


class Running:
    """start() and stop() once each, everything on one loop. `plane` is there from the start on."""

    def __init__(
        self, options: Options, clock: Clock, traffic: Traffic, middlewares: Iterable[Middleware] = ()
    ) -> None:
        self.options = options
        self.clock = clock
        self.traffic = traffic
        """Stands before all middlewares: its audit knows what clients were told."""
        self.store: Store
        self.plane: ControlPlane
        self.folder: Path | None = None
        """Its files, where there are any."""
        self._middlewares = tuple(middlewares)
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None]
        self.trust: Trust
        self._door: socket.socket | None = None
        self._served: dict[tuple[str, tuple[str, ...]], Path] = {}

    async def start(self) -> None:
        """Until the API answers, the nodes are there, and Pods can be made. Raises StartError, OptionError."""
        try:
            with put_off():  # a third of a start otherwise
                await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends everything and takes it away. May be called twice."""
        await self._stack.aclose()

    def check(self) -> None:
        """Raises CrashedError when a part has failed."""
        if self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise CrashedError(f"a part of the cluster has failed: {type(error).__name__}: {error}") from error

    async def checkpoint(self) -> Checkpoint:
        """The state as it is now. Raises OptionError."""
        return await take(self._parts())

    async def restore(self, state: Checkpoint) -> int:
        """Brings the cluster to a state; how many changes that were. Raises OptionError."""
        return await put_back(state, self._parts())

    async def report(self, namespace: str, since: int) -> str:
        """What a namespace looks like, past all middlewares."""
        client = Client(direct(self.plane.api.handler, ADMIN), clock=self.clock, user_agent=OBSERVER)
        return await of_namespace(client, namespace, audit=self.traffic.audit, faults=self.traffic.faults, since=since)

    def _parts(self) -> Parts:
        if not isinstance(self.store, MemoryStore):
            raise OptionError("checkpoints are of clusters with a store in memory, and this one was given another")
        return Parts(self.store, self.plane, self.traffic, self.trust)

    async def advance(self, seconds: float) -> None:
        """Moves time on, and returns when all that was due is done."""
        loop = asyncio.get_running_loop()
        if isinstance(loop, ManualLoop):
            await loop.advance(seconds)
        elif isinstance(loop, SimulatedLoop):
            await self.clock.sleep(seconds)
            await loop.settled()

    def kubeconfig(self, user: User) -> Path:
        """A user's kubeconfig file; the first call opens the server. Raises OptionError without a socket, StartError."""
        if self._door is None:
            raise OptionError(
                "this cluster has no socket: it runs on simulated time or was made with serve=False; time='manual' has one"
            )
        try:
            if self.folder is None:
                self.folder = self._open(self._door)
            who = (user.name, user.groups)
            if who not in self._served:
                self._served[who] = self._write(self.folder, user, f"https://{_HOST}:{self.port}")
        except OSError as error:
            raise StartError(f"the cluster's files cannot be written: {error}") from error
        return self._served[who]

    @property
    def port(self) -> int:
        """Where clients with a kubeconfig come in."""
        return int(self._door.getsockname()[1]) if self._door is not None else 0

    async def _start(self) -> None:
        options, state = self.options, self.options.checkpoint
        self.trust = state.trust if state is not None and state.trust is not None else self._new_trust()
        if options.serve:
            self._door = _door()
            self._stack.callback(self._door.close)
        api = self._configuration(self.trust.signing_key)
        self.store = options.store or (MemoryStore() if state is None else state.store(api.times.event))
        if options.store is None:
            self._stack.push_async_callback(self.store.close)
        settings = Settings(
            simulated_nodes=options.described,
            authority=self.trust.authority,
            api=api,
            controllers=options.controllers,
            scheduler=options.scheduler,
            middlewares=(self.traffic.around, *self._middlewares),
        )
        self.plane = ControlPlane(self.store, self.clock, settings)
        self.traffic.attach(self.plane.api)
        self._task = asyncio.create_task(self.plane.run(), name="testing.cluster")
        self._stack.push_async_callback(_ended, self._task)
        ready = asyncio.create_task(self._ready(), name="testing.ready")
        try:
            await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
            self.check()
            await ready
        finally:
            await _ended(ready)

    def _new_trust(self) -> Trust:
        authority, accounts = self._key("authority"), self._key("accounts")
        return Trust(new_authority("kubernetes", self.clock.now(), key=authority), accounts)

    def _key(self, name: str) -> PrivateKey:
        """On simulated time what is random follows from the seed, and nobody else ever sees the cluster."""
        if self.options.time == "simulated":
            return derived_key(f"{name} {self.clock.random.getrandbits(256)}".encode())
        return new_key()

    def _configuration(self, key: PrivateKey) -> Config:
        given = self.options.api or Config()
        if given.signing_key is None:
            given = replace(given, signing_key=key, verifying_keys=(*given.verifying_keys, key.public_key()))
        given = replace(given, authorization_modes=tuple(self.options.authorization))
        return replace(given, secure_port=self.port) if self.port else given

    async def _ready(self) -> None:
        """What a test takes for granted: every node is there, and the account that Pods run as."""
        await self.plane.ready.wait()
        client = self.plane.client()
        wanted = set(self.options.names)
        if wanted:
            await _until(
                followed(client, "/api/v1/nodes"),
                lambda nodes: wanted <= {n["metadata"]["name"] for n in nodes if n["status"].get("addresses")},
            )
        if self.plane.runs(_ACCOUNTS):
            await _until(followed(client, "/api/v1/namespaces/default/serviceaccounts"), bool)

    def _open(self, door: socket.socket) -> Path:
        folder = Path(mkdtemp(prefix="pybernetes-"))
        # Also where nobody closes the cluster; but a child of os.fork() that ends leaves its parent's files alone.
        self._stack.callback(weakref.finalize(self, _removed, folder, os.getpid()))
        identity, ca = Identity(folder / "apiserver.crt", folder / "apiserver.key"), folder / "ca.crt"
        certificate, key = issue(self.trust.authority, serving_leaf(_HOST), self.clock.now())
        for path, data in ((identity.certificate, certificate), (identity.key, key), (ca, self.trust.authority.pem)):
            path.write_bytes(data)  # the folder is ours alone
        loop = asyncio.get_running_loop()
        limits = _PATIENT if isinstance(loop, ManualLoop) else Limits()
        context = server_context(identity, client_ca=ca)
        server = HttpServer(self.plane.handler, ssl=context, clock=self.clock, limits=limits)
        if isinstance(loop, ManualLoop):
            loop.busy = lambda: server.busy
        starting = loop.create_task(server.start(sockets=[door]), name="testing.server")
        self._stack.push_async_callback(server.stop)
        self._stack.push_async_callback(asyncio.wait, [starting])
        return folder

    def _write(self, folder: Path, user: User, address: str) -> Path:
        name = "admin" if user == ADMIN else f"{len(self._served)}-{re.sub(r'[^a-zA-Z0-9]+', '-', user.name)[:40]}"
        path = folder / f"{name}.conf"
        kubeconfig.write(path, user_kubeconfig(self.trust.authority, address, user, self.clock.now()))
        return path


def _door() -> socket.socket:
    """A listening socket at any free port."""
    with ExitStack() as undone:
        try:
            door = undone.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            door.bind((_HOST, 0))
            door.listen(_BACKLOG)
        except OSError as error:
            raise StartError(f"no port on {_HOST} can be used: {error.strerror}") from error
        undone.pop_all()
    return door


def _removed(folder: Path, process: int) -> None:
    if os.getpid() == process:
        rmtree(folder, ignore_errors=True)


async def _until(states: AsyncGenerator[list[Object], None], holds: Callable[[list[Object]], object]) -> None:
    async with aclosing(states):
        async for found in states:
            if holds(found):
                return


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
