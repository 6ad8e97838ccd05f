"""TLS of the server on real sockets, with a blocking client of the standard library at the other end, on both loops."""

import asyncio
import contextlib
import errno
import random
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pybernetes.aio.simulation import run_simulated
from pybernetes.wire.http import ByteStream, Handler, Headers, Request, Response
from pybernetes.wire.pki.certificates import Leaf
from pybernetes.wire.server import HttpServer, Limits
from pybernetes.wire.tls import Identity, ServerTls, client_context
from pybernetes.wire.tls_server import TlsServer
from pybernetes.wire.tls_socket import RECORD

Make = Callable[..., Identity]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(request: Request) -> Response:
    return Response(200, body=request.body or b"hello")


class Ends:
    """Contexts of a server and of its clients."""

    def __init__(self, make: Make, ca: Path) -> None:
        leaf = Leaf("server", hosts=("127.0.0.1",), usages=("server auth",))
        self.server = ServerTls(make(leaf, "server"), client_ca=ca).context
        self.client = client_context(ca=ca)

    def dial(self, port: int) -> ssl.SSLSocket:
        """A blocking connection that tells a clean end from a ragged one."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        return self.client.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)


@pytest.fixture
def ends(identity: Make, ca_file: Path) -> Ends:
    return Ends(identity, ca_file)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a scenario on a loop; what the loop could not handle fails the test."""

    def go(main: Coroutine[Any, Any, None]) -> None:
        faults: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
            runner.run(main)
        assert not faults

    return go


Run = Callable[[Coroutine[Any, Any, None]], None]


@contextlib.asynccontextmanager
async def serving(handler: Handler, ends: Ends, limits: Limits | None = None) -> AsyncIterator[HttpServer]:
    server = HttpServer(handler, ssl=ends.server, limits=limits)
    await server.start()
    yield server
    await server.stop()
    assert not server.connections
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("wire.")]


def answer(sock: ssl.SSLSocket) -> tuple[bytes, bytes]:
    """Head and body of an answer of known length."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65536)
    return head, body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bodies_of_all_sizes_come_and_go(run: Run, ends: Ends, version: ssl.TLSVersion) -> None:
    ends.client.maximum_version = version
    sizes = [1, 100, RECORD - 1, RECORD, RECORD + 1, 3 * RECORD, 16 * RECORD, 2_999_999]

    def client(port: int) -> None:
        with ends.dial(port) as sock:
            for size in sizes:
                body = random.Random(size).randbytes(size)
                sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
                assert answer(sock)[1] == body

    async def main() -> None:
        async with serving(echo, ends) as server:
            await asyncio.to_thread(client, server.port)

    run(main())


def test_a_slow_reader_gets_all_of_a_stream_and_holds_up_who_makes_it(run: Run, ends: Ends) -> None:
    made: list[bytes] = []
    source = random.Random(7)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(400):
            made.append(source.randbytes(source.choice((1, 500, 20_000, 70_000, 200_000))))
            yield made[-1]

    async def handler(request: Request) -> Response:
        return Response(200, body=chunks())

    stuck = threading.Event()

    def client(port: int) -> None:
        with ends.dial(port) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            stuck.wait(20)
            assert len(made) < 400
            got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        assert got.partition(b"\r\n\r\n")[2] == b"".join(made)

    async def main() -> None:
        async with serving(handler, ends) as server:
            reading = asyncio.create_task(asyncio.to_thread(client, server.port))
            before = -1
            while before != len(made) or not made:
                before = len(made)
                await asyncio.sleep(0.2)
            stuck.set()
            await reading

    run(main())


def test_pieces_leave_in_whole_records_in_their_order(run: Run, ends: Ends) -> None:
    source = random.Random(3)
    lists = [[source.randbytes(source.choice((0, 1, 7, 4000, RECORD, 50_000))) for _ in range(5)] for _ in range(50)]

    class Pieces(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            for pieces in lists:
                transport.writelines(pieces)
            transport.close()

    def client(port: int) -> None:
        with ends.dial(port) as sock:
            got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        assert got == b"".join(piece for pieces in lists for piece in pieces)

    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = TlsServer(sock, ends.server, Pieces, handshake_seconds=10, linger_seconds=2)
        await asyncio.to_thread(client, port)
        server.close()
        await server.wait_closed()

    run(main())


def test_the_end_of_a_connection_is_told_so_that_nobody_takes_a_cut_for_it(run: Run, ends: Ends) -> None:
    def client(port: int) -> None:
        with ends.dial(port) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert answer(sock)[1] == b"hello"
            assert sock.recv(1) == b""  # close_notify: else SSLEOFError

    async def main() -> None:
        async with serving(echo, ends) as server:
            await asyncio.to_thread(client, server.port)

    run(main())


def test_a_last_answer_reaches_who_is_still_sending(run: Run, ends: Ends) -> None:
    body = random.Random(5).randbytes(300_000)
    asked = asyncio.Event()

    async def handler(request: Request) -> Response:
        asked.set()
        return Response(200, body=body)

    async def main() -> None:
        async with serving(handler, ends) as server:
            with await asyncio.to_thread(ends.dial, server.port) as sock:
                sock.setblocking(False)
                sock.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                with contextlib.suppress(ssl.SSLWantWriteError):
                    while True:
                        sock.send(bytes(RECORD))
                await asked.wait()
                while server.connections:
                    await asyncio.sleep(0.01)
                sock.settimeout(20)
                assert (await asyncio.to_thread(answer, sock))[1] == body

    run(main())


@pytest.mark.parametrize("how", ["notify", "ragged", "reset", "reset with the last bytes"])
def test_a_peer_that_goes_away_ends_its_stream(run: Run, ends: Ends, how: str) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    async def main() -> None:
        async with serving(handler, ends) as server:
            sock = await asyncio.to_thread(ends.dial, server.port)
            sock.sendall(GET)
            await started.wait()
            if how == "notify":
                with contextlib.suppress(ssl.SSLError):
                    sock.settimeout(0)
                    sock.unwrap()
            elif how == "reset with the last bytes":
                sock.sendall(GET)
            if how.startswith("reset"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            await ended.wait()
            while server.connections:
                await asyncio.sleep(0.01)

    run(main())


def test_what_is_no_tls_is_refused_with_what_helps(run: Run, ends: Ends) -> None:
    def say(port: int, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(data)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(1000):
                    got += piece
            return got

    async def main() -> None:
        async with serving(echo, ends) as server:
            plain = await asyncio.to_thread(say, server.port, GET * 1000)
            assert plain == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
            assert (await asyncio.to_thread(say, server.port, b"\x16\x03\x01\x00\x05hello"))[:1] == b"\x15"  # an alert
            with await asyncio.to_thread(ends.dial, server.port) as sock:
                sock.sendall(GET)
                assert (await asyncio.to_thread(answer, sock))[1] == b"hello"

    run(main())


def test_who_lacks_a_certificate_hears_why_though_it_has_sent_more(run: Run, ends: Ends) -> None:
    ends.server.verify_mode = ssl.CERT_REQUIRED

    def client(port: int) -> None:
        with ends.dial(port) as sock:  # in TLS 1.3 the client is ready before it is refused
            sock.sendall(GET * 100)
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
                sock.recv(1)

    async def main() -> None:
        async with serving(echo, ends) as server:
            await asyncio.to_thread(client, server.port)

    run(main())


def test_an_upgraded_connection_carries_bytes_both_ways_and_its_end(run: Run, ends: Ends) -> None:
    async def shout(stream: ByteStream) -> None:
        size = 0
        while data := await stream.read():
            size += len(data)
            await stream.write(data.upper())
        assert size == 5 + 1_000_000

    async def handler(request: Request) -> Response:
        return Response(101, Headers([("upgrade", "shout")]), upgrade=shout)

    async def main() -> None:
        async with serving(handler, ends) as server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=ends.client, server_hostname="127.0.0.1"
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nearly")
            writer.write(b"x" * 1_000_000)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(5 + 1_000_000) == b"EARLY" + b"X" * 1_000_000
            writer.close()
            while server.connections:
                await asyncio.sleep(0.01)

    run(main())


def test_stop_cuts_off_who_has_not_ended_a_handshake(run: Run, ends: Ends) -> None:
    async def main() -> None:
        async with serving(echo, ends) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                while not [task for task in asyncio.all_tasks() if task.get_name() == "wire.tls"]:
                    await asyncio.sleep(0.01)
                await server.stop()
                assert await asyncio.to_thread(sock.recv, 1) == b""

    run(main())


def test_a_peer_that_takes_nothing_of_a_body_is_cut_off(ends: Ends) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=bytes(30_000_000))

    async def main() -> None:
        async with serving(handler, ends, Limits(write_seconds=30)) as server:
            plain = socket.create_connection(("127.0.0.1", server.port))
            plain.setblocking(False)
            client = ends.client.wrap_socket(plain, server_hostname="127.0.0.1", do_handshake_on_connect=False)
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.do_handshake()
                    break
                await asyncio.sleep(0.001)
            client.send(GET)
            while not any(connection.sending for connection in server.connections):
                await asyncio.sleep(0.001)
            (connection,) = server.connections
            began = asyncio.get_running_loop().time()
            await connection.gone()
            assert 30 <= asyncio.get_running_loop().time() - began <= 60
            client.close()

    run_simulated(main())


class _Context:
    """Counts the steps of handshakes that never end."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.iteration = 0

    def wrap_socket(self, sock: socket.socket, **_: object) -> "_Handshake":
        return _Handshake(self, sock)


class _Handshake:
    def __init__(self, context: _Context, sock: socket.socket) -> None:
        self._context = context
        self._sock = sock
        self.fileno, self.close = sock.fileno, sock.close

    def do_handshake(self) -> None:
        self._context.steps.append(self._context.iteration)
        raise ssl.SSLWantReadError  # there is still something to read


async def test_handshakes_take_turns_so_that_others_go_on_between_them() -> None:
    context = _Context()
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    server = TlsServer(sock, context, asyncio.Protocol, handshake_seconds=60, linger_seconds=0)  # type: ignore[arg-type]
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    for client in clients:
        client.sendall(b"x")
    while len(context.steps) < 30:
        context.iteration += 1
        await asyncio.sleep(0)
    assert len(context.steps) == len(set(context.steps))
    for client in clients:
        client.close()
    server.close()
    await server.wait_closed()


class _NoDescriptors(socket.socket):
    """A listening socket of a process that has reached its limit once."""

    failed = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.failed:
            self.failed = True
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_a_process_without_descriptors_accepts_again_later(ends: Ends) -> None:
    async def main() -> None:
        sock = _NoDescriptors()
        sock.bind(("127.0.0.1", 0))
        made = asyncio.Event()

        class Seen(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.set()
                transport.close()

        server = TlsServer(sock, ends.server, Seen, handshake_seconds=60, linger_seconds=1)
        dialing = asyncio.open_connection(
            *sock.getsockname(), ssl=ends.client, server_hostname="127.0.0.1", ssl_handshake_timeout=30
        )
        _, writer = await dialing
        await made.wait()
        assert 1 <= asyncio.get_running_loop().time() < 2
        writer.close()
        server.close()
        await server.wait_closed()

    run_simulated(main())
