"""WebSocket both ways over our own client and server, and what a peer may not do."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.wire import channels
from pybernetes.wire.channels import Channels
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import ByteStream, Headers, Request, Response
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tunnel import proxy_upgrade
from pybernetes.wire.websocket import (
    BINARY,
    MAX_MESSAGE,
    TEXT,
    TOO_BIG,
    WebSocket,
    WebSocketError,
    accept,
    connect,
    is_websocket,
)

Serve = Callable[..., Awaitable[HttpServer]]


class Tape:
    """A ByteStream that plays bytes and records what is written."""

    def __init__(self, *reads: bytes) -> None:
        self.reads = list(reads)
        self.written = b""
        self.closed = False

    async def read(self) -> bytes:
        return self.reads.pop(0) if self.reads else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def write_eof(self) -> None:
        raise AssertionError("a WebSocket never half-closes")

    async def close(self) -> None:
        self.closed = True


async def echo(socket: WebSocket) -> None:
    while (message := await socket.receive()) is not None:
        await socket.send(message[1], message[0])


async def serve_echo(request: Request) -> Response:
    assert is_websocket(request)
    return accept(request, ["b", "a"], echo)


async def opened(transport: Callable[[Request], Awaitable[Response]], *protocols: str) -> WebSocket:
    socket = await connect(transport, Request("GET", "/exec"), protocols)
    assert isinstance(socket, WebSocket)
    return socket


async def test_messages_of_all_lengths_come_back(serve: Serve) -> None:
    server = await serve(serve_echo)
    client = HttpClient(f"http://127.0.0.1:{server.port}")
    socket = await opened(client, "a", "b")
    assert socket.protocol == "a"
    for length in (0, 1, 125, 126, 65535, 65536, MAX_MESSAGE):
        data = os.urandom(length)
        await socket.send(data)
        assert await socket.receive() == (BINARY, data)
    await socket.send(b"text", TEXT)
    assert await socket.receive() == (TEXT, b"text")
    await socket.close()
    await client.aclose()


async def test_handshake_without_a_known_protocol_is_refused(serve: Serve) -> None:
    client = HttpClient(f"http://127.0.0.1:{(await serve(serve_echo)).port}")
    refused = await connect(client, Request("GET", "/"), ["other"])
    assert isinstance(refused, Response)
    assert refused.status == 400
    await client.aclose()


async def test_close_code_of_the_peer_is_known(serve: Serve) -> None:
    async def leave(socket: WebSocket) -> None:
        await socket.close(1011, "no more")

    async def handler(request: Request) -> Response:
        return accept(request, [""], leave)

    client = HttpClient(f"http://127.0.0.1:{(await serve(handler)).port}")
    socket = await opened(client)
    assert await socket.receive() is None
    assert socket.close_code == 1011
    await client.aclose()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\x01x", 1002),  # not masked
        (b"\xc2\x80\0\0\0\0", 1002),  # reserved bit
        (b"\x83\x80\0\0\0\0", 1002),  # unknown opcode
        (b"\x80\x80\0\0\0\0", 1002),  # continuation of nothing
        (b"\x09\x80\0\0\0\0", 1002),  # ping in pieces
        (b"\x02\x80\0\0\0\0\x82\x80\0\0\0\0", 1002),  # message inside a message
        (b"\x82\xff" + (MAX_MESSAGE + 1).to_bytes(8, "big") + b"\0\0\0\0", TOO_BIG),
    ],
)
async def test_broken_frames_end_the_connection_with_their_code(frame: bytes, code: int) -> None:
    tape = Tape(frame)
    with pytest.raises(WebSocketError) as error:
        await WebSocket(tape, "", client=False).receive()
    assert error.value.code == code
    assert tape.written[:1] == b"\x88"
    assert tape.written[2:4] == code.to_bytes(2, "big")
    assert tape.closed


async def test_ping_is_answered_between_the_pieces_of_a_message() -> None:
    tape = Tape(b"\x02\x81\0\0\0\0a", b"\x89\x82\0\0\0\0hi", b"\x80\x81\0\0\0\0b")
    assert await WebSocket(tape, "", client=False).receive() == (BINARY, b"ab")
    assert tape.written == b"\x8a\x02hi"


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 50))
def test_what_a_client_sends_a_server_reads_however_it_is_cut(messages: list[bytes], step: int) -> None:
    async def main() -> None:
        tape = Tape()
        sender = WebSocket(tape, "", client=True)
        for message in messages:
            await sender.send(message)
        await sender.close()
        wire = tape.written
        reader = WebSocket(Tape(*(wire[i : i + step] for i in range(0, len(wire), step))), "", client=False)
        for message in messages:
            assert await reader.receive() == (BINARY, message)
        assert await reader.receive() is None

    asyncio.run(main())


async def test_exec_channels_through_a_proxy_end_with_stdin_closed(serve: Serve) -> None:
    async def cat(socket: WebSocket) -> None:
        streams = Channels(socket)
        while (got := await streams.receive()) is not None:
            channel, data = got
            if data is None:
                assert channel == channels.STDIN
                break
            await streams.send(channels.STDOUT, data)
        await streams.send(channels.ERROR, b'{"status":"Success"}')
        await streams.close()

    async def kubelet(request: Request) -> Response:
        return accept(request, (channels.V5, channels.V4), cat)

    behind = HttpClient(f"http://127.0.0.1:{(await serve(kubelet)).port}")

    async def api_server(request: Request) -> Response:
        return await proxy_upgrade(behind, request)

    client = HttpClient(f"http://127.0.0.1:{(await serve(api_server)).port}")
    streams = Channels(await opened(client, channels.V5, channels.V4))
    big = os.urandom(100_000)
    await streams.send(channels.STDIN, big)
    await streams.close_channel(channels.STDIN)
    out = b""
    while (got := await streams.receive()) is not None:
        channel, data = got
        assert data is not None
        if channel == channels.ERROR:
            assert data == b'{"status":"Success"}'
        else:
            out += data
    assert out == big
    await client.aclose()
    await behind.aclose()


async def test_refusal_behind_a_proxy_reaches_the_client(serve: Serve) -> None:
    async def kubelet(request: Request) -> Response:
        return Response(403, Headers([("x", "y")]), b"no")

    behind = HttpClient(f"http://127.0.0.1:{(await serve(kubelet)).port}")

    async def api_server(request: Request) -> Response:
        return await proxy_upgrade(behind, request)

    client = HttpClient(f"http://127.0.0.1:{(await serve(api_server)).port}")
    refused = await connect(client, Request("GET", "/"), ["a"])
    assert isinstance(refused, Response)
    assert (refused.status, refused.body) == (403, b"no")
    await client.aclose()
    await behind.aclose()


async def test_client_that_vanishes_closes_the_far_end_of_a_tunnel(serve: Serve) -> None:
    gone = asyncio.Event()

    async def wait(stream: ByteStream) -> None:
        await stream.write(b"ready")
        while await stream.read():
            pass
        gone.set()

    async def kubelet(request: Request) -> Response:
        return Response(101, Headers([("upgrade", "x")]), upgrade=wait)

    behind = HttpClient(f"http://127.0.0.1:{(await serve(kubelet)).port}")

    async def api_server(request: Request) -> Response:
        return await proxy_upgrade(behind, request)

    client = HttpClient(f"http://127.0.0.1:{(await serve(api_server)).port}")
    response = await client(Request("GET", "/", Headers([("upgrade", "x")])))
    assert response.stream is not None
    assert await response.stream.read() == b"ready"
    await client.aclose()
    await gone.wait()
    await behind.aclose()
