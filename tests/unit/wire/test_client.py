"""The HTTP client against our own server and against raw sockets."""

import asyncio
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pybernetes.wire.client import HttpClient
from pybernetes.wire.dial import BrokenError, DialError, TimedOutError
from pybernetes.wire.http import ByteStream, Headers, Request, Response, read_body
from pybernetes.wire.pki.certificates import Leaf, user_of
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls, client_context

Serve = Callable[..., Awaitable[HttpServer]]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def client_of(server: HttpServer) -> HttpClient:
    return HttpClient(f"http://127.0.0.1:{server.port}")


async def echo(request: Request) -> Response:
    text = f"{request.method} {request.target} {len(request.body)}"
    return Response(200, Headers([("X-Way", request.headers.get("x-way"))]), text.encode())


async def scripted(script: Script) -> tuple[asyncio.Server, HttpClient]:
    """A server that speaks as the test says."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    return server, HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_request_and_answer_arrive_whole(serve: Serve) -> None:
    client = client_of(await serve(echo))
    response = await client(Request("POST", "/a?b=c", Headers([("X-Way", "there")]), b"x" * 100_000))
    assert (response.status, response.body, response.headers.get("x-way")) == (200, b"POST /a?b=c 100000", "there")
    await client.aclose()


async def test_connections_are_reused_one_after_another_and_multiplied_side_by_side(serve: Serve) -> None:
    server = await serve(echo)
    client = client_of(server)
    for _ in range(5):
        await client(Request("GET", "/"))
    assert len(server.connections) == 1
    answers = await asyncio.gather(*(client(Request("GET", f"/{n}")) for n in range(20)))
    assert [answer.body for answer in answers] == [f"GET /{n} 0".encode() for n in range(20)]
    await client.aclose()


async def test_stream_is_read_as_it_comes_and_closing_it_ends_the_handler(serve: Serve) -> None:
    ended = asyncio.Event()

    async def count() -> AsyncIterator[bytes]:
        try:
            for n in range(3):
                yield b"%d" % n
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, body=count())

    client = client_of(await serve(handler))
    response = await client(Request("GET", "/"))
    assert not isinstance(response.body, bytes)
    seen = b""
    async for chunk in response.body:
        seen += chunk
        if seen == b"012":
            break
    await response.body.aclose()  # type: ignore[attr-defined]
    await ended.wait()
    await client.aclose()


async def test_a_stream_read_to_its_end_gives_the_connection_back(serve: Serve) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    server = await serve(handler)
    client = client_of(server)
    for _ in range(3):
        assert len(await read_body(await client(Request("GET", "/")))) == 1_000_000
    assert len(server.connections) == 1
    await client.aclose()


async def test_refused_connection_reads_as_users_know_it() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}")
    with pytest.raises(DialError, match=f"^dial tcp 127.0.0.1:{port}: connect: connection refused$"):
        await client(Request("GET", "/"))


async def test_missing_unix_socket_reads_as_users_know_it(tmp_path: Path) -> None:
    client = HttpClient("http://localhost", unix_path=str(tmp_path / "x.sock"))
    with pytest.raises(DialError, match=r"^dial unix .*x.sock: connect: no such file or directory$"):
        await client(Request("GET", "/"))


async def test_get_on_a_dead_pooled_connection_is_sent_once_more() -> None:
    served: list[bytes] = []

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # the second request is read, and never answered

    server, client = await scripted(one_answer)
    assert (await client(Request("GET", "/1"))).body == b"ok"
    assert (await client(Request("GET", "/2"))).body == b"ok"
    with pytest.raises(BrokenError):
        await client(Request("POST", "/3", body=b"once only"))
    assert len(served) == 2
    await client.aclose()
    server.close()
    await server.wait_closed()


async def test_answer_cut_short_is_an_error_and_not_a_short_answer() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")

    server, client = await scripted(cut)
    with pytest.raises(BrokenError, match="unexpected EOF"):
        await read_body(await client(Request("GET", "/")))
    await client.aclose()
    server.close()


async def test_answer_without_length_ends_with_the_connection() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nold style")

    server, client = await scripted(old)
    assert await read_body(await client(Request("GET", "/"))) == b"old style"
    await client.aclose()
    server.close()


async def test_silent_server_times_out() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server, _ = await scripted(silent)
    client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.05)
    with pytest.raises(TimedOutError, match="timeout awaiting response headers"):
        await client(Request("GET", "/"))
    await client.aclose()
    server.close()


async def test_gzip_asked_for_is_unpacked() -> None:
    async def packed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        packer = zlib.compressobj(wbits=31)
        body = packer.compress(b"a" * 1000) + packer.flush()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    server, client = await scripted(packed)
    response = await client(Request("GET", "/", Headers([("accept-encoding", "gzip")])))
    assert response.body == b"a" * 1000
    await client.aclose()
    server.close()


async def test_upgrade_gives_bytes_both_ways_and_half_close(serve: Serve) -> None:
    async def shout(stream: ByteStream) -> None:
        await stream.write(b"hello ")
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.write(b" bye")

    async def handler(request: Request) -> Response:
        return Response(101, Headers([("upgrade", "shout")]), upgrade=shout)

    client = client_of(await serve(handler))
    response = await client(Request("GET", "/", Headers([("upgrade", "shout")])))
    assert response.status == 101
    stream = response.stream
    assert stream is not None
    await stream.write(b"abc")
    await stream.write_eof()
    got = b""
    while data := await stream.read():
        got += data
    assert got == b"hello ABC bye"
    await stream.close()
    await client.aclose()


async def test_line_breaks_in_headers_never_reach_the_wire(serve: Serve) -> None:
    client = client_of(await serve(echo))
    for request in (
        Request("GET", "/", Headers([("x", "a\r\nb: c")])),
        Request("GET", "/a b"),
        Request("GET", "/ HTTP/1.1\r\nx: y\r\n"),
    ):
        with pytest.raises(ValueError):
            await client(request)
    await client.aclose()


async def test_client_certificate_reaches_the_handler(
    serve: Serve, identity: Callable[..., Identity], ca_file: Path
) -> None:
    async def who(request: Request) -> Response:
        assert request.peer.certificate is not None
        user = user_of(request.peer.certificate)
        return Response(200, body=f"{user.name} {','.join(user.groups)}".encode())

    tls = ServerTls(identity(Leaf("server", hosts=("127.0.0.1",), usages=("server auth",))), client_ca=ca_file)
    server = await serve(who, ssl=tls.context)
    mine = identity(Leaf("alice", ("system:masters", "dev")), "alice")
    client = HttpClient(f"https://127.0.0.1:{server.port}", ssl=client_context(ca=ca_file, identity=mine))
    for _ in range(2):
        assert (await client(Request("GET", "/"))).body == b"alice system:masters,dev"
    await client.aclose()


async def test_unknown_authority_wrong_name_and_missing_certificate_say_so(
    serve: Serve, identity: Callable[..., Identity], ca_file: Path
) -> None:
    leaf = Leaf("server", hosts=("10.0.0.1",), usages=("server auth",))
    tls = ServerTls(identity(leaf), client_ca=ca_file, require_client=True)
    url = f"https://127.0.0.1:{(await serve(echo, ssl=tls.context)).port}"
    cases = [
        (client_context(), "127.0.0.1", "x509: certificate signed by unknown authority"),
        (client_context(ca=ca_file), "127.0.0.1", "x509: certificate is valid for other addresses, not 127.0.0.1"),
        (client_context(ca=ca_file), "10.0.0.1", "remote error: tls: certificate required"),
    ]
    for context, name, text in cases:
        client = HttpClient(url, ssl=context, server_name=name)
        with pytest.raises(ConnectionError, match=text):
            await client(Request("GET", "/"))
        await client.aclose()


async def test_renewed_certificate_is_used_by_new_connections(
    serve: Serve, identity: Callable[..., Identity], ca_file: Path
) -> None:
    tls = ServerTls(identity(Leaf("old", hosts=("127.0.0.1",), usages=("server auth",))))
    url = f"https://127.0.0.1:{(await serve(echo, ssl=tls.context)).port}"
    before = HttpClient(url, ssl=client_context(ca=ca_file))
    await before(Request("GET", "/"))
    assert not tls.reload()
    renewed = identity(Leaf("new", hosts=("127.0.0.2",), usages=("server auth",)))
    assert tls.reload()
    await before(Request("GET", "/"))
    after = HttpClient(url, ssl=client_context(ca=ca_file), server_name="127.0.0.2")
    await after(Request("GET", "/"))
    renewed.key.write_bytes(b"nonsense")
    with pytest.raises((ssl.SSLError, OSError)):
        tls.reload()
    await after.aclose()
    await before.aclose()
