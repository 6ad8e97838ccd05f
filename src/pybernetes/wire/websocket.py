"""WebSocket (RFC 6455) over a ByteStream: both ends, no extensions. channels.py speaks Kubernetes' protocols on it."""

import base64
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence

from pybernetes.api.errors import BadRequest
from pybernetes.wire.http import ByteStream, Headers, Request, Response, Transport

MAX_MESSAGE = 1024 * 1024
"""Longest message taken; upstream's exec writers stay under 32 KiB."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, TEXT, BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10

NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009
NO_STATUS = 1005


class WebSocketError(ConnectionError):
    """The peer broke the protocol, or is gone."""

    def __init__(self, why: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(why)
        self.code = code


class WebSocket:
    """Messages both ways. `protocol` is the chosen subprotocol; one reader at a time, any number of writers."""

    def __init__(self, stream: ByteStream, protocol: str, *, client: bool) -> None:
        self.protocol = protocol
        self.close_code = NO_STATUS
        self._stream = stream
        self._client = client
        self._buffer = bytearray()
        self._ended = False
        self._close_sent = False

    async def receive(self) -> tuple[int, bytes] | None:
        """The next message: (TEXT or BINARY, data); None once the peer has closed. Raises WebSocketError."""
        if self._ended:
            return None
        try:
            return await self._receive()
        except WebSocketError as error:
            self._ended = True
            await self.close(error.code, str(error))
            raise

    async def _receive(self) -> tuple[int, bytes] | None:
        kind = _CONTINUATION
        parts: list[bytes] = []
        size = 0
        while True:
            final, opcode, data = await self._frame()
            if opcode == _CLOSE:
                self._closed_by_peer(data)
                await self.close(NORMAL if self.close_code == NO_STATUS else self.close_code)
                return None
            if opcode == _PING:
                await self._send(_PONG, data)
            elif opcode in (TEXT, BINARY):
                if parts or kind:
                    raise WebSocketError("a message began inside another")
                kind = opcode
            elif opcode == _CONTINUATION and not kind:
                raise WebSocketError("a continuation without a message")
            if opcode < _CLOSE:
                parts.append(data)
                size += len(data)
                if size > MAX_MESSAGE:
                    raise WebSocketError(f"message longer than {MAX_MESSAGE} bytes", TOO_BIG)
                if final:
                    return kind, parts[0] if len(parts) == 1 else b"".join(parts)

    def _closed_by_peer(self, data: bytes) -> None:
        self._ended = True
        if len(data) >= 2:
            self.close_code = int.from_bytes(data[:2], "big")

    async def _frame(self) -> tuple[bool, int, bytes]:
        first, second = await self._take(2)
        opcode, masked, length = first & 15, bool(second & 128), second & 127
        if first & 0x70:
            raise WebSocketError("reserved bits are set: no extension was agreed")
        if opcode not in (_CONTINUATION, TEXT, BINARY, _CLOSE, _PING, _PONG):
            raise WebSocketError(f"unknown opcode {opcode}")
        if opcode >= _CLOSE and (length > 125 or not first & 128):
            raise WebSocketError("a control frame is long or in pieces")
        if masked is self._client:
            raise WebSocketError("frames of clients, and only those, are masked")
        if length > 125:
            length = int.from_bytes(await self._take(2 if length == 126 else 8), "big")
        if length > MAX_MESSAGE:
            raise WebSocketError(f"message longer than {MAX_MESSAGE} bytes", TOO_BIG)
        mask = await self._take(4) if masked else b""
        data = await self._take(length)
        return bool(first & 128), opcode, _mask(data, mask) if masked else data

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = await self._stream.read()
            if not data:
                raise WebSocketError("the peer went away without closing", NO_STATUS)
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def send(self, data: bytes, kind: int = BINARY) -> None:
        """Sends one message; waits while the peer is slow. Raises ConnectionError when it is gone."""
        if self._close_sent:
            raise WebSocketError("the connection is closed")
        await self._send(kind, data)

    async def _send(self, opcode: int, data: bytes) -> None:
        length = len(data)
        bit = 128 if self._client else 0
        if length < 126:
            head = bytes((128 | opcode, bit | length))
        elif length < 65536:
            head = bytes((128 | opcode, bit | 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((128 | opcode, bit | 127)) + length.to_bytes(8, "big")
        if self._client:
            key = os.urandom(4)
            head, data = head + key, _mask(data, key)
        await self._stream.write(head + data)

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Says goodbye and closes; may be called twice, and on a connection that is gone."""
        try:
            if not self._close_sent:
                self._close_sent = True
                said = b"" if code == NO_STATUS else code.to_bytes(2, "big") + reason.encode()[:120]
                await self._send(_CLOSE, said)
        except ConnectionError:
            pass  # nobody is left to be told
        finally:
            await self._stream.close()


def _mask(data: bytes, key: bytes) -> bytes:
    length = len(data)
    if not length:
        return data
    pattern = key * (length // 4 + 1)
    return (int.from_bytes(data, "little") ^ int.from_bytes(pattern[:length], "little")).to_bytes(length, "little")


def is_websocket(request: Request) -> bool:
    """The request asks for a WebSocket."""
    return request.method == "GET" and request.headers.get("upgrade").lower() == "websocket"


def offered(request: Request) -> list[str]:
    """The subprotocols a request offers, in its order."""
    values = request.headers.all("sec-websocket-protocol")
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def accept(request: Request, known: Sequence[str], serve: Callable[[WebSocket], Awaitable[None]]) -> Response:
    """The 101 that turns a request into a WebSocket; the client's first offer that is `known` is chosen.

    `""` among the known allows a client that offers none. Raises BadRequest.
    """
    key = request.headers.get("sec-websocket-key")
    if request.headers.get("sec-websocket-version") != "13" or len(key) != 24:
        raise BadRequest("a WebSocket handshake needs version 13 and a key")
    names = offered(request)
    chosen = next((name for name in names or [""] if name in known), None)
    if chosen is None:
        raise BadRequest(f"no known WebSocket protocol among {names}: known are {[name for name in known if name]}")
    headers = Headers([("upgrade", "websocket"), ("sec-websocket-accept", _answer(key))])
    if chosen:
        headers.add("sec-websocket-protocol", chosen)

    async def run(stream: ByteStream) -> None:
        socket = WebSocket(stream, chosen, client=False)
        try:
            await serve(socket)
        finally:
            await socket.close()

    return Response(101, headers, upgrade=run)


async def connect(transport: Transport, request: Request, protocols: Sequence[str]) -> WebSocket | Response:
    """Opens a WebSocket; the server's own answer where it refuses. Raises ConnectionError."""
    key = base64.b64encode(os.urandom(16)).decode()
    headers = Headers(request.headers)
    for name, value in (("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", key)):
        headers.set(name, value)
    if protocols:
        headers.set("sec-websocket-protocol", ", ".join(protocols))
    response = await transport(Request("GET", request.target, headers, peer=request.peer))
    if response.status != 101 or response.stream is None:
        return response
    chosen = response.headers.get("sec-websocket-protocol")
    if response.headers.get("sec-websocket-accept") != _answer(key) or (chosen and chosen not in protocols):
        await response.stream.close()
        raise WebSocketError("the server's WebSocket handshake is wrong")
    return WebSocket(response.stream, chosen, client=True)


def _answer(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class MessageStream:
    """A WebSocket's binary messages as a ByteStream: how SPDY is tunnelled through it (KEP-4006)."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """The next message that is not empty; empty at the end."""
        while True:
            message = await self._socket.receive()
            if message is None:
                return b""
            if message[1]:
                return message[1]

    async def write(self, data: bytes) -> None:
        """Sends one message. Raises ConnectionError."""
        await self._socket.send(data)

    async def write_eof(self) -> None:
        """A WebSocket has no halves: closes."""
        await self._socket.close()

    async def close(self) -> None:
        """Closes; may be called twice."""
        await self._socket.close()
