"""What server and client share below HTTP: one socket with flow control both ways, and the ByteStream an upgrade gives.

server_connection.py and client.py derive their protocols from Connection.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

READ_AHEAD = 256 * 1024
"""Bytes an unread stream may hold before its socket is no longer read."""

CLOSE_TIMEOUT = 5.0
"""Seconds a closing connection may take to send what is left; then it is cut."""


class ConnectionClosedError(ConnectionError):
    """The peer went away."""

    def __init__(self, why: str = "the peer has closed the connection") -> None:
        super().__init__(why)


class Connection(asyncio.Protocol):
    """One socket. Once `stream` is set, all bytes belong to it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.stream: ConnectionStream | None = None
        self.secure = False
        self.error: BaseException | None = None
        self.lost = False
        """The socket is closed."""
        self.writable = True
        """The peer takes what is sent."""
        self._waiting: tuple[asyncio.Future[None], ...] = ()  # thousands wait for nothing: no Event for each

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.secure = transport.get_extra_info("ssl_object") is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.lost = self.writable = True
        self._changed()
        if self.stream is not None:
            self.stream.feed_eof()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._changed()

    async def drain(self) -> None:
        """Waits while the peer is slow. Raises ConnectionClosedError when it is gone."""
        while not self.writable:
            await self._change()
        if self.lost:
            raise ConnectionClosedError()

    async def gone(self) -> None:
        """Waits until the socket is closed."""
        while not self.lost:
            await self._change()

    async def _change(self) -> None:
        """Waits until the peer takes something again, or is gone."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting += (waiter,)
        await waiter

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, ()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def write(self, data: bytes | memoryview) -> None:
        """Sends; nothing happens on a socket that is closing."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def writelines(self, data: Iterable[bytes]) -> None:
        """As write(), of several pieces."""
        if not self.transport.is_closing():
            self.transport.writelines(data)

    def write_eof(self) -> None:
        """Ends our half; TLS connections have no halves here and are closed, once all is sent."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    async def close(self) -> None:
        """Sends what is left, for CLOSE_TIMEOUT at most, and closes; may be called twice."""
        try:
            self.transport.close()
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.gone()
        except TimeoutError:
            pass
        finally:
            self.transport.abort()
        await self.gone()


class ConnectionStream:
    """The ByteStream over an upgraded Connection. `early` are bytes that came in one read with the head."""

    def __init__(self, connection: Connection, early: bytes = b"", *, eof: bool = False) -> None:
        self._connection = connection
        self._chunks: list[bytes] = [early] if early else []
        self._size = len(early)
        self._eof = eof
        self._wake = asyncio.Event()
        self._reading = True

    def feed(self, data: bytes) -> None:
        """Takes bytes from the socket."""
        self._chunks.append(data)
        self._size += len(data)
        self._wake.set()
        if self._size > READ_AHEAD and self._reading:
            self._reading = False
            self._connection.transport.pause_reading()

    def feed_eof(self) -> None:
        """The peer has ended its half."""
        self._eof = True
        self._wake.set()

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        while not self._chunks:
            if self._eof:
                return b""
            self._wake.clear()
            await self._wake.wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if not self._reading and not self._connection.transport.is_closing():
            self._reading = True
            self._connection.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Sends; waits while the peer is slow. Raises ConnectionError when it is gone."""
        self._connection.write(data)
        await self._connection.drain()

    async def write_eof(self) -> None:
        """Ends our half; closes where the transport has no halves (TLS)."""
        self._connection.write_eof()

    async def close(self) -> None:
        """Closes both halves; may be called twice."""
        await self._connection.close()
