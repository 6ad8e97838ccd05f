"""Channel protocols over WebSocket (v4 and v5.channel.k8s.io): the first byte of each message names a stream.

Exec and attach use the channels below; v5 adds a message that closes one channel, so that stdin can end (KEP-4006).
"""

import base64

from pybernetes.wire.websocket import BINARY, TEXT, WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
_CLOSE = 255

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"

CHUNK = 32 * 1024
"""Longest data sent in one message: readers of older clients have buffers of this size."""


class Channels:
    """Numbered streams over one WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self._base64 = "base64" in socket.protocol

    @property
    def can_close(self) -> bool:
        """Single channels can be closed (v5)."""
        return self.socket.protocol == V5

    async def receive(self) -> tuple[int, bytes | None] | None:
        """(channel, data) of the next message; data None: the peer closed that channel. None at the end of all."""
        while True:
            message = await self.socket.receive()
            if message is None:
                return None
            _, data = message
            if not data:
                continue  # keep-alive of some clients
            if self._base64:
                channel, data = data[0] - 48, base64.b64decode(data[1:])
            else:
                channel, data = data[0], data[1:]
            if channel == _CLOSE and self.can_close:
                if data:
                    return data[0], None
                continue
            return channel, data

    async def send(self, channel: int, data: bytes) -> None:
        """Sends on a channel, in pieces of CHUNK; empty data is sent too (it announces a channel)."""
        for start in range(0, len(data) or 1, CHUNK):
            piece = data[start : start + CHUNK]
            if self._base64:
                await self.socket.send(b"%d" % channel + base64.b64encode(piece), TEXT)
            else:
                await self.socket.send(bytes((channel,)) + piece, BINARY)

    async def close_channel(self, channel: int) -> None:
        """Ends one channel; nothing happens before v5."""
        if self.can_close:
            await self.socket.send(bytes((_CLOSE, channel)))

    async def close(self) -> None:
        """Closes all."""
        await self.socket.close()
