"""HTTP/1.1 server: requests from parsing.py to a Handler, its Responses to the wire. streams.py has the socket below.

Framing is the server's alone: what a handler says of Connection, Transfer-Encoding or Content-Length is dropped, so
a proxied answer cannot spoil it. Answers leave in the order of the requests (RFC 9112, section 9.3.2).
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.api.errors import ApiError, InternalError
from pybernetes.wire.gzip import Compressor, takes_gzip
from pybernetes.wire.http import Dropped, Handler, Peer, Request, Response
from pybernetes.wire.parsing import BODY, HEAD, IDLE, Parsed, RefusedError, RequestParser, status_response
from pybernetes.wire.progress import Taking
from pybernetes.wire.streams import Connection, ConnectionClosedError, ConnectionStream
from pybernetes.wire.tls_server import TlsServer

__all__ = ["HttpServer", "Limits", "status_response"]

log = logging.getLogger(__name__)

_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_FRAMING = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "date"})
_GZIP_FROM = 128 * 1024
_SLICE = 64 * 1024
"""Of a body that is written at once: few enough bytes to stay in the processor's cache on their way."""
_UNCOPIED = 64 * 1024
"""A chunk of a stream that is put between its frame without being copied."""
_PIPELINE = 16
_LONG = 200
"""Letters of a header's value that is made anew each time."""
_BACKLOG = 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAULT = "an error on the server has prevented the request from succeeding"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server: bytes and seconds. The defaults are upstream's, where it has one."""

    body: int = 3 * 1024 * 1024
    """Largest request body; more is answered 413."""
    head: int = 128 * 1024
    """Request line and headers together; more is answered 431."""
    head_seconds: float = 32.0
    """From the first byte of a request to the end of its headers, and from the last byte of its body to the next."""
    body_seconds: float = 60.0
    """From the end of the headers to the last byte of the body (upstream's time for a whole request); one that takes longer
    must have come at `slowest` bytes a second since."""
    slowest: int = 1024
    """Bytes a second that a peer must send of a long body, and take of an answer that is whole."""
    idle_seconds: float = 120.0
    """An unused connection. Longer than our clients keep theirs, so that they close first and no request is lost."""
    write_seconds: float = 60.0
    """A peer that takes less than `slowest` of a whole body for so long is cut off. One that pauses in a stream (a log in a
    pager) holds one chunk, and may."""
    handshake_seconds: float = 10.0
    linger_seconds: float = 2.0
    """How long a refused sender may go on sending before the socket is closed under it."""


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
        self.handler = handler
        self.limits = limits or Limits()
        self.clock = clock or SystemClock()
        self.connections: set[_ServerConnection] = set()
        self.stopping = False
        self.gzip = Compressor()
        self._ssl = ssl
        self.tasks: set[asyncio.Task[None]] = set()
        """Those of spawn(). They leave it themselves: a callback of each would take another turn of the loop."""
        self._servers: list[asyncio.Server | TlsServer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._date = (-1, b"")
        self.loop: asyncio.AbstractEventLoop

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
        self.loop = asyncio.get_running_loop()
        for sock in sockets or await self._bound(host, port):
            self._servers.append(await self._served(sock))
        self._sweep()

    async def _served(self, sock: socket.socket) -> asyncio.Server | TlsServer:
        sock.setblocking(False)
        if self._ssl is None:
            create = self.loop.create_unix_server if sock.family == socket.AF_UNIX else self.loop.create_server
            return await create(self._connection, sock=sock, backlog=_BACKLOG)
        handshake, linger = self.limits.handshake_seconds, self.limits.linger_seconds
        return TlsServer(sock, self._ssl, self._connection, handshake_seconds=handshake, linger_seconds=linger)

    async def _bound(self, host: str, port: int) -> list[socket.socket]:
        """A socket for each address of the host, as the loop binds them."""
        server = await self.loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        found = [socket.socket(fileno=os.dup(sock.fileno())) for sock in server.sockets]
        server.close()
        return found

    async def stop(self, grace: float = 0.0) -> None:
        """Accepts nothing more, lets requests in flight end for `grace` seconds, then cuts off what is left."""
        self.stopping = True
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
        self.gzip.close()

    def spawn(self, connection: "_ServerConnection") -> asyncio.Task[None]:
        """Starts the task that answers a connection's waiting requests; this server is its parent."""
        task = self.loop.create_task(connection.answer_all(), name="wire.server")
        self.tasks.add(task)
        return task

    def date(self) -> bytes:
        """The line of the Date header; made once a second."""
        now = int(self.clock.now())
        if self._date[0] != now:
            self._date = (now, f"date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._date[1]

    def _connection(self) -> "_ServerConnection":
        return _ServerConnection(self)

    def _sweep(self) -> None:
        """Closes connections past their deadline. One timer for all: a timer a request costs more than the request."""
        now = self.loop.time()
        for connection in tuple(self.connections):
            connection.check(now)
        limits = self.limits
        shortest = min(limits.head_seconds, limits.body_seconds, limits.idle_seconds, limits.write_seconds)
        shortest = min(shortest, limits.linger_seconds)
        self._sweeper = self.loop.call_later(shortest / 4, self._sweep)


class _ServerConnection(Connection):
    """One accepted socket. Its task lives only while requests wait or are answered: idle connections cost no task."""

    def __init__(self, server: HttpServer) -> None:
        super().__init__()
        self._server = server
        self._limits = server.limits
        self._queue: deque[Parsed] = deque()
        self._task: asyncio.Task[None] | None = None
        self._deadline = 0.0
        self._body_deadline = 0.0
        self._taking = Taking(server.limits.write_seconds, server.limits.slowest)
        self._whole = False  # a body that is whole in memory is being sent
        self._held = False  # reading is paused, because enough requests wait
        self._waiting_bytes = 0
        self._early: list[bytes] | None = None  # bytes after an upgrade request, until the handler has decided
        self._early_eof = False
        self._ended = False  # no further request is parsed
        self._leaving = False  # the request that is arriving is the last
        self._lingering = False
        self._continue = False

    # --- socket events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        certificate = None
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            certificate = tls.getpeercert(True)
        name = transport.get_extra_info("peername")
        self.peer = Peer(str(name[0]) if isinstance(name, tuple) else "", certificate)
        self._parser = RequestParser(
            self.peer,
            head_limit=self._limits.head,
            body_limit=self._limits.body,
            take=self._take,
            expect=self._expect,
        )
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._deadline = self._server.loop.time() + self._limits.head_seconds
        self._server.connections.add(self)
        if self._server.stopping:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._server.connections.discard(self)
        self._parser.close()
        self._queue.clear()
        if self._task is not None and self.stream is None:
            self._task.add_done_callback(
                self._server.tasks.discard
            )  # cancelled before it began, it does nothing itself
            self._task.cancel()

    def eof_received(self) -> bool:
        """A peer that has ended its half is gone, as in Go's server; an upgraded one may do so and read on."""
        if self.stream is not None:
            self.stream.feed_eof()
        elif self._early is not None:
            self._early_eof = True
        else:
            return False
        return not self.secure

    def data_received(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.feed(data)
        elif self._early is not None:
            self._keep_early(data)
        elif not self._ended:
            self._parse(data)

    def check(self, now: float) -> None:
        """Closes the connection when its time is over."""
        closing = self.transport.is_closing()
        if closing or not self._writable.is_set():
            if (self._whole or closing) and self._taking.late(self.transport, now):
                log.info("cut off a peer that does not read peer=%s", self.peer.address)
                self.transport.abort()
            return
        self._taking.reset()
        if self._task is not None:
            return
        parser = self._parser
        late = parser.state is BODY and now > self._body_deadline + parser.received / self._limits.slowest
        if late or now > self._deadline:
            if self._lingering:
                self.transport.abort()
            else:
                self.transport.close()

    @property
    def arriving(self) -> bool:
        """Whether a request has begun that is not here as a whole."""
        return self._parser.state is not IDLE

    @property
    def sending(self) -> bool:
        """Whether an answer that is whole waits for the peer to read it."""
        return self._whole and not self._writable.is_set()

    def end(self) -> None:
        """No further request: closes now when idle, else after the one that is answered or arriving."""
        if self._task is None and self.arriving:
            self._leaving = True
            return
        self._ended = True
        if self._task is None:
            self.transport.close()

    # --- requests

    def _parse(self, data: bytes) -> None:
        before = self._parser.state
        try:
            rest = self._parser.feed(data)
        except RefusedError as refused:
            if not self._ended:
                self._ended = True
                self._enqueue(Parsed(Request("GET", "/"), keep_alive=False, refusal=refused.response))
            return
        if rest is not None:
            self._early = []
            if rest:
                self._keep_early(rest)
            return
        now = self._parser.state
        if now is BODY and (before is not BODY or self._parser.began):
            self._body_deadline = self._server.loop.time() + self._limits.body_seconds
        # a head has its time from its first byte on, a body from its last
        if self._task is None and (now is BODY or (now is HEAD and before is not HEAD)):
            self._deadline = self._server.loop.time() + self._limits.head_seconds

    def _take(self, parsed: Parsed) -> None:
        self._continue = False
        self._ended = self._ended or self._leaving
        self._enqueue(parsed)

    def _expect(self) -> None:
        if self._task is None:
            self.write(_CONTINUE)
        else:
            self._continue = True  # after the answers before it

    def _enqueue(self, parsed: Parsed) -> None:
        self._queue.append(parsed)
        self._waiting_bytes += len(parsed.request.body)
        if self._task is None:
            self._task = self._server.spawn(self)
        elif not self._held and self._full():
            self._held = True
            self.transport.pause_reading()

    def _full(self) -> bool:
        return len(self._queue) >= _PIPELINE or self._waiting_bytes > self._limits.body

    def _next(self) -> Parsed:
        pending = self._queue.popleft()
        self._waiting_bytes -= len(pending.request.body)
        if self._held and not self._full() and not self.transport.is_closing():
            self._held = False
            self.transport.resume_reading()
        return pending

    def _keep_early(self, data: bytes) -> None:
        early = self._early
        assert early is not None
        early.append(data)
        if sum(map(len, early)) > self._limits.head:
            self.transport.pause_reading()

    # --- answering

    async def answer_all(self) -> None:
        """Answers what waits, in order. Cancelled when the peer goes away."""
        try:
            while self._queue:
                pending = self._next()
                if not await self._answer(pending):
                    self._finish(pending)
                    return
                if self._continue and not self._queue:
                    self._continue = False
                    self.write(_CONTINUE)
            limits, now = self._limits, self._server.loop.time()
            self._deadline = now + (limits.idle_seconds if self._parser.state is IDLE else limits.head_seconds)
            self._body_deadline = now + limits.body_seconds  # it may have had to wait
            if self._ended:
                self.transport.close()
        except ConnectionClosedError:
            pass
        except BaseException:
            self.transport.abort()
            raise
        finally:
            assert self._task is not None
            self._server.tasks.discard(self._task)
            self._task = None

    def _finish(self, pending: Parsed) -> None:
        """Closes after the last answer; a sender that was refused in the middle gets time to read why."""
        self._ended = True
        self._queue.clear()
        if pending.refusal is None or self.lost:
            self.transport.close()
            return
        if not self.secure:
            self.write_eof()
        self._lingering = True
        self._deadline = self._server.loop.time() + self._limits.linger_seconds

    async def _answer(self, pending: Parsed) -> bool:
        """Answers one request; False when the connection must end."""
        request = pending.request
        response = pending.refusal or await self._handle(request)
        if response.status == 101:
            await self._upgrade(response)
            return False
        # What follows a refused upgrade may be bytes of the other protocol: never parsed as a request.
        keep = pending.keep_alive and not self._ended and self._early is None
        if pending.version == "1.0":
            keep = False
        if isinstance(response.body, bytes):
            body = response.body
            if len(body) >= _GZIP_FROM and _wants_gzip(request, response):
                body = await self._server.gzip.compress(body)
                response.headers.set("content-encoding", "gzip")
                response.headers.add("vary", "Accept-Encoding")
            rest = self._write_whole(request.method, response, body, keep)
            self._whole = True
            while rest or not self._writable.is_set():
                if not self._writable.is_set() or self.lost:
                    await self.drain()
                    self._taking.reset()
                if rest:
                    self.write(rest[:_SLICE])
                    rest = rest[_SLICE:]
            self._whole = False
        else:
            keep = await self._write_stream(pending, response, response.body, keep)
        return keep

    async def _handle(self, request: Request) -> Response:
        try:
            return await self._server.handler(request)
        except ApiError as error:
            return status_response(error)
        except ConnectionClosedError:
            raise
        except Dropped as why:
            self.transport.abort()
            raise ConnectionClosedError(str(why)) from why
        except Exception:  # the one marked place: a fault in one request never ends the server
            log.exception("handler failed method=%s path=%s", request.method, request.raw_path)
            return status_response(InternalError(_FAULT))

    def _head(self, response: Response, framing: bytes, keep: bool) -> bytes:
        lines = [_REASONS.get(response.status) or b"HTTP/1.1 %d Unknown\r\n" % response.status]
        lines += [(_known_line if len(value) < _LONG else _line)(name, value) for name, value in response.headers]
        lines += (self._server.date(), framing, b"\r\n" if keep else b"connection: close\r\n\r\n")
        return b"".join(lines)

    def _write_whole(self, method: str, response: Response, body: bytes, keep: bool) -> memoryview:
        """Writes the head and as much of the body as goes at once; what is left."""
        bodiless = response.status in (204, 304) or response.status < 200
        framing = b"" if bodiless else b"content-length: %d\r\n" % len(body)
        try:
            head = self._head(response, framing, keep)
        except ValueError:
            log.exception("handler gave an impossible header")
            response = status_response(InternalError(_FAULT))
            body = b"" if bodiless else bytes(response.body)  # type: ignore[arg-type] # a Status is whole
            head = self._head(response, b"content-length: %d\r\n" % len(body), keep)
        if bodiless or method == "HEAD":
            body = b""
        self.write(head + body[:_SLICE])
        return memoryview(body)[_SLICE:]

    async def _write_stream(self, pending: Parsed, response: Response, body: AsyncIterator[bytes], keep: bool) -> bool:
        """The head at once, or with the first chunk of what is whole; each chunk as it comes; the iterator is closed however
        this ends."""
        framing = _Framing(getattr(body, "length", None), pending.version)
        try:
            head = self._head(response, framing.line, keep)
            if pending.request.method == "HEAD":
                self.write(head)
                return keep
            self._whole = getattr(body, "whole", False)
            if self._whole:
                framing.begin = head
            else:
                self.write(head)
            async for chunk in body:
                if chunk:
                    framed = framing.frame(chunk)
                    if isinstance(framed, tuple):
                        self.writelines(framed)
                    else:
                        self.write(framed)
                    if not self._writable.is_set() or self.lost:
                        await self.drain()
                        self._taking.reset()
            self.write(framing.end())
            return keep
        except ConnectionClosedError:
            raise
        except Dropped:
            self.transport.abort()
            return False
        except Exception:  # same place as in _handle: the head is out, so the body is cut short instead
            path = pending.request.raw_path
            log.exception("stream failed method=%s path=%s", pending.request.method, path)
            self.transport.abort()
            return False
        finally:
            self._whole = False
            aclose = getattr(body, "aclose", None)
            if aclose is not None:
                await aclose()

    async def _upgrade(self, response: Response) -> None:
        if response.upgrade is None or self._early is None:
            log.error("upgrade without %s", "a function" if response.upgrade is None else "being asked for one")
            self._write_whole("GET", status_response(InternalError("an upgrade was refused")), b"", False)
            return
        lines = [_REASONS[101], b"connection: Upgrade\r\n", *(_line(name, value) for name, value in response.headers)]
        self.stream = stream = ConnectionStream(self, b"".join(self._early), eof=self._early_eof or self.lost)
        self._early = None
        self.write(b"".join((*lines, b"\r\n")))
        if not self.transport.is_closing():
            self.transport.resume_reading()
        try:
            await response.upgrade(stream)
        except ConnectionError as error:
            log.info("upgraded connection ended peer=%s why=%s", self.peer.address, error)
        except Exception:  # same place as in _handle
            log.exception("upgraded connection failed peer=%s", self.peer.address)
        finally:
            await stream.close()


class _Framing:
    """How the end of a streamed body is told: by its length, by chunks, or by the end of the connection (HTTP/1.0)."""

    def __init__(self, length: int | None, version: str) -> None:
        self._left = length
        self._chunked = length is None and version != "1.0"
        self.line = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        """Of the head."""
        if length is not None:
            self.line = b"content-length: %d\r\n" % length
        self.begin = b""
        """What goes out with the first chunk."""

    def frame(self, chunk: bytes) -> bytes | tuple[bytes, ...]:
        """What goes out for a chunk. Raises ValueError for one that is more than was said to come."""
        begin, self.begin = self.begin, b""
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise ValueError(f"a body is {-self._left} bytes longer than it was said to be")
        if not self._chunked:
            return (begin, chunk) if begin else chunk
        size = len(chunk)
        if begin or size >= _UNCOPIED:
            return begin + b"%x\r\n" % size, chunk, b"\r\n"
        return b"%x\r\n%b\r\n" % (size, chunk)

    def end(self) -> bytes:
        """What goes out after the last chunk. Raises ValueError when less has come than was said to."""
        if self._left:
            raise ValueError(f"a body is {self._left} bytes shorter than it was said to be")
        return self.begin + b"0\r\n\r\n" if self._chunked else self.begin


def _line(name: str, value: str) -> bytes:
    """A header of an answer, empty for what is the server's alone. Raises ValueError for one that holds a line break."""
    if name in _FRAMING:
        return b""
    line = f"{name}: {value}"
    if "\r" in line or "\n" in line:
        raise ValueError(f"a response header holds a line break: {line!r}")
    return f"{line}\r\n".encode("latin-1")


_known_line = lru_cache(maxsize=1024)(_line)
"""Most answers say the same of themselves."""


def _wants_gzip(request: Request, response: Response) -> bool:
    if response.status != 200 or request.method == "HEAD" or "content-encoding" in response.headers:
        return False
    return takes_gzip(request.headers)
