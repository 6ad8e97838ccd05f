"""One connection of the HTTP server: its requests in, one after another, and their answers out. server.py has them all.

Answers leave in the order of the requests (RFC 9112, section 9.3.2). answers.py makes their bytes, streams.py has the
socket below.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from email.utils import formatdate

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, InternalError
from pybernetes.wire.answers import Framing, head_of, switching, wants_gzip
from pybernetes.wire.gzip import Compressor
from pybernetes.wire.http import Dropped, Handler, Peer, Request, Response
from pybernetes.wire.limits import Limits
from pybernetes.wire.parsing import BODY, HEAD, IDLE, Parsed, RefusedError, RequestParser, status_response
from pybernetes.wire.progress import Taking
from pybernetes.wire.streams import Connection, ConnectionClosedError, ConnectionStream

log = logging.getLogger(__name__)

_GZIP_FROM = 128 * 1024
_SLICE = 64 * 1024
"""Of a body that is written at once: few enough bytes to stay in the processor's cache on their way."""
_PIPELINE = 16
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAULT = "an error on the server has prevented the request from succeeding"


class Shared:
    """What the connections of one server have in common."""

    def __init__(self, handler: Handler, limits: Limits, clock: Clock) -> None:
        self.handler = handler
        self.limits = limits
        self.gzip = Compressor()
        self.connections: set[ServerConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        """Those of spawn(). They leave it themselves: a callback of each would take another turn of the loop."""
        self.stopping = False
        self.loop: asyncio.AbstractEventLoop
        self._clock = clock
        self._date = (-1, b"")

    def spawn(self, connection: "ServerConnection") -> asyncio.Task[None]:
        """Starts the task that answers a connection's waiting requests; the server is its parent."""
        task = self.loop.create_task(connection.answer_all(), name="wire.server")
        self.tasks.add(task)
        return task

    def date(self) -> bytes:
        """The line of the Date header; made once a second."""
        now = int(self._clock.now())
        if self._date[0] != now:
            self._date = (now, f"date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._date[1]


class ServerConnection(Connection):
    """One accepted socket. Its task lives only while requests wait or are answered: idle connections cost no task."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self._limits = shared.limits
        self._queue: list[Parsed] = []
        self._task: asyncio.Task[None] | None = None
        self._deadline = 0.0
        self._body_deadline = 0.0
        self._taking = Taking(shared.limits.write_seconds, shared.limits.slowest)
        self._whole = False  # a body that is whole in memory is being sent
        self._held = False  # reading is paused, because enough requests wait
        self._waiting_bytes = 0
        self._early: list[bytes] | None = None  # bytes after an upgrade request, until the handler has decided
        self._early_eof = False
        self._ended = False  # no further request is parsed
        self._leaving = False  # the request that is arriving is the last
        self._lingering = False
        self._continue = False
        self._refused = False  # what is answered was no request

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
        self._deadline = self._shared.loop.time() + self._limits.head_seconds
        self._shared.connections.add(self)
        if self._shared.stopping:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._shared.connections.discard(self)
        self._parser.close()
        self._queue.clear()
        if self._task is not None and self.stream is None:
            # cancelled before it began, it does nothing itself
            self._task.add_done_callback(self._shared.tasks.discard)
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
        if closing or not self.writable:
            if (self._whole or closing) and self._taking.late(self.transport, now):
                log.info("cut off a peer that does not read peer=%s", self.peer.address)
                self.transport.abort()
            return
        self._taking.reset()
        if self._task is not None:
            return
        if self._lingering:
            if now > self._deadline:
                self.transport.abort()
            return
        parser = self._parser
        late = parser.state is BODY and now > self._body_deadline + parser.received / self._limits.slowest
        if late or now > self._deadline:
            self.transport.close()

    @property
    def arriving(self) -> bool:
        """Whether a request has begun that is not here as a whole."""
        return self._parser.state is not IDLE

    @property
    def sending(self) -> bool:
        """Whether an answer that is whole waits for the peer to read it."""
        return self._whole and not self.writable

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
            self._body_deadline = self._shared.loop.time() + self._limits.body_seconds
        # a head has its time from its first byte on, a body from its last
        if self._task is None and (now is BODY or (now is HEAD and before is not HEAD)):
            self._deadline = self._shared.loop.time() + self._limits.head_seconds

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
            self._task = self._shared.spawn(self)
        elif not self._held and self._full():
            self._held = True
            self.transport.pause_reading()

    def _full(self) -> bool:
        return len(self._queue) >= _PIPELINE or self._waiting_bytes > self._limits.body

    def _next(self) -> Parsed:
        pending = self._queue.pop(0)
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
                if not await self._answer(self._next()):
                    self._finish()
                    return
                if self._continue and not self._queue:
                    self._continue = False
                    self.write(_CONTINUE)
            limits, now = self._limits, self._shared.loop.time()
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
            self._shared.tasks.discard(self._task)
            self._task = None

    def _finish(self) -> None:
        """Closes after the last answer; a sender that was refused in the middle gets time to read why."""
        self._ended = True
        self._queue.clear()
        if not self._refused:
            self.transport.close()
            return
        if not self.secure:
            self.write_eof()
        self._lingering = True
        self._deadline = self._shared.loop.time() + self._limits.linger_seconds

    async def _answer(self, pending: Parsed) -> bool:
        """Answers one request; False when the connection must end."""
        request = pending.request
        self._refused = pending.refusal is not None
        response = pending.refusal or await self._handle(request)
        if response.status == 101:
            await self._upgrade(response)
            return False
        # What follows a refused upgrade may be bytes of the other protocol: never parsed as a request.
        keep = pending.keep_alive and not self._ended and self._early is None and pending.version != "1.0"
        if isinstance(response.body, bytes):
            await self._write_whole(request, response, response.body, keep)
            return keep
        streaming = self._write_stream(pending, response, response.body, keep)
        del pending, request, response  # a watch may last for hours: it keeps nothing of its request
        return await streaming

    async def _handle(self, request: Request) -> Response:
        try:
            return await self._shared.handler(request)
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
        return head_of(response, self._shared.date(), framing, keep=keep)

    async def _write_whole(self, request: Request, response: Response, body: bytes, keep: bool) -> None:
        if len(body) >= _GZIP_FROM and wants_gzip(request, response):
            body = await self._shared.gzip.compress(body)
            response.headers.set("content-encoding", "gzip")
            response.headers.add("vary", "Accept-Encoding")
        rest = self._write_first(request.method, response, body, keep)
        self._whole = True
        while rest or not self.writable:
            if not self.writable or self.lost:
                await self.drain()
                self._taking.reset()
            if rest:
                self.write(rest[:_SLICE])
                rest = rest[_SLICE:]
        self._whole = False

    def _write_first(self, method: str, response: Response, body: bytes, keep: bool) -> memoryview:
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
        """The head at once, or with the first chunk of what is whole; each chunk as it comes.

        The iterator is closed however this ends.
        """
        framing = Framing(getattr(body, "length", None), pending.version)
        method, target = pending.request.method, pending.request.target
        del pending
        try:
            head = self._head(response, framing.line, keep)
            del response
            if method == "HEAD":
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
                    if not self.writable or self.lost:
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
            log.exception("stream failed method=%s path=%s", method, target.partition("?")[0])
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
            self._write_first("GET", status_response(InternalError("an upgrade was refused")), b"", False)
            return
        head = switching(response)
        self.stream = stream = ConnectionStream(self, b"".join(self._early), eof=self._early_eof or self.lost)
        self._early = None
        self.write(head)
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
