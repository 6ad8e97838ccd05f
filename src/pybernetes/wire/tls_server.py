"""TLS below the HTTP server: OpenSSL reads and writes the sockets itself. server.py gives the protocols above it.

The loop's own TLS puts two buffers of memory and a transport of its own between OpenSSL and the socket, and uvloop's a
third of 256 KB for what comes in. Here a connection is OpenSSL's state and little more, and nothing is copied on its way.
Handshakes take turns, one step each, so that a thousand clients that come at once hold up nobody who is there already.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from pybernetes.aio.turns import Turns

log = logging.getLogger(__name__)

RECORD = 16 * 1024
"""Bytes that a record of TLS holds at most (RFC 8446, section 5.1)."""
_HIGH, _LOW = 64 * 1024, 16 * 1024
"""Bytes that the kernel has not taken: from when on the protocol is told to pause, and to go on."""
_RECORDS_A_READ = 16
_BACKLOG = 1024
_ACCEPT_AGAIN = 1.0
"""Seconds without an accept, where the process has no descriptor left for another socket."""
_NOT_HTTPS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""Go's server says it in these words."""


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
        self._paused = self._closing = self._lost = self._reading = False
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
            self._loop.add_writer(self._socket.fileno(), self._writable)
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
            self._loop.remove_writer(self._socket.fileno())
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
        with contextlib.suppress(OSError):  # it waits for the peer's word, and is told that this is not here yet
            self._socket.unwrap()
        self._linger(self._socket)
        self._lost = True
        self._loop.call_soon(self._gone, None)

    def _lose(self, error: OSError | None) -> None:
        if self._lost:
            return
        self.pause_reading()
        if self._unsent:
            self._loop.remove_writer(self._socket.fileno())
            self._unsent.clear()
            self._size = 0
        self._closing = self._lost = True
        self._socket.close()
        self._loop.call_soon(self._gone, error)

    def _gone(self, error: OSError | None) -> None:
        protocol = self._protocol
        del self._protocol, self._linger  # what leads back: the collector comes seldom
        protocol.connection_lost(error)


class TlsServer:
    """Accepts connections of one listening socket, secures them, and gives each to a protocol of `factory`."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.Protocol],
        *,
        handshake_seconds: float,
        linger_seconds: float,
    ) -> None:
        """Serves from now on; close() and wait_closed() end it. Raises OSError for a socket that cannot listen."""
        self.sockets = (sock,)
        self._context = context
        self._factory = factory
        self._handshake_seconds = handshake_seconds
        self._linger_seconds = linger_seconds
        self._loop = asyncio.get_running_loop()
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = True
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._listen()

    def close(self) -> None:
        """Accepts nothing more."""
        if self._serving:
            self._serving = False
            (sock,), self.sockets = self.sockets, ()  # type: ignore[assignment]
            self._loop.remove_reader(sock.fileno())
            sock.close()

    async def wait_closed(self) -> None:
        """Cuts off who is not connected yet, or not gone; no task is left."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _listen(self) -> None:
        if self._serving:
            self._loop.add_reader(self.sockets[0].fileno(), self._accept)

    def _accept(self) -> None:
        (sock,) = self.sockets
        for _ in range(_BACKLOG):
            try:
                accepted, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept connections cause=%s", error)
                self._loop.remove_reader(sock.fileno())
                self._loop.call_later(_ACCEPT_AGAIN, self._listen)
                return
            self._spawn(self._secure(accepted, address), accepted)

    def _spawn(self, work: Coroutine[Any, Any, None], sock: socket.socket) -> None:
        """The socket is closed with the task, unless another took it over."""
        task = self._loop.create_task(work, name="wire.tls")
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, sock))

    def _done(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        sock.close()

    async def _secure(self, accepted: socket.socket, address: Any) -> None:
        accepted.setblocking(False)
        try:
            secured = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except OSError as error:
            log.debug("peer left at once peer=%s cause=%s", address, error)
            return
        try:
            async with asyncio.timeout(self._handshake_seconds):
                await self._handshake(secured)
        except OSError as error:
            log.debug("TLS handshake failed peer=%s cause=%s", address, error)
            plain = isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST"
            await self._end(secured, _NOT_HTTPS if plain else b"")
        except BaseException:
            secured.close()
            raise
        else:
            if self._serving:
                TlsTransport(self._loop, secured, address, self._factory(), self._linger)
            else:
                secured.close()

    async def _handshake(self, secured: ssl.SSLSocket) -> None:
        """In steps of half a millisecond or more; each takes a turn. Raises OSError."""
        await self._readable(secured)
        while True:
            await self._turns.take()
            try:
                secured.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self._readable(secured)
            except ssl.SSLWantWriteError:
                await self._ready(secured, self._loop.add_writer, self._loop.remove_writer)

    async def _readable(self, sock: socket.socket) -> None:
        await self._ready(sock, self._loop.add_reader, self._loop.remove_reader)

    async def _ready(self, sock: socket.socket, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        waiter = self._loop.create_future()
        add(sock.fileno(), _wake, waiter)
        try:
            await waiter
        finally:
            remove(sock.fileno())

    def _linger(self, secured: ssl.SSLSocket) -> None:
        self._spawn(self._end(secured), secured)

    async def _end(self, secured: ssl.SSLSocket, last: bytes = b"") -> None:
        """Ends our half and closes when the peer has ended its own: who closes with bytes unread takes back what was sent.

        What is read, and `last`, are no longer TLS.
        """
        with secured, contextlib.suppress(OSError):
            async with asyncio.timeout(self._linger_seconds):
                socket.socket.send(secured, last)
                secured.shutdown(socket.SHUT_WR)
                while True:
                    await self._readable(secured)
                    if not secured.recv(RECORD):
                        return


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
