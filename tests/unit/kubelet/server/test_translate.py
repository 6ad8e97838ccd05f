"""v5 WebSocket channels at our end, SPDY at the runtime's: streams arrive, stdin ends, the exit is told last."""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator

from pybernetes.kubelet.cri.model import StreamOptions
from pybernetes.kubelet.server import translate
from pybernetes.wire import channels, spdy, websocket
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Handler, Request, Response
from pybernetes.wire.server import HttpServer
from pybernetes.wire.spdy import SpdyConnection
from pybernetes.wire.websocket import WebSocket

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


@contextlib.asynccontextmanager
async def exec_through(runtime: Handler) -> AsyncIterator[WebSocket | Response]:
    """What a client of v5 gets, with that runtime behind."""
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
        yield await websocket.connect(client, Request("GET", "/exec"), [channels.V5])
    finally:
        await client.aclose()
        await near.stop()
        await far_client.aclose()
        await far.stop()


async def received(streams: channels.Channels) -> tuple[dict[int, bytes], list[int]]:
    """What came on each channel, and the order of channels."""
    got: dict[int, bytes] = {}
    order = []
    while (message := await streams.receive()) is not None:
        channel, data = message
        got[channel] = got.get(channel, b"") + (data or b"")
        order.append(channel)
    return got, order


async def test_streams_and_exit_are_translated():
    async with exec_through(runtime) as socket:
        assert not isinstance(socket, Response)
        streams = channels.Channels(socket)
        await streams.send(channels.STDIN, b"through")
        await streams.close_channel(channels.STDIN)
        got, order = await received(streams)
        assert got == {channels.STDOUT: b"through", channels.STDERR: b"done", channels.ERROR: FAILURE}
        assert order[-1] == channels.ERROR


def ending(size: int, status: bytes, *, deaf: bool) -> Handler:
    """A runtime that writes so much and hangs up at once; `deaf` resets stdin first."""

    async def answer(request: Request) -> Response:
        async def serve(connection: SpdyConnection, protocol: str) -> None:
            streams = {}
            while len(streams) < 4:
                stream = await connection.accept()
                assert stream is not None
                streams[stream.headers["streamtype"]] = stream
            if deaf:
                await streams["stdin"].close()
            await streams["stdout"].write(b"x" * size)
            await streams["error"].write(status)

        return spdy.accept(request, ["v4.channel.k8s.io"], serve)

    return answer


async def test_what_a_runtime_sends_before_it_hangs_up_arrives_whole():
    size = 200_000
    async with exec_through(ending(size, FAILURE, deaf=False)) as socket:
        got, order = await received(channels.Channels(socket))
        assert (len(got[channels.STDOUT]), got[channels.ERROR]) == (size, FAILURE)
        assert order[-1] == channels.ERROR


async def test_a_command_that_reads_no_more_still_tells_all():
    async with exec_through(ending(100_000, FAILURE, deaf=True)) as socket:
        streams = channels.Channels(socket)
        with contextlib.suppress(ConnectionError):  # it may have ended before all is sent
            for _ in range(100):
                await streams.send(channels.STDIN, b"unread" * 1000)
        got, _ = await received(streams)
        assert (len(got[channels.STDOUT]), got[channels.ERROR]) == (100_000, FAILURE)


async def test_a_client_that_goes_away_leaves_no_complaint_in_the_log():
    gone = asyncio.Event()

    async def patient(request: Request) -> Response:
        async def serve(connection: SpdyConnection, protocol: str) -> None:
            kept = [await connection.accept() for _ in range(4)]
            await gone.wait()
            assert kept

        return spdy.accept(request, ["v4.channel.k8s.io"], serve)

    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    async with exec_through(patient) as socket:
        await channels.Channels(socket).send(channels.STDIN, b"word")
        await asyncio.sleep(0.05)
        await socket.close()
    gone.set()
    gc.collect()
    assert complaints == []


async def test_streams_that_end_without_a_status_are_a_failure():
    async with exec_through(ending(10, b"", deaf=False)) as socket:
        got, _ = await received(channels.Channels(socket))
        status = json.loads(got[channels.ERROR])
        assert (status["status"], status["code"]) == ("Failure", 500)


async def test_a_runtime_that_refuses_is_an_error_before_the_upgrade():
    async with exec_through(refusing) as answer:
        assert isinstance(answer, Response)
        assert answer.status == 500
