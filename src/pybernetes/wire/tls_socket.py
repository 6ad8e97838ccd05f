"""TLS below HTTP, of both ends: OpenSSL reads and writes the socket itself. tls_server.py accepts such connections, dial.py
makes them.

The loop's own TLS puts two buffers of memory and a transport of its own between OpenSSL and the socket, and uvloop's a
third of 256 KB for what comes in; what comes last it loses where reading is paused. Here a connection is OpenSSL's state
and little more, and nothing is copied on its way.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

RECORD = 16 * 1024
"""Bytes that a record of TLS holds at most (RFC 8446, section 5.1)."""
_HIGH, _LOW = 64 * 1024, 16 * 1024
"""Bytes that the kernel has not taken: from when on the protocol is told to pause, and to go on."""
_RECORDS_A_READ = 16


async def handshake(sock: ssl.SSLSocket, turn: Callable[[], Awaitable[None]] | None = None) -> None:
    """In steps of half a millisecond or more; each waits for its `turn`. Raises OSError."""
    loop = asyncio.get_running_loop()
    while True:
        if turn is not None:
            await turn()
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            await readable(sock)
        except ssl.SSLWantWriteError:
            await _ready(sock, loop.add_writer, loop.remove_writer)


async def readable(sock: socket.socket) -> None:
    """Waits until something comes, or the end."""
    loop = asyncio.get_running_loop()
    await _ready(sock, loop.add_reader, loop.remove_reader)


async def _ready(sock: socket.socket, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    waiter = asyncio.get_running_loop().create_future()
    add(sock.fileno(), _wake, waiter)
    try:
        await waiter
    finally:
        remove(sock.fileno())


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class TlsTransport(asyncio.Transport):
    """An established connection. What is written goes out at once, as far as the kernel takes it."""

    __slots__ = (
        "_address",
        "_closing",
        "_linger",
        "_loop",
        "_lost",
        "_paused",
        "_protocol",
        "_reading",
        "_size",
        "_socket",
        "_unsent",
        "_writing",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: ssl.SSLSocket,
        address: Any,
        protocol: asyncio.Protocol,
        linger: Callable[[ssl.SSLSocket], None],
    ) -> None:
        """Begins to read. `linger` takes over a socket whose last byte is sent."""
        self._loop = loop
        self._socket = sock
        self._address = address
        self._protocol = protocol
        self._linger = linger
        self._unsent: list[bytes | memoryview] = []
        self._size = 0  # of what is unsent
        self._paused = self._closing = self._lost = self._reading = self._writing = False
        protocol.connection_made(self)
        self.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, `socket`, and `ssl_object`, which is the socket again."""
        if name == "peername":
            return self._address
        return self._socket if name in ("socket", "ssl_object") else default

    # --- reading

    def is_reading(self) -> bool:
        """Whether bytes are taken from the socket."""
        return self._reading

    def pause_reading(self) -> None:
        """Leaves what comes in the kernel."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket.fileno())

    def resume_reading(self) -> None:
        """Takes bytes again."""
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        """A record or some. OpenSSL reads no further than a record's end, so the kernel tells of what is left."""
        try:
            for _ in range(_RECORDS_A_READ):
                data = self._socket.recv(RECORD)
                if not data:
                    self._ended()
                    return
                self._protocol.data_received(data)
                if len(data) < RECORD or not self._reading:
                    break
            # A reset that comes with the last bytes is told once by uvloop, which does not watch the socket any longer.
            if self._reading and (number := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                raise OSError(number, "the connection was reset")
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # part of a record, or a message of TLS itself
        except ssl.SSLEOFError:
            self._ended()
        except OSError as error:
            self._lose(error)
        except BaseException:
            self.abort()
            raise

    def _ended(self) -> None:
        """The peer has ended its half: with a word (close_notify) or without, since HTTP frames what it says."""
        self._protocol.eof_received()
        self.close()

    # --- writing

    def write(self, data: bytes | memoryview) -> None:  # type: ignore[override] # what is given must stay as it is
        """Sends; what the kernel does not take now goes out later."""
        if self._closing or not data:
            return
        if self._unsent:
            self._keep(data)
            return
        rest = self._send(data)
        if rest is not None:
            self._wait_to_write()
            self._keep(rest)

    def writelines(self, list_of_data: Iterable[bytes | memoryview]) -> None:  # type: ignore[override]
        """As write(). A copy costs less than a record and a system call for each little piece."""
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._size

    def can_write_eof(self) -> bool:
        """No: who reads the end of a peer's half takes the peer for gone, in Go as well as here."""
        return False

    def _send(self, data: bytes | memoryview) -> bytes | memoryview | None:
        """What the kernel does not take; to be sent again as it is, since OpenSSL has begun with it."""
        try:
            sent, size = self._socket.send(data), len(data)
            while sent < size:
                data = memoryview(data)[sent:]
                size -= sent
                sent = self._socket.send(data)
        except ssl.SSLWantWriteError:
            return data
        except OSError as error:
            self._lose(error)
        return None

    def _keep(self, data: bytes | memoryview) -> None:
        self._unsent.append(data)
        self._size += len(data)
        if self._size > _HIGH and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def _wait_to_write(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())

    def _writable(self) -> None:
        """Sends what waits, as far as it goes."""
        while self._unsent:
            before = self._unsent[0]
            rest = self._send(before)
            if self._lost:
                return
            if rest is not None:
                self._unsent[0] = rest
                self._size -= len(before) - len(rest)
                break
            self._size -= len(self._unsent.pop(0))
        if self._paused and self._size <= _LOW:
            self._paused = False
            self._protocol.resume_writing()
        if not self._unsent:
            self._stop_writing()
            if self._closing:
                self._end()

    # --- the end

    def is_closing(self) -> bool:
        """Whether close() or abort() was called, or the connection is lost."""
        return self._closing

    def close(self) -> None:
        """Sends what is left, and that nothing follows, and closes."""
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        if not self._unsent:
            self._end()

    def abort(self) -> None:
        """Closes at once."""
        self._lose(None)

    def _end(self) -> None:
        try:
            self._socket.unwrap()
        except ssl.SSLWantWriteError:
            self._wait_to_write()
            return
        except OSError:
            pass  # our word is sent; unwrap waits for the peer's, which is not here yet, or behind what it sent before
        self._linger(self._socket)
        self._lost = True
        self._loop.call_soon(self._gone, None)

    def _lose(self, error: OSError | None) -> None:
        if self._lost:
            return
        self.pause_reading()
        self._stop_writing()
        self._unsent.clear()
        self._size = 0
        self._closing = self._lost = True
        self._socket.close()
        self._loop.call_soon(self._gone, error)

    def _gone(self, error: OSError | None) -> None:
        protocol = self._protocol
        del self._protocol, self._linger  # what leads back: the collector comes seldom
        protocol.connection_lost(error)
