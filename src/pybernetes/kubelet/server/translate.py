"""WebSocket at our end, SPDY at the runtime's: what current clients speak (v5.channel.k8s.io, and port-forward through a
WebSocket), and the runtime's streaming server does not. Upstream's API server translates alike (KEP-4006).
"""

import asyncio
from typing import Any

import orjson

from pybernetes.api.errors import InternalError
from pybernetes.kubelet.cri.model import StreamOptions
from pybernetes.wire import channels, spdy, websocket
from pybernetes.wire.http import ByteStream, Headers, Request, Response, Transport, read_body
from pybernetes.wire.spdy import SpdyConnection, SpdyStream
from pybernetes.wire.tunnel import splice
from pybernetes.wire.websocket import MessageStream, WebSocket

SPDY_V4 = "v4.channel.k8s.io"
PORT_FORWARD = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PORT_FORWARD}"
_CUT = orjson.dumps(InternalError("the container runtime ended the streams without a status").status())


def speaks_v5(request: Request) -> bool:
    """The client wants a WebSocket with the v5 channels, which alone can end stdin."""
    return websocket.is_websocket(request) and channels.V5 in websocket.offered(request)


def is_tunnel(request: Request) -> bool:
    """The client wants port-forward's SPDY inside a WebSocket."""
    return websocket.is_websocket(request) and TUNNEL in websocket.offered(request)


async def exec_channels(transport: Transport, target: str, request: Request, options: StreamOptions) -> Response:
    """Answers a v5 request from the runtime's SPDY streams at `target`. Raises InternalError when it refuses."""
    far = await _connected(transport, target, SPDY_V4)

    async def serve(socket: WebSocket) -> None:
        await _Exec(SpdyConnection(far, client=True), channels.Channels(socket), options).run()

    return websocket.accept(request, [channels.V5], serve)


async def tunnel(transport: Transport, target: str, request: Request) -> Response:
    """Answers a port-forward request: the WebSocket's messages are the bytes of the runtime's SPDY connection."""
    far = await _connected(transport, target, PORT_FORWARD)

    async def serve(socket: WebSocket) -> None:
        await splice(MessageStream(socket), far)

    return websocket.accept(request, [TUNNEL], serve)


async def _connected(transport: Transport, target: str, protocol: str) -> ByteStream:
    headers = Headers(
        [("connection", "Upgrade"), ("upgrade", spdy.PROTOCOL), (spdy.VERSION_HEADER, protocol)],
    )
    response = await transport(Request("POST", target, headers))
    if response.status != 101 or response.stream is None:
        text = (await read_body(response)).decode(errors="replace").strip()
        raise InternalError(f"the container runtime refused the streams: {text or response.status}")
    return response.stream


class _Exec:
    """One command's streams, copied until it ends: its output first, then how it ended."""

    def __init__(self, far: SpdyConnection, near: channels.Channels, options: StreamOptions) -> None:
        self._far = far
        self._near = near
        self._options = options

    async def run(self) -> None:
        """Until the command ends or the client goes away."""
        reader = asyncio.create_task(self._far.run(), name="exec.spdy")
        work = asyncio.create_task(self._copy(), name="exec.copy")
        try:
            await asyncio.wait({reader, work}, return_when=asyncio.FIRST_COMPLETED)
            # The runtime hangs up as soon as it has sent all: the client gets what is still on its way.
            await asyncio.wait({work})
        finally:
            await self._far.close()
            reader.cancel()
            work.cancel()
            await asyncio.wait({reader, work})
        for task in (reader, work):
            if not task.cancelled() and not isinstance(task.exception(), ConnectionError | None):
                task.result()

    async def _copy(self) -> None:
        error = await self._far.open({"streamtype": "error"})
        stdin = await self._far.open({"streamtype": "stdin"}) if self._options.stdin else None
        outputs = []
        if self._options.stdout:
            outputs.append((channels.STDOUT, await self._far.open({"streamtype": "stdout"})))
        if self._options.stderr:
            outputs.append((channels.STDERR, await self._far.open({"streamtype": "stderr"})))
        resize = await self._far.open({"streamtype": "resize"}) if self._options.tty else None
        incoming = asyncio.create_task(self._incoming(stdin, resize), name="exec.in")
        ended = asyncio.gather(self._status(error), *(self._output(*output) for output in outputs))
        ended.add_done_callback(_taken)
        both: set[asyncio.Future[Any]] = {incoming, ended}
        try:
            # A client that goes away ends the command's streams; so does the command's own end.
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await self._near.send(channels.ERROR, ended.result()[0])
        finally:
            incoming.cancel()
            ended.cancel()
            await asyncio.wait(both)

    async def _status(self, stream: SpdyStream) -> bytes:
        found = b""
        while data := await stream.read():
            found += data
        return found or _CUT

    async def _output(self, channel: int, stream: SpdyStream) -> bytes:
        while data := await stream.read():
            await self._near.send(channel, data)
        return b""

    async def _incoming(self, stdin: SpdyStream | None, resize: SpdyStream | None) -> None:
        """The client's messages, until it goes away. What the command reads no more is dropped."""
        while (message := await self._near.receive()) is not None:
            channel, data = message
            try:
                if channel == channels.STDIN and stdin is not None:
                    await (stdin.write(data) if data is not None else stdin.write_eof())
                elif channel == channels.RESIZE and resize is not None and data:
                    await resize.write(data)
            except ConnectionError:
                stdin = None


def _taken(ended: "asyncio.Future[Any]") -> None:
    """What a client that has gone away does not hear any more is no news, for asyncio's log neither."""
    if not ended.cancelled():
        ended.exception()
