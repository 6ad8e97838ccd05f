"""SPDY/3.1: streams between two ends, over HTTP, and against a peer that breaks the protocol."""

import asyncio
import contextlib
import os
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from pybernetes.wire import spdy
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.server import HttpServer
from pybernetes.wire.spdy import SpdyConnection, SpdyError, SpdyStream
from pybernetes.wire.streams import READ_AHEAD

Serve = Callable[..., Awaitable[HttpServer]]


class Pipe:
    """One end of a connection in memory."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.far: Pipe = self
        self.sent = 0

    async def read(self) -> bytes:
        return await self.incoming.get()

    async def write(self, data: bytes) -> None:
        self.sent += len(data)
        self.far.incoming.put_nowait(data)

    async def write_eof(self) -> None:
        self.far.incoming.put_nowait(b"")

    async def close(self) -> None:
        self.far.incoming.put_nowait(b"")


def pipes() -> tuple[Pipe, Pipe]:
    left, right = Pipe(), Pipe()
    left.far, right.far = right, left
    return left, right


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[SpdyConnection, SpdyConnection]]:
    left, right = pipes()
    client, server = SpdyConnection(left, client=True), SpdyConnection(right)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.run())
        group.create_task(server.run())
        yield client, server
        await client.close()
        await server.close()


async def accepted(connection: SpdyConnection) -> SpdyStream:
    stream = await connection.accept()
    assert stream is not None
    return stream


async def whole(stream: SpdyStream) -> bytes:
    data = b""
    while chunk := await stream.read():
        data += chunk
    return data


async def write_for_ever(stream: SpdyStream) -> None:
    while True:
        await stream.write(b"x")
        await asyncio.sleep(0)


def test_dictionary_is_the_specifications() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


async def test_streams_carry_headers_and_bytes_both_ways_side_by_side() -> None:
    async with connected() as (client, server):
        mine = [await client.open({"StreamType": kind, "port": "80"}) for kind in ("error", "data")]
        theirs = [await accepted(server) for _ in mine]
        assert [stream.headers for stream in theirs] == [
            {"streamtype": "error", "port": "80"},
            {"streamtype": "data", "port": "80"},
        ]
        big = os.urandom(100_000)
        await mine[1].write(big)
        await mine[1].write_eof()
        assert await whole(theirs[1]) == big
        await theirs[1].write(b"answer")
        await theirs[1].write_eof()
        assert await whole(mine[1]) == b"answer"
        await theirs[0].close()
        assert await whole(mine[0]) == b""


async def test_closed_stream_tells_the_writer() -> None:
    async with connected() as (client, server):
        mine = await client.open({})
        theirs = await accepted(server)
        await theirs.close()
        assert await whole(mine) == b""
        with pytest.raises(ConnectionError):
            await write_for_ever(mine)


async def test_end_of_the_connection_ends_all_streams() -> None:
    left, right = pipes()
    server = SpdyConnection(right)
    running = asyncio.create_task(server.run())
    client = SpdyConnection(left, client=True)
    await client.open({})
    theirs = await accepted(server)
    await left.close()
    await running
    assert await whole(theirs) == b""
    assert await server.accept() is None
    with pytest.raises(ConnectionError):
        await theirs.write(b"x")


async def test_unread_stream_holds_up_the_connection_and_reading_frees_it() -> None:
    left, right = pipes()
    server = SpdyConnection(right)
    running = asyncio.create_task(server.run())
    client = SpdyConnection(left, client=True)
    stream = await client.open({})
    sent = READ_AHEAD * 4
    await stream.write(bytes(sent))
    await stream.write_eof()
    theirs = await accepted(server)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not server._room.is_set()
    assert right.incoming.qsize() > 0
    assert len(await whole(theirs)) == sent
    await left.close()
    await running


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">HHI", 0x8002, 1, 0),  # another version
        struct.pack(">HHI", 0x8003, 1, 4) + bytes(4),  # too short for its kind
        struct.pack(">HHI", 0x8003, 1, 12) + struct.pack(">IIH", 1, 0, 0) + b"xx",  # no compressed block
        struct.pack(">II", 1, 0xFFFFFF),  # longer than allowed
        struct.pack(">HHI", 0x8003, 6, 0),  # ping without number
    ],
)
async def test_broken_frames_end_the_connection(frame: bytes) -> None:
    left, right = pipes()
    await left.write(frame)
    with pytest.raises(SpdyError):
        await SpdyConnection(right).run()


async def test_stream_numbers_only_rise_and_are_the_clients() -> None:
    for numbers in ((2,), (3, 1)):
        left, right = pipes()
        client = SpdyConnection(left, client=True)
        for number in numbers:
            client._next = number
            await client.open({})
        with pytest.raises(SpdyError, match="cannot be opened"):
            await SpdyConnection(right).run()


async def test_ping_comes_back_and_window_updates_are_ignored() -> None:
    left, right = pipes()
    ping = struct.pack(">HHII", 0x8003, 6, 4, 1)
    await left.write(struct.pack(">HHIII", 0x8003, 9, 8, 1, 65536) + struct.pack(">HHII", 0x8003, 4, 4, 0) + ping)
    await left.close()
    await SpdyConnection(right).run()
    assert left.incoming.get_nowait() == ping


async def test_exec_over_http_like_an_older_kubectl(serve: Serve) -> None:
    async def cat(connection: SpdyConnection, protocol: str) -> None:
        streams = {}
        for _ in range(3):
            stream = await accepted(connection)
            streams[stream.headers["streamtype"]] = stream
        while data := await streams["stdin"].read():
            await streams["stdout"].write(data.upper())
        await streams["stdout"].close()
        await streams["error"].write(b'{"status":"Success"}')
        await streams["error"].close()

    async def handler(request: Request) -> Response:
        return spdy.accept(request, ["v4.channel.k8s.io"], cat)

    client = HttpClient(f"http://127.0.0.1:{(await serve(handler)).port}")
    offers = [("upgrade", "SPDY/3.1"), *(("x-stream-protocol-version", f"v{n}.channel.k8s.io") for n in (5, 4, 3))]
    response = await client(Request("POST", "/exec", Headers(offers)))
    assert response.status == 101
    assert response.headers.get("x-stream-protocol-version") == "v4.channel.k8s.io"
    assert response.stream is not None
    connection = SpdyConnection(response.stream, client=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(connection.run())
        error, stdin, stdout = [await connection.open({"streamtype": k}) for k in ("error", "stdin", "stdout")]
        await stdin.write(b"hello")
        await stdin.write_eof()
        assert await whole(stdout) == b"HELLO"
        assert await whole(error) == b'{"status":"Success"}'
    await client.aclose()


async def test_client_that_vanishes_cancels_the_work(serve: Serve) -> None:
    ended = asyncio.Event()

    async def forever(connection: SpdyConnection, protocol: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return spdy.accept(request, ["a"], forever)

    client = HttpClient(f"http://127.0.0.1:{(await serve(handler)).port}")
    await client(Request("POST", "/", Headers([("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "a")])))
    await client.aclose()
    await ended.wait()


async def test_negotiation_fails_as_upstreams_does(serve: Serve) -> None:
    async def never(connection: SpdyConnection, protocol: str) -> None:
        raise AssertionError

    async def handler(request: Request) -> Response:
        return spdy.accept(request, ["v4.channel.k8s.io"], never)

    client = HttpClient(f"http://127.0.0.1:{(await serve(handler)).port}")
    upgrade = [("upgrade", "SPDY/3.1")]
    assert (await client(Request("POST", "/", Headers(upgrade)))).status == 400
    other = await client(Request("POST", "/", Headers([*upgrade, ("x-stream-protocol-version", "v9")])))
    assert other.status == 403
    assert other.headers.all("x-accepted-stream-protocol-versions") == ["v4.channel.k8s.io"]
    await client.aclose()
