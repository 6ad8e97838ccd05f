"""Peers that are slow on purpose hold a connection for a bounded time, and nobody else up. On virtual time."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pybernetes.aio.simulation import run_simulated
from pybernetes.wire.http import Handler, Request, Response
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.server import HttpServer, Limits
from pybernetes.wire.tls import Identity, server_context

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


async def echo(request: Request) -> Response:
    return Response(200, body=b"%d" % len(request.body))


def timed(scenario: Callable[[HttpServer], Awaitable[None]], limits: Limits, handler: Handler = echo) -> None:
    async def main() -> None:
        server = HttpServer(handler, limits=limits)
        await server.start()
        await scenario(server)
        await server.stop()
        assert not server.connections

    run_simulated(main())


async def dripped(server: HttpServer, start: bytes, drops: bytes, pause: float) -> tuple[float, bytes]:
    """Sends `start`, then a byte each `pause` seconds, until the server ends it: how long that took, what it said."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began = loop.time()
    writer.write(start)
    for number in range(len(drops)):
        await asyncio.sleep(pause)
        if reader.at_eof():
            break
        writer.write(drops[number : number + 1])
    took = loop.time() - began
    got = await reader.read() if reader.at_eof() else b""
    writer.close()
    return took, got


@pytest.mark.parametrize(
    ("start", "drops", "most"),
    [
        (b"G", b"ET / HTTP/1.1\r\nX: " + b"x" * 5000, 40),
        (HEAD, b"X: y\r\n" * 1000, 40),
        (HEAD + b"Content-Length: 5000\r\n\r\n", b"x" * 5000, 80),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000, 80),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"T: u\r\n" * 1000, 80),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 5000, 80),
    ],
)
@pytest.mark.parametrize("pause", [0.5, 5])
def test_a_request_that_drips_ends_in_its_time(start: bytes, drops: bytes, most: float, pause: float) -> None:
    async def scenario(server: HttpServer) -> None:
        took, got = await dripped(server, start, drops, pause)
        assert took <= most + pause
        assert b"200" not in got

    timed(scenario, Limits(head_seconds=30, body_seconds=60))


def test_a_peer_that_says_nothing_is_closed() -> None:
    async def scenario(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        began = asyncio.get_running_loop().time()
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began <= 40
        writer.close()

    timed(scenario, Limits(head_seconds=30))


def test_a_slow_body_behind_a_slow_answer_has_its_time_from_then_on() -> None:
    """What waits because the server is slow is not the client's fault."""

    async def handler(request: Request) -> Response:
        if request.target == "/slow":
            await asyncio.sleep(300)
        return await echo(request)

    async def scenario(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + HEAD + b"Content-Length: 4\r\n\r\nab")
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(20)
        writer.write(b"cd")
        assert (await reader.readuntil(b"\r\n\r\n4")).startswith(b"HTTP/1.1 200")
        writer.close()

    timed(scenario, Limits(head_seconds=30, body_seconds=60), handler)


def test_each_body_of_a_connection_has_its_own_time() -> None:
    async def scenario(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(5):
            writer.write(HEAD + b"Content-Length: 4\r\n\r\nab")
            await asyncio.sleep(25)
            writer.write(b"cd" + HEAD + b"Content-Length: 4\r\n\r\nab")
            await asyncio.sleep(25)
            writer.write(b"cd")
            for _ in range(2):
                assert (await reader.readuntil(b"\r\n\r\n4")).startswith(b"HTTP/1.1 200")
        writer.close()

    timed(scenario, Limits(head_seconds=30, body_seconds=40))


def test_slow_peers_hold_nobody_else_up() -> None:
    """Thousands of half requests cost no task, and the next client is answered at once."""

    async def scenario(server: HttpServer) -> None:
        loop = asyncio.get_running_loop()
        before = len(asyncio.all_tasks())
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
        for number, (_, writer) in enumerate(slow):
            writer.write(b"GET / HTTP/1.1\r\nX: y" if number % 2 else HEAD + b"Content-Length: 9\r\n\r\nab")
        await asyncio.sleep(1)
        assert len(server.connections) == 300
        assert len(asyncio.all_tasks()) == before
        began = loop.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n0")
        assert loop.time() - began < 1
        writer.close()
        await asyncio.sleep(120)
        assert not server.connections
        for _, writer in slow:
            writer.close()

    timed(scenario, Limits(head_seconds=30, body_seconds=60))


@pytest.mark.parametrize("streamed", [True, False])
def test_a_reader_that_reads_nothing_holds_little(streamed: bool) -> None:
    """A stream waits for it with one chunk; a whole body is given up."""
    made: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            made.append(65536)
            yield bytes(65536)

    async def handler(request: Request) -> Response:
        return Response(200, body=chunks() if streamed else bytes(30_000_000))

    async def scenario(server: HttpServer) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(200)
            if streamed:
                (connection,) = server.connections
                assert connection.transport.get_write_buffer_size() < 500_000
                assert sum(made) < 20_000_000  # what the kernel took
            else:
                assert not server.connections

    timed(scenario, Limits(write_seconds=30), handler)


@pytest.mark.parametrize(
    ("chunked", "rate", "answered"), [(False, 2048, True), (True, 2048, True), (False, 512, False)]
)
def test_a_long_body_may_take_as_long_as_it_makes_progress(chunked: bool, rate: int, answered: bool) -> None:
    size, pause = 600_000, 4

    async def scenario(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            HEAD + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size)
        )
        began = asyncio.get_running_loop().time()
        for start in range(0, size, rate * pause):
            piece = bytes(min(rate * pause, size - start))
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await asyncio.sleep(pause)
            if reader.at_eof():
                break
        if chunked:
            writer.write(b"0\r\n\r\n")
        took = asyncio.get_running_loop().time() - began
        if answered:
            assert (await reader.readuntil(b"600000")).startswith(b"HTTP/1.1 200")
            assert took > 250
        else:
            assert await reader.read() == b""
            assert 60 < took < 150
        writer.transport.abort()

    timed(scenario, Limits(body_seconds=60, slowest=1024))


async def taken(server: HttpServer, size: int, pause: float) -> int:
    """How much of an answer arrives at a peer that takes `size` bytes each `pause` seconds."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256_000)
        sock.connect(("127.0.0.1", server.port))
        sock.setblocking(False)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = 0
        while True:
            await asyncio.sleep(pause)
            try:
                data = sock.recv(size)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return got
            if not data:
                return got
            got += len(data)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_slow_reader_gets_a_large_answer_and_one_that_drips_does_not(streamed: bool) -> None:
    size = 12_000_000  # more than the kernel takes

    class Body:
        whole = True

        def __init__(self) -> None:
            self.left = [bytes(200_000)] * 60

        def __aiter__(self) -> "Body":
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    async def handler(request: Request) -> Response:
        return Response(200, body=Body() if streamed else bytes(size))

    async def scenario(server: HttpServer) -> None:
        began = asyncio.get_running_loop().time()
        assert await taken(server, 65_536, 5) > size
        assert asyncio.get_running_loop().time() - began > 900
        dripping = asyncio.create_task(taken(server, 100, 5))
        await asyncio.sleep(50)
        assert len(server.connections) == 1
        await asyncio.sleep(100)
        assert not server.connections
        dripping.cancel()

    timed(scenario, Limits(write_seconds=60, slowest=1024), handler)


@pytest.mark.parametrize("ending", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("size", [30_000, 300_000])
def test_answers_that_nobody_reads_hold_no_connection(ending: bytes, size: int) -> None:
    """However little of it is left here: neither before nor after we would like to close it."""

    async def handler(request: Request) -> Response:
        return Response(200, body=bytes(size))

    async def scenario(server: HttpServer) -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect(("127.0.0.1", server.port))
            for connection in server.connections:
                connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            await asyncio.sleep(0.1)
            for connection in server.connections:
                connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + ending + b"\r\n")
            await asyncio.sleep(1)
            (connection,) = server.connections
            assert connection.transport.get_write_buffer_size() > 0
            await asyncio.sleep(300)
            assert not server.connections

    timed(scenario, Limits(write_seconds=30, idle_seconds=60), handler)


def test_a_handshake_that_does_not_end_is_cut_off(tmp_path: Path) -> None:
    authority = new_authority("test", time.time())
    certificate, key = issue(authority, Leaf("server", hosts=("127.0.0.1",), usages=("server auth",)), time.time())
    mine = Identity(tmp_path / "crt", tmp_path / "key")
    mine.certificate.write_bytes(certificate)
    mine.key.write_bytes(key)

    async def main() -> None:
        server = HttpServer(echo, ssl=server_context(mine), limits=Limits(handshake_seconds=10))
        await server.start()
        for start in (b"", b"\x16\x03\x01\x02\x00\x01"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            began = asyncio.get_running_loop().time()
            writer.write(start)
            assert await reader.read() == b""
            assert asyncio.get_running_loop().time() - began <= 15
            writer.close()
        await server.stop()

    run_simulated(main())


def test_a_refused_sender_has_a_while_to_send_on_and_to_read_why() -> None:
    async def scenario(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HEAD + b"Content-Length: 5000000\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 413")
        await asyncio.sleep(1.5)
        writer.write(bytes(1000))
        assert server.connections
        await asyncio.sleep(1.5)
        assert not server.connections
        writer.close()

    timed(scenario, Limits(linger_seconds=2))
