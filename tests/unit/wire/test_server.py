"""The HTTP server on real loopback sockets, spoken to byte by byte."""

import asyncio
import contextlib
import gzip
import json
import logging
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import Forbidden, TooManyRequests
from pybernetes.wire.http import ByteStream, Dropped, Handler, Headers, Request, Response
from pybernetes.wire.server import HttpServer, Limits

Serve = Callable[..., Awaitable[HttpServer]]


async def echo(request: Request) -> Response:
    return Response(200, body=b"%s %s %d" % (request.method.encode(), request.target.encode(), len(request.body)))


class Raw:
    """A client that sends exactly what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, server: HttpServer) -> "Raw":
        return cls(*await asyncio.open_connection("127.0.0.1", server.port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        status = int(head[0].split(" ")[1])
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            return status, headers, body
        return status, headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def end(self) -> bytes:
        """All that still comes."""
        with contextlib.suppress(ConnectionResetError):
            return await self.reader.read()
        return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def exchange(server: HttpServer, data: bytes) -> bytes:
    raw = await Raw.to(server)
    raw.send(data)
    got = await raw.end()
    await raw.close()
    return got


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    first = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/slow":
            await first.wait()
        else:
            first.set()
        return await echo(request)

    raw = await Raw.to(await serve(handler))
    many = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(40))
    raw.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + many)
    first.set()
    assert (await raw.answer())[2] == b"GET /slow 0"
    assert [(await raw.answer())[2] for _ in range(40)] == [b"GET /%d 0" % n for n in range(40)]
    await raw.close()


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nG",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_ambiguous_or_malformed_request_is_refused_and_the_connection_ended(serve: Serve, head: bytes) -> None:
    calls: list[str] = []

    async def handler(request: Request) -> Response:
        calls.append(request.target)
        return await echo(request)

    server = await serve(handler, limits=Limits(linger_seconds=0.05))
    got = await exchange(server, head + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert got.count(b"HTTP/1.1") == 1
    assert calls == []


async def test_other_transfer_encodings_are_refused(serve: Serve) -> None:
    server = await serve(echo, limits=Limits(linger_seconds=0.05))
    got = await exchange(server, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 501 ")


async def test_trailers_never_pass_for_headers(serve: Serve) -> None:
    seen: list[Headers] = []

    async def handler(request: Request) -> Response:
        seen.append(request.headers)
        return await echo(request)

    raw = await Raw.to(await serve(handler))
    raw.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Remote-User: root\r\n\r\n"
    )
    assert (await raw.answer())[2] == b"POST / 3"
    assert "x-remote-user" not in seen[0]
    await raw.close()


@pytest.mark.parametrize("tail", [b"X: " + b"x" * 100_000, b"3;" + b"x" * 100_000])
async def test_trailers_and_chunk_extensions_without_end_are_cut_off(serve: Serve, tail: bytes) -> None:
    raw = await Raw.to(await serve(echo, limits=Limits(head=10_000, linger_seconds=0.05)))
    raw.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await asyncio.sleep(0.01)
    raw.send(b"0\r\n" if tail.startswith(b"X") else b"")
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            raw.send(tail)
            await raw.writer.drain()
    with contextlib.suppress(ConnectionResetError):
        assert (await raw.answer())[0] == 431
    await raw.close()


async def test_body_over_the_limit_is_413_with_a_status(serve: Serve) -> None:
    server = await serve(echo, limits=Limits(body=10, linger_seconds=0.05))
    for framed in (
        b"Content-Length: 11\r\n\r\nhello world",
        b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    ):
        raw = await Raw.to(server)
        raw.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framed)
        status, headers, body = await raw.answer()
        assert (status, headers["connection"], json.loads(body)["code"]) == (413, "close", 413)
        await raw.end()
        await raw.close()


async def test_expect_continue_is_answered_before_the_body_comes(serve: Serve) -> None:
    raw = await Raw.to(await serve(echo))
    raw.send(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert await raw.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.send(b"abc")
    assert (await raw.answer())[2] == b"PUT / 3"
    await raw.close()


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_head_over_the_limit_is_431(serve: Serve, pieces: int) -> None:
    raw = await Raw.to(await serve(echo, limits=Limits(head=10_000, linger_seconds=0.05)))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    for _ in range(pieces):
        with contextlib.suppress(ConnectionError):
            raw.send(b"x" * (20_000 // pieces))
            await raw.writer.drain()
    with contextlib.suppress(ConnectionError):
        raw.send(b"\r\n\r\n")
    assert (await raw.answer())[0] == 431
    await raw.close()


async def test_large_body_followed_by_a_next_request_is_no_large_head(serve: Serve) -> None:
    raw = await Raw.to(await serve(echo, limits=Limits(head=1000)))
    for _ in range(2):
        raw.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
    for _ in range(2):
        assert (await raw.answer())[2] == b"POST / 200000"
    await raw.close()


@pytest.mark.parametrize("size", [256 * 1024, 256 * 1024 + 1, 5_000_000])
async def test_large_answers_arrive_whole_and_before_the_next(serve: Serve, size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)

    async def handler(request: Request) -> Response:
        return Response(200, body=body[:size] if request.path == "/large" else b"small")

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await raw.answer())[2] == body[:size]
    assert (await raw.answer())[2] == b"small"
    await raw.close()


async def test_head_has_the_headers_of_get_and_no_body(serve: Serve) -> None:
    raw = await Raw.to(await serve(echo))
    raw.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    head = await raw.reader.readuntil(b"\r\n\r\n")
    assert b"content-length: 8\r\n" in head
    assert (await raw.answer())[2] == b"GET / 0"
    await raw.close()


@pytest.mark.parametrize("wish", [b"", b"Connection: keep-alive\r\n"])
async def test_old_clients_get_an_unframed_answer_and_the_end(serve: Serve, wish: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    got = await exchange(await serve(handler), b"GET / HTTP/1.0\r\n" + wish + b"\r\n")
    assert got.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in got


async def test_absolute_targets_become_paths(serve: Serve) -> None:
    raw = await Raw.to(await serve(echo))
    raw.send(b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await raw.answer())[2] == b"GET /b?c 0"
    await raw.close()


async def test_streams_that_tell_the_same_are_framed_alike_and_others_as_they_are(serve: Serve) -> None:
    common = b"common to many"

    async def body(own: bytes) -> AsyncIterator[bytes]:
        for chunk in (common, own, common, common, own[:-1] + b"!"):
            yield chunk
            await asyncio.sleep(0)

    async def handler(request: Request) -> Response:
        return Response(200, body=body(request.path.encode()))

    url = await serve(handler)
    raws = [await Raw.to(url) for _ in range(3)]
    for number, raw in enumerate(raws):
        raw.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    for number, raw in enumerate(raws):
        own, same = b"2\r\n/%d\r\n" % number, b"e\r\ncommon to many\r\n"
        got = await raw.reader.readuntil(b"0\r\n\r\n")
        assert got.partition(b"\r\n\r\n")[2] == same + own + same + same + b"2\r\n/!\r\n0\r\n\r\n"
        await raw.close()


async def test_stream_chunks_leave_at_once(serve: Serve) -> None:
    step = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await step.wait()
        yield b"second"

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await raw.reader.readuntil(b"5\r\nfirst\r\n")
    step.set()
    assert await raw.reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
    await raw.close()


class Known:
    """A stream whose length is said before."""

    def __init__(self, length: int, *chunks: bytes) -> None:
        self.length = length
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_stream_of_known_length_is_framed_by_it(serve: Serve, version: bytes) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=Known(300_003, b"abc", b"", b"x" * 300_000))

    for method in (b"GET", b"HEAD"):
        asked = method + b" / HTTP/" + version + b"\r\nHost: a\r\nConnection: close\r\n\r\n"
        head, _, body = (await exchange(await serve(handler), asked)).partition(b"\r\n\r\n")
        assert b"\r\ncontent-length: 300003\r\n" in head
        assert b"transfer-encoding" not in head
        assert body == (b"abc" + b"x" * 300_000 if method == b"GET" else b"")


@pytest.mark.parametrize("chunks", [(b"abc",), (b"abc", b"defgh")])
async def test_a_stream_of_another_length_than_was_said_is_cut_where_it_goes_wrong(
    serve: Serve, caplog: pytest.LogCaptureFixture, chunks: tuple[bytes, ...]
) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=Known(5, *chunks))

    got = await exchange(await serve(handler), b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert got.partition(b"\r\n\r\n")[2] in (b"abc", b"")
    assert got.count(b"HTTP/1.1 200") <= 1
    assert "than it was said to be" in caplog.text


async def test_slow_reader_holds_up_the_producer(serve: Serve) -> None:
    produced: list[int] = []
    stuck = asyncio.Event()

    def check(seen: int) -> None:
        if len(produced) == seen:
            stuck.set()

    async def body() -> AsyncIterator[bytes]:
        while True:
            produced.append(1)
            asyncio.get_running_loop().call_later(0.2, check, len(produced))
            yield b"x" * 65536

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    server = await serve(handler)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await stuck.wait()
        assert len(produced) < 200


async def test_disconnect_cancels_the_handler(serve: Serve) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await started.wait()
    await raw.close()
    await ended.wait()


class HeldRequest(Request, weakref=True):
    """One of which can be told whether anybody still has it."""


class HeldResponse(Response, weakref=True):
    """The same of an answer."""


async def test_a_stream_holds_neither_its_request_nor_its_head(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybernetes.wire.parsing.Request", HeldRequest)
    held: list[weakref.ref[object]] = []

    async def endless() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async def handler(request: Request) -> Response:
        response = HeldResponse(body=endless())
        held.extend((weakref.ref(request), weakref.ref(response)))
        return response

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await raw.reader.readuntil(b"first")
    assert [held_one() for held_one in held] == [None, None]
    await raw.close()


async def test_disconnect_before_the_handler_runs_leaves_nothing(serve: Serve) -> None:
    server = await serve(echo)
    raw = await Raw.to(server)
    while not server.connections:
        await asyncio.sleep(0)
    (connection,) = server.connections
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.connection_lost(None)  # in the same turn of the loop
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not server.tasks
    connection.transport.abort()
    await raw.close()


async def test_disconnect_closes_the_stream(serve: Serve) -> None:
    ended = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await raw.reader.readuntil(b"1\r\nx\r\n")
    await raw.close()
    await ended.wait()


async def test_fault_in_a_handler_is_logged_and_500(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        raise RuntimeError("secret detail")

    raw = await Raw.to(await serve(handler))
    with caplog.at_level(logging.ERROR):
        raw.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, body = await raw.answer()
    assert (status, json.loads(body)["reason"]) == (500, "InternalError")
    assert b"secret" not in body
    assert "path=/x" in caplog.text
    await raw.close()


async def test_a_handler_that_drops_a_request_ends_its_connection_without_a_word(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/stream":
            return Response(200, body=broken())
        raise Dropped("on purpose")

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise Dropped("on purpose")

    server = await serve(handler)
    with caplog.at_level(logging.ERROR):
        for path, nothing in (("/", True), ("/stream", False)):
            raw = await Raw.to(server)
            raw.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            got = await raw.end()
            assert (got == b"") is nothing
            assert not got.endswith(b"0\r\n\r\n"), "the peer can tell that it is not whole"
            await raw.close()
    assert not caplog.text


async def test_fault_in_a_stream_cuts_it_short(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    got = await exchange(await serve(handler), b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"0\r\n\r\n" not in got
    assert "stream failed" in caplog.text


async def test_api_errors_become_their_status(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/busy":
            raise TooManyRequests("later", details={"retryAfterSeconds": 1})
        raise Forbidden("no")

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /busy HTTP/1.1\r\nHost: a\r\n\r\n")
    status, _, body = await raw.answer()
    assert (status, json.loads(body)["message"]) == (403, "no")
    status, headers, _ = await raw.answer()
    assert (status, headers["retry-after"]) == (429, "1")
    await raw.close()


async def test_header_with_a_line_break_is_a_fault_not_two_headers(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, Headers([("x", "a\r\nset-cookie: b")]))

    got = await exchange(await serve(handler), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b"set-cookie" not in got
    assert got.startswith(b"HTTP/1.1 500")


async def test_large_bodies_are_packed_for_those_who_ask(serve: Serve) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=b"a" * int(request.path[1:]))

    raw = await Raw.to(await serve(handler))
    for size, wish, packed in (
        (200_000, "gzip, deflate", True),
        (2_000_000, "gzip;q=1.0", True),
        (200_000, "identity", False),
        (200_000, "gzip;q=0", False),
        (1000, "gzip", False),
    ):
        raw.send(f"GET /{size} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {wish}\r\n\r\n".encode())
        _, headers, body = await raw.answer()
        assert (headers.get("content-encoding") == "gzip") is packed
        assert len(gzip.decompress(body) if packed else body) == size
    await raw.close()


async def test_upgrade_hands_over_the_bytes_that_came_with_the_head(serve: Serve) -> None:
    async def shout(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())
        await stream.write(b".")

    async def handler(request: Request) -> Response:
        return Response(101, Headers([("upgrade", "shout")]), upgrade=shout)

    raw = await Raw.to(await serve(handler))
    raw.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nearly ")
    head = await raw.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: shout\r\n")
    assert await raw.reader.readexactly(6) == b"EARLY "
    raw.send(b"late")
    raw.writer.write_eof()
    assert await raw.end() == b"LATE."
    await raw.close()


async def test_refused_upgrade_ends_the_connection_so_that_its_bytes_are_no_request(serve: Serve) -> None:
    got = await exchange(
        await serve(echo),
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    assert got.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in got
    assert b"smuggled" not in got


async def test_unix_sockets_and_handed_over_sockets_work(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    server = HttpServer(echo)
    await server.start(sockets=[sock])
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"GET / 0")
    writer.close()
    await writer.wait_closed()
    await server.stop()


async def test_stop_lets_a_request_in_flight_end_and_takes_no_more(serve: Serve) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        started.set()
        await go.wait()
        return await echo(request)

    server = await serve(handler)
    raw = await Raw.to(server)
    idle = await Raw.to(server)
    raw.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    await started.wait()
    stopping = asyncio.create_task(server.stop(5.0))
    assert await idle.end() == b""
    go.set()
    status, headers, body = await raw.answer()
    assert (status, headers["connection"], body) == (200, "close", b"GET /1 0")
    await stopping
    await raw.close()
    await idle.close()


async def test_stop_waits_for_a_request_that_is_arriving(serve: Serve) -> None:
    server = await serve(echo)
    raw = await Raw.to(server)
    raw.send(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
    while not any(connection.arriving for connection in server.connections):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(server.stop(5.0))
    await asyncio.sleep(0)
    raw.send(b"cd")
    status, headers, body = await raw.answer()
    assert (status, headers["connection"], body) == (200, "close", b"POST /1 4")
    await stopping
    await raw.close()


def _timed(scenario: Callable[[HttpServer], Awaitable[None]], handler: Handler, limits: Limits) -> None:
    async def main() -> None:
        server = HttpServer(handler, limits=limits)
        await server.start()
        await scenario(server)
        await server.stop()

    run_simulated(main())


def test_idle_connection_is_closed_in_its_time() -> None:
    async def scenario(server: HttpServer) -> None:
        raw = await Raw.to(server)
        raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await raw.answer()
        begin = asyncio.get_running_loop().time()
        assert await raw.end() == b""
        assert 60 <= asyncio.get_running_loop().time() - begin <= 75
        await raw.close()

    _timed(scenario, echo, Limits(idle_seconds=60))


def test_head_that_drips_is_cut_off() -> None:
    async def scenario(server: HttpServer) -> None:
        raw = await Raw.to(server)
        begin = asyncio.get_running_loop().time()
        for letter in b"GET / HTTP/1.1\r\nX: " + b"x" * 1000:
            raw.send(bytes((letter,)))
            await asyncio.sleep(1)
            if raw.reader.at_eof():
                break
        assert asyncio.get_running_loop().time() - begin <= 45
        await raw.close()

    _timed(scenario, echo, Limits(head_seconds=30))


def test_peer_that_takes_nothing_of_a_body_is_cut_off() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, body=bytes(50_000_000))

    async def scenario(server: HttpServer) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(1)
            (connection,) = server.connections
            begin = asyncio.get_running_loop().time()
            await connection.gone()
            assert 29 <= asyncio.get_running_loop().time() - begin <= 60

    _timed(scenario, handler, Limits(write_seconds=30))


def test_peer_that_pauses_in_a_stream_may() -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def handler(request: Request) -> Response:
        return Response(200, body=body())

    async def scenario(server: HttpServer) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(3600)
            assert len(server.connections) == 1

    _timed(scenario, handler, Limits(write_seconds=30))


def test_peer_that_pauses_in_a_stream_of_what_is_whole_is_cut_off() -> None:
    class Whole:
        whole = True

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            return b"x" * 65536

    async def handler(request: Request) -> Response:
        return Response(200, body=Whole())

    async def scenario(server: HttpServer) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(15)
            (connection,) = server.connections
            await connection.gone()

    _timed(scenario, handler, Limits(write_seconds=30))


async def test_many_large_requests_at_once_wait_in_the_kernel(serve: Serve) -> None:
    go = asyncio.Event()
    served: list[int] = []

    async def handler(request: Request) -> Response:
        await go.wait()
        served.append(len(request.body))
        return await echo(request)

    server = await serve(handler, limits=Limits(body=1_000_000))
    raw = await Raw.to(server)
    for _ in range(20):
        raw.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + bytes(900_000))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await raw.writer.drain()
    (connection,) = server.connections
    assert connection._waiting_bytes < 3_000_000
    go.set()
    for _ in range(20):
        assert (await raw.answer())[2] == b"POST / 900000"
    await raw.close()


def test_everything_works_on_uvloop() -> None:
    async def main() -> None:
        server = HttpServer(echo)
        await server.start()
        raw = await Raw.to(server)
        for _ in range(3):
            raw.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            assert (await raw.answer())[2] == b"POST /x 3"
        raw.send(b"GET /x HTTP/1.1\r\nHost: a\r\n")
        await server.stop(0.1)
        await raw.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
