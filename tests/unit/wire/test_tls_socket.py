"""The end of TLS connections: nothing is lost that was sent before it, whoever is slow. On both loops."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import ByteStream, Headers, Request, Response
from pybernetes.wire.pki.certificates import Leaf
from pybernetes.wire.server import HttpServer
from pybernetes.wire.streams import READ_AHEAD
from pybernetes.wire.tls import Identity, ServerTls, client_context
from pybernetes.wire.tunnel import proxy_upgrade

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
UPGRADE = Request("GET", "/", Headers([("upgrade", "shout")]))
SAID = random.Random(9).randbytes(3 * READ_AHEAD)
Make = Callable[..., Identity]


class Ends:
    """Servers and clients that trust each other."""

    def __init__(self, make: Make, ca: Path) -> None:
        leaf = Leaf("server", hosts=("127.0.0.1",), usages=("server auth",))
        self.server = ServerTls(make(leaf, "server"), client_ca=ca).context
        self.ca = ca

    async def serve(self, upgrade: Callable[[ByteStream], Coroutine[Any, Any, None]]) -> HttpServer:
        async def handler(request: Request) -> Response:
            return Response(101, Headers([("upgrade", "shout")]), upgrade=upgrade)

        server = HttpServer(handler, ssl=self.server)
        await server.start()
        return server

    def client(self, server: HttpServer) -> HttpClient:
        return HttpClient(f"https://127.0.0.1:{server.port}", ssl=client_context(ca=self.ca))


@pytest.fixture
def ends(identity: Make, ca_file: Path) -> Ends:
    return Ends(identity, ca_file)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def go(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(main)

    return go


async def taken(stream: ByteStream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


def test_what_came_before_the_end_waits_for_a_reader_that_has_paused(run, ends: Ends) -> None:
    async def says(near: ByteStream) -> None:
        await near.write(SAID)

    async def main() -> None:
        server = await ends.serve(says)
        client = ends.client(server)
        stream = (await client(UPGRADE)).stream
        assert stream is not None
        while server.connections:  # all is said, and more of it is here than is read ahead
            await asyncio.sleep(0.01)
        assert await taken(stream) == SAID
        await client.aclose()
        await server.stop()

    run(main())


def test_what_the_peer_says_meanwhile_takes_nothing_back(run, ends: Ends) -> None:
    heard = asyncio.Event()

    async def says(near: ByteStream) -> None:
        await near.read()
        heard.set()
        await near.write(SAID)

    async def main() -> None:
        server = await ends.serve(says)
        client = ends.client(server)
        stream = (await client(UPGRADE)).stream
        assert stream is not None
        await stream.write(b"begin")
        await heard.wait()
        for _ in range(100):  # behind the end of what the server hears
            await stream.write(b"and again")
            await asyncio.sleep(0.001)
        assert await taken(stream) == SAID
        await client.aclose()
        await server.stop()

    run(main())


def test_a_joined_connection_ends_with_all_that_was_said(run, ends: Ends) -> None:
    async def says(near: ByteStream) -> None:
        for _ in range(8):
            await near.write(SAID)

    async def main() -> None:
        far = await ends.serve(says)
        there = ends.client(far)

        async def between(request: Request) -> Response:
            return await proxy_upgrade(there, UPGRADE)

        near = HttpServer(between, ssl=ends.server)
        await near.start()
        client = ends.client(near)
        for _ in range(5):
            stream = (await client(UPGRADE)).stream
            assert stream is not None
            assert await taken(stream) == SAID * 8
        await client.aclose()
        await near.stop()
        await there.aclose()
        await far.stop()

    run(main())
