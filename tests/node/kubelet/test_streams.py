"""exec, attach and port-forward on a real containerd, by every protocol that clients speak: nothing is lost, nothing is left."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import struct
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from bench._node import NodeUnderTest, running
from msgspec.structs import replace
from tests.node.kubelet.test_server import served, text

from pybernetes.wire import channels, spdy
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response, read_body
from pybernetes.wire.spdy import SpdyConnection, SpdyStream
from pybernetes.wire.websocket import MessageStream, WebSocket, WebSocketError, connect

pytestmark = pytest.mark.root

LARGE = 24 * 1024 * 1024
QUESTION = b"GET /none HTTP/1.0\r\n\r\n"
SUCCESS = {"metadata": {}, "status": "Success"}


def exec_target(*command: str, **streams: bool) -> str:
    query = [(name, "1") for name, wanted in streams.items() if wanted] + [("command", word) for word in command]
    return f"/exec/default/target/c?{urlencode(query)}"


async def socket_to(client: HttpClient, target: str, *protocols: str) -> WebSocket:
    found = await connect(client, Request("GET", target), protocols)
    assert isinstance(found, WebSocket), (found.status, await read_body(found))
    return found


async def received(streams: channels.Channels) -> dict[int, bytes]:
    """What came on each channel until the end."""
    found: dict[int, bytearray] = {}
    while (message := await streams.receive()) is not None:
        channel, data = message
        found.setdefault(channel, bytearray()).extend(data or b"")
    return {channel: bytes(data) for channel, data in found.items()}


@contextlib.asynccontextmanager
async def spdy_to(
    client: HttpClient, target: str, protocol: str = "v4.channel.k8s.io"
) -> AsyncIterator[SpdyConnection]:
    headers = Headers([("connection", "Upgrade"), ("upgrade", spdy.PROTOCOL), (spdy.VERSION_HEADER, protocol)])
    response = await client(Request("POST", target, headers))
    assert response.stream is not None, (response.status, await read_body(response))
    connection = SpdyConnection(response.stream, client=True)
    reader = asyncio.create_task(connection.run())
    try:
        yield connection
    finally:
        await connection.close()
        reader.cancel()
        await asyncio.wait({reader})


async def whole(stream: SpdyStream) -> bytes:
    data = bytearray()
    while piece := await stream.read():
        data += piece
    return bytes(data)


@pytest.fixture
async def target(one: NodeUnderTest) -> AsyncIterator[HttpClient]:
    await one.create("target")
    await one.until("target", running)
    async with served(one) as client:
        yield client


@pytest.mark.parametrize(
    "protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io", ""]
)  # fmt: skip
async def test_every_websocket_protocol_gives_output_and_errors(target: HttpClient, protocol: str) -> None:
    to = exec_target("sh", "-c", "echo out; echo err >&2; exit 3", output=True, error=True)
    socket = await socket_to(target, to, *([protocol] if protocol else []))
    assert socket.protocol == protocol
    found = await received(channels.Channels(socket))
    assert (found[channels.STDOUT], found[channels.STDERR]) == (b"out\n", b"err\n")
    if "v4" in protocol or "v5" in protocol:
        status = json.loads(found[channels.ERROR])
        assert (status["reason"], status["details"]["causes"][0]["message"]) == ("NonZeroExitCode", "3")


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_streams_on_which_nothing_happens_end(
    one: NodeUnderTest, target: HttpClient, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert one.kubelet is not None
    config = replace(one.kubelet.settings.config, streaming_connection_idle_timeout=1.0)
    monkeypatch.setattr(one.kubelet, "settings", replace(one.kubelet.settings, config=config))
    command = "for i in 1 2 3 4; do sleep 0.5; echo $i; done; sleep 1000"
    socket = await socket_to(target, exec_target("sh", "-c", command, output=True), protocol)
    streams, found = channels.Channels(socket), bytearray()

    async def until_cut() -> None:
        while message := await streams.receive():
            found.extend((message[1] or b"") if message[0] == channels.STDOUT else b"")

    with pytest.raises(WebSocketError, match="went away"):
        await asyncio.wait_for(until_cut(), 10)
    assert bytes(found) == b"1\n2\n3\n4\n"


async def test_stdin_can_end_where_the_protocol_has_a_word_for_it(target: HttpClient) -> None:
    socket = await socket_to(target, exec_target("sha256sum", input=True, output=True), channels.V5)
    streams = channels.Channels(socket)
    await streams.send(channels.STDIN, b"through")
    await streams.close_channel(channels.STDIN)
    found = await received(streams)
    assert found[channels.STDOUT].split()[0].decode() == hashlib.sha256(b"through").hexdigest()
    assert json.loads(found[channels.ERROR]) == SUCCESS


async def test_much_goes_both_ways_and_arrives_as_it_was(target: HttpClient) -> None:
    data = os.urandom(LARGE)
    socket = await socket_to(target, exec_target("cat", input=True, output=True), channels.V5)
    streams = channels.Channels(socket)

    async def send() -> None:
        await streams.send(channels.STDIN, data)
        await streams.close_channel(channels.STDIN)

    _, found = await asyncio.gather(send(), received(streams))
    assert hashlib.sha256(found[channels.STDOUT]).digest() == hashlib.sha256(data).digest()

    async with spdy_to(target, exec_target("cat", input=True, output=True)) as connection:
        error = await connection.open({"streamtype": "error"})
        stdin = await connection.open({"streamtype": "stdin"})
        stdout = await connection.open({"streamtype": "stdout"})

        async def write() -> None:
            await stdin.write(data)
            await stdin.write_eof()

        _, echoed, status = await asyncio.gather(write(), whole(stdout), whole(error))
        assert hashlib.sha256(echoed).digest() == hashlib.sha256(data).digest()
        assert json.loads(status) == SUCCESS


async def test_a_terminal_has_the_size_of_its_client(target: HttpClient) -> None:
    command = "until stty size 2>/dev/null | grep '^40 '; do sleep 0.05; done"
    socket = await socket_to(target, exec_target("sh", "-c", command, input=True, output=True, tty=True), channels.V5)
    streams = channels.Channels(socket)
    await streams.send(channels.RESIZE, b'{"Width":100,"Height":40}')
    assert (await received(streams))[channels.STDOUT].strip() == b"40 100"


async def test_many_at_once_leave_nothing_behind(one: NodeUnderTest, target: HttpClient) -> None:
    def left() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())

    async def ask(number: int) -> None:
        socket = await socket_to(
            target, exec_target("echo", str(number), output=True), channels.V5 if number % 2 else channels.V4
        )
        assert (await received(channels.Channels(socket)))[channels.STDOUT] == b"%d\n" % number

    await ask(0)
    before = left()
    await asyncio.gather(*(ask(number) for number in range(16)))
    async with asyncio.timeout(10):
        while any(now > then for now, then in zip(left(), before, strict=True)):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("protocol", [channels.V5, channels.V4])
async def test_a_client_that_goes_away_ends_the_commands_streams(target: HttpClient, protocol: str) -> None:
    mark = f"/gone-{protocol[:2]}"
    socket = await socket_to(
        target, exec_target("sh", "-c", f"echo on; cat; touch {mark}", input=True, output=True), protocol
    )
    streams = channels.Channels(socket)
    while (message := await streams.receive()) is not None and message[1] != b"on\n":
        continue
    await socket.close()
    async with asyncio.timeout(10):
        while True:
            response = await target(Request("POST", f"/run/default/target/c?{urlencode({'cmd': f'ls {mark}'})}"))
            await read_body(response)
            if response.status == 200:
                return
            await asyncio.sleep(0.05)


async def test_a_runtime_that_dies_ends_streams_as_a_failure(one: NodeUnderTest, target: HttpClient) -> None:
    socket = await socket_to(target, exec_target("sh", "-c", "echo on; sleep 100", output=True), channels.V5)
    streams = channels.Channels(socket)
    while (message := await streams.receive()) is not None and message[1] != b"on\n":
        continue
    one.containerd.kill()
    try:
        status = json.loads((await received(streams))[channels.ERROR])
        assert (status["status"], status["reason"]) == ("Failure", "InternalError")
    finally:
        await asyncio.to_thread(one.containerd.start)


async def test_attach_joins_the_main_process(one: NodeUnderTest) -> None:
    await one.create("reader", containers=({"name": "c", "image": one_image(), "stdin": True, "command": ["cat"]},))
    await one.until("reader", running)
    async with served(one) as client:
        socket = await socket_to(client, "/attach/default/reader/c?input=1&output=1&error=1", channels.V5)
        streams = channels.Channels(socket)
        await streams.send(channels.STDIN, b"hello\n")
        while (message := await streams.receive()) is not None and message[0] != channels.STDOUT:
            continue
        assert message == (channels.STDOUT, b"hello\n")
        await socket.close()


async def listening(port: int) -> None:
    """A Pod on the node's network runs before its program listens."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


def one_image() -> str:
    from bench._containerd import IMAGE

    return IMAGE


async def test_ports_are_forwarded_by_every_protocol(one: NodeUnderTest) -> None:
    await one.create("web", "httpd", "-f", "-p", "9917", "-h", "/etc")
    await one.until("web", running)
    await listening(9917)
    async with served(one) as client:
        headers = {"port": "9917", "requestid": "0"}

        async def ask(connection: SpdyConnection) -> None:
            error = await connection.open({**headers, "streamtype": "error"})
            await error.write_eof()
            data = await connection.open({**headers, "streamtype": "data"})
            await data.write(QUESTION)
            assert b"404 Not Found" in await whole(data)
            assert await whole(error) == b""

        async with spdy_to(client, "/portForward/default/web", "portforward.k8s.io") as connection:
            await ask(connection)

        socket = await socket_to(client, "/portForward/default/web", "SPDY/3.1+portforward.k8s.io")
        tunnelled = SpdyConnection(MessageStream(socket), client=True)
        reader = asyncio.create_task(tunnelled.run())
        await ask(tunnelled)
        await tunnelled.close()
        reader.cancel()
        await asyncio.wait({reader})

        socket = await socket_to(client, "/portForward/default/web?port=9917", "v4.channel.k8s.io")
        streams = channels.Channels(socket)
        for channel in (0, 1):
            assert await streams.receive() == (channel, struct.pack("<H", 9917))
        await streams.send(0, QUESTION)
        assert b"404 Not Found" in (await received(streams))[0]


async def test_a_port_nobody_listens_on_is_an_error_of_its_stream(target: HttpClient) -> None:
    async with spdy_to(target, "/portForward/default/target", "portforward.k8s.io") as connection:
        error = await connection.open({"port": "9", "requestid": "0", "streamtype": "error"})
        await error.write_eof()
        await connection.open({"port": "9", "requestid": "0", "streamtype": "data"})
        assert b"refused" in await whole(error)


async def test_unknown_protocols_and_what_is_no_upgrade_are_refused(target: HttpClient) -> None:
    to = exec_target("id", output=True)
    refused = await connect(target, Request("GET", to), ["v9.channel.k8s.io"])
    assert isinstance(refused, Response)
    assert refused.status in (400, 403)
    headers = Headers(
        [("connection", "Upgrade"), ("upgrade", spdy.PROTOCOL), (spdy.VERSION_HEADER, "v9.channel.k8s.io")]
    )
    response = await target(Request("POST", to, headers))
    assert (response.status, response.headers.all("x-accepted-stream-protocol-versions")[0]) == (
        403,
        "v4.channel.k8s.io",
    )
    assert (await text(target, to))[0] == 400


async def test_base64_channels_carry_any_bytes(target: HttpClient) -> None:
    socket = await socket_to(target, exec_target("printf", r"\000\377", output=True), "v4.base64.channel.k8s.io")
    kind, message = await anext(_messages(socket))
    assert (kind, base64.b64decode(message[1:])) == (1, b"\x00\xff")


async def _messages(socket: WebSocket) -> AsyncIterator[tuple[int, bytes]]:
    while (message := await socket.receive()) is not None:
        if message[1][1:]:
            yield message
