"""Two kube-apiserver processes on one etcd behind a balancer, killed in turn: clients reconnect and miss nothing."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.component.apiserver.test_process import MAPS, ask
from tests.etcd_servers import etcd, free_ports, needs_etcd

from pybernetes.aio.clock import SystemClock
from pybernetes.api.types.core_v1 import ConfigMap
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.wire.client import HttpClient
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.tls import Identity, client_context

pytestmark = needs_etcd
WRITERS, KILLS = 4, 2


class Server:
    """One process on a port of its own: start(), kill() with -9, start() again."""

    def __init__(self, folder: Path, port: int, flags: Sequence[str]) -> None:
        self.folder, self.port = folder, port
        self.flags = [*flags, f"--secure-port={port}"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        files = ("--tls-cert-file=server.crt", "--tls-private-key-file=server.key", "--client-ca-file=ca.crt")
        command = [
            sys.executable,
            "-m",
            "pybernetes.cmd.kube_apiserver",
            "--bind-address=127.0.0.1",
            *files,
            *self.flags,
        ]
        with (self.folder / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=log)

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()


class Balancer:
    """Passes each connection on to one of the ports that takes it; they take turns."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turn = 0
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        for offset in range(len(self._ports)):
            with suppress(OSError):
                there, back = await asyncio.open_connection(
                    "127.0.0.1", self._ports[(self._turn + offset) % len(self._ports)]
                )
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
                return
        writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


class Site:
    """Both servers, and the state that clients have been promised."""

    def __init__(self, folder: Path, etcd_flags: Sequence[str]) -> None:
        authority = new_authority("test", time.time())
        (folder / "ca.crt").write_bytes(authority.pem)
        leafs = {
            "server": Leaf("kube-apiserver", hosts=("127.0.0.1",), usages=("server auth",)),
            "admin": Leaf("admin", groups=("system:masters",)),
        }
        for name, leaf in leafs.items():
            certificate, key = issue(authority, leaf, time.time())
            (folder / f"{name}.crt").write_bytes(certificate)
            (folder / f"{name}.key").write_bytes(key)
        identity = Identity(folder / "admin.crt", folder / "admin.key")
        self.tls = client_context(ca=folder / "ca.crt", identity=identity)
        ports = free_ports(2)
        self.servers = [
            Server(folder, port, [*etcd_flags, f"--advertise-address=127.0.0.{n}"]) for n, port in enumerate(ports, 1)
        ]
        self.balancer = Balancer(ports)
        self.promised: dict[str, bool] = {}
        """Name to whether it is there."""
        self.ending = False

    def client(self, port: int = 0) -> HttpClient:
        return HttpClient(f"https://127.0.0.1:{port or self.balancer.port}", ssl=self.tls)

    async def ready(self, server: Server) -> None:
        client = self.client(server.port)
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError):
                    if (await ask(client, "GET", "/readyz", raw=True))[0] == 200:
                        break
                await asyncio.sleep(0.02)
        await client.aclose()

    async def certainly(self, client: HttpClient, method: str, target: str, body: object = None) -> None:
        """A write that is tried until somebody has answered; what was done without an answer shows by 409 and 404."""
        done = {"POST": (201, 409), "DELETE": (200, 404)}[method]
        code = 0
        while code not in done:
            with suppress(OSError):
                code, _ = await ask(client, method, target, body)
            assert code in (0, *done, 429, 500, 503, 504), code

    async def write(self, who: int) -> None:
        client, number = self.client(), 0
        while not self.ending:
            number += 1
            name = f"m-{who}-{number}"
            await self.certainly(client, "POST", MAPS, {"metadata": {"name": name}})
            self.promised[name] = True
            if number % 3 == 0:
                await self.certainly(client, "DELETE", f"{MAPS}/{name}")
                self.promised[name] = False
        await client.aclose()

    async def more(self, count: int) -> None:
        """Waits until so many more writes were promised."""
        goal = len(self.promised) + count
        async with asyncio.timeout(60):
            while len(self.promised) < goal:
                await asyncio.sleep(0.01)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with etcd() as servers:
        files = servers.files()
        flags = [f"--etcd-{name}={files[name]}" for name in ("cafile", "certfile", "keyfile")]
        made = Site(tmp_path, ["--storage-backend=etcd3", f"--etcd-servers={servers.members[0].url}", *flags])
        try:
            yield made
        finally:
            for server in made.servers:
                server.kill()


async def test_clients_lose_nothing_when_servers_are_killed_in_turn(site: Site) -> None:
    for server in site.servers:
        server.start()
    async with site.balancer.listening():
        for server in site.servers:
            await site.ready(server)
        transport = site.client()
        informers = Informers(Client(transport, clock=SystemClock()))
        maps, told = informers.of(ConfigMap, namespace="default"), dict[str, list[str]]()

        def note(old: ConfigMap | None, new: ConfigMap | None) -> None:
            obj = new or old
            assert obj is not None
            told.setdefault(obj.metadata.name, []).append(
                "gone" if new is None else "new" if old is None else "changed"
            )

        maps.on_change(note)
        following = asyncio.create_task(informers.run())
        writing = [asyncio.create_task(site.write(who)) for who in range(WRITERS)]
        for kill in range(KILLS):
            await site.more(25)
            server = site.servers[kill % 2]
            server.kill()
            await site.more(25)
            server.start()
            await site.ready(server)
        site.ending = True
        await asyncio.gather(*writing)
        there = {name for name, stays in site.promised.items() if stays}
        for server in site.servers:
            client = site.client(server.port)
            _, listed = await ask(client, "GET", MAPS)
            assert {i["metadata"]["name"] for i in listed["items"] if i["metadata"]["name"].startswith("m-")} == there
            await client.aclose()
        async with asyncio.timeout(30):
            while {o.metadata.name for o in maps.cache if o.metadata.name.startswith("m-")} != there:
                await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.wait({following})
        await transport.aclose()
    # Once each, in spite of all: a watch goes on where the last one was, at either server.
    for name, stays in site.promised.items():
        assert told.get(name) == ["new"] if stays else told.get(name) == ["new", "gone"], name
