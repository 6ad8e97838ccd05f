"""HTTP/1.1 server: listens, and keeps its connections within their limits. server_connection.py is one of them."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterable

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.wire.http import Handler
from pybernetes.wire.limits import Limits
from pybernetes.wire.server_connection import ServerConnection, Shared
from pybernetes.wire.tls_server import TlsServer

__all__ = ["HttpServer", "Limits"]

_BACKLOG = 1024


class HttpServer:
    """Serves a Handler on TCP or unix sockets, TLS when `ssl` is given. start() and stop() are called once each."""

    def __init__(
        self,
        handler: Handler,
        *,
        ssl: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._shared = Shared(handler, self.limits, clock or SystemClock())
        self.connections, self.tasks = self._shared.connections, self._shared.tasks
        self._ssl = ssl
        self._servers: list[asyncio.Server | TlsServer] = []
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port of the first TCP socket; 0 when there is none."""
        for server in self._servers:
            for sock in server.sockets:
                if sock.family in (socket.AF_INET, socket.AF_INET6):
                    return int(sock.getsockname()[1])
        return 0

    @property
    def busy(self) -> bool:
        """Whether a request is here in part, or an answer that is whole is not yet sent."""
        return any(connection.arriving or connection.sending for connection in self.connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, sockets: Iterable[socket.socket] = ()) -> None:
        """Listens on `sockets` (bound; the server closes them), or on host and port. Raises OSError when it cannot."""
        self._shared.loop = asyncio.get_running_loop()
        for sock in sockets or await self._bound(host, port):
            self._servers.append(await self._served(sock))
        self._sweep()

    async def _served(self, sock: socket.socket) -> asyncio.Server | TlsServer:
        sock.setblocking(False)
        if self._ssl is None:
            loop = self._shared.loop
            create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
            return await create(self._connection, sock=sock, backlog=_BACKLOG)
        handshake, linger = self.limits.handshake_seconds, self.limits.linger_seconds
        return TlsServer(sock, self._ssl, self._connection, handshake_seconds=handshake, linger_seconds=linger)

    async def _bound(self, host: str, port: int) -> list[socket.socket]:
        """A socket for each address of the host, as the loop binds them."""
        server = await self._shared.loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        found = [socket.socket(fileno=os.dup(sock.fileno())) for sock in server.sockets]
        server.close()
        return found

    async def stop(self, grace: float = 0.0) -> None:
        """Accepts nothing more, lets requests in flight end for `grace` seconds, then cuts off what is left."""
        self._shared.stopping = True
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                for connection in tuple(self.connections):
                    await connection.gone()
        while self.connections or self.tasks:
            for connection in tuple(self.connections):
                connection.transport.abort()
            for task in tuple(self.tasks):
                task.cancel()
            if self.tasks:
                done, _ = await asyncio.wait(tuple(self.tasks))
                self.tasks -= done
            for connection in tuple(self.connections):
                await connection.gone()
        for server in self._servers:
            await server.wait_closed()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._shared.gzip.close()

    def _connection(self) -> ServerConnection:
        return ServerConnection(self._shared)

    def _sweep(self) -> None:
        """Closes connections past their deadline. One timer for all: a timer a request costs more than the request."""
        loop = self._shared.loop
        now = loop.time()
        for connection in tuple(self.connections):
            connection.check(now)
        limits = self.limits
        shortest = min(limits.head_seconds, limits.body_seconds, limits.idle_seconds, limits.write_seconds)
        shortest = min(shortest, limits.linger_seconds)
        self._sweeper = loop.call_later(shortest / 4, self._sweep)
