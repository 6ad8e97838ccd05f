"""TLS below the HTTP server: accepts connections, secures them, and ends them. server.py gives the protocols above them.

Handshakes take turns, one step each, so that a thousand clients that come at once hold up nobody who is there already.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from pybernetes.aio.turns import Turns
from pybernetes.wire.tls_socket import RECORD, TlsTransport, handshake, readable

log = logging.getLogger(__name__)

_BACKLOG = 1024
_ACCEPT_AGAIN = 1.0
"""Seconds without an accept, where the process has no descriptor left for another socket."""
_NOT_HTTPS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""Go's server says it in these words."""


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
                await readable(secured)
                await handshake(secured, self._turns.take)
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
                    await readable(secured)
                    if not socket.socket.recv(secured, RECORD):
                        return
