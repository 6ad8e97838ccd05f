"""v5 WebSocket channels at our end, SPDY at the runtime's: streams arrive, stdin ends, the exit is told last."""

import asyncio
import json

from pybernetes.kubelet.cri.model import StreamOptions
from pybernetes.kubelet.server import translate
from pybernetes.wire import channels, spdy, websocket
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Request, Response
from pybernetes.wire.server import HttpServer
from pybernetes.wire.spdy import SpdyConnection

FAILURE = json.dumps({"status": "Failure", "reason": "NonZeroExitCode"}).encode()


async def runtime(request: Request) -> Response:
    """A streaming server as containerd's: echoes stdin to stdout, writes to stderr, then tells the exit."""

    async def serve(connection: SpdyConnection, protocol: str) -> None:
        streams = {}
        while len(streams) < 4:
            stream = await connection.accept()
            assert stream is not None
            streams[stream.headers["streamtype"]] = stream
        while data := await streams["stdin"].read():
            await streams["stdout"].write(data)
        await streams["stderr"].write(b"done")
        await streams["error"].write(FAILURE)
        for stream in streams.values():
            await stream.write_eof()
        await asyncio.Event().wait()

    return spdy.accept(request, ["v4.channel.k8s.io"], serve)


async def refusing(request: Request) -> Response:
    return Response(404, body=b"no such token")


async def test_streams_and_exit_are_translated():
    far = HttpServer(runtime)
    await far.start()
    far_client = HttpClient(f"http://127.0.0.1:{far.port}")

    async def handler(request: Request) -> Response:
        options = StreamOptions(stdin=True, stdout=True, stderr=True, tty=False)
        return await translate.exec_channels(far_client, "/exec/token", request, options)

    near = HttpServer(handler)
    await near.start()
    client = HttpClient(f"http://127.0.0.1:{near.port}")
    try:
        socket = await websocket.connect(client, Request("GET", "/exec"), [channels.V5])
        assert not isinstance(socket, Response)
        streams = channels.Channels(socket)
        await streams.send(channels.STDIN, b"through")
        await streams.close_channel(channels.STDIN)
        got: dict[int, bytes] = {}
        order = []
        while (message := await streams.receive()) is not None:
            channel, data = message
            got[channel] = got.get(channel, b"") + (data or b"")
            order.append(channel)
        assert got == {channels.STDOUT: b"through", channels.STDERR: b"done", channels.ERROR: FAILURE}
        assert order[-1] == channels.ERROR
    finally:
        await client.aclose()
        await near.stop()
        await far_client.aclose()
        await far.stop()


async def test_a_runtime_that_refuses_is_an_error_before_the_upgrade():
    far = HttpServer(refusing)
    await far.start()
    far_client = HttpClient(f"http://127.0.0.1:{far.port}")

    async def handler(request: Request) -> Response:
        options = StreamOptions(stdin=False, stdout=True, stderr=False, tty=False)
        return await translate.exec_channels(far_client, "/exec/token", request, options)

    near = HttpServer(handler)
    await near.start()
    client = HttpClient(f"http://127.0.0.1:{near.port}")
    try:
        answer = await websocket.connect(client, Request("GET", "/exec"), [channels.V5])
        assert isinstance(answer, Response)
        assert answer.status == 500
    finally:
        await client.aclose()
        await near.stop()
        await far_client.aclose()
        await far.stop()
