"""HTTP/1.1 client to one server: a Transport over pooled sockets. dial.py makes them, streams.py has the socket below.

Its errors are those of dial.py.
"""

import asyncio
import socket
import ssl
import zlib
from collections import deque
from urllib.parse import urlsplit

import httptools

from pybernetes.wire.dial import BrokenError, Dialer, DialError, TimedOutError, WireError, errno_text, tls_text
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.streams import READ_AHEAD, Connection, ConnectionStream
from pybernetes.wire.tls import ClientContext

WHOLE_BODY = 32 * 1024 * 1024
"""Bodies of a known length up to this many bytes come as bytes; longer ones and chunked ones as an iterator."""

IDLE_SECONDS = 90.0
"""How long an unused connection is kept; shorter than the server's idle timeout."""

MAX_IDLE = 32
"""Unused connections kept."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FRAMING = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "host"})


class HttpClient:
    """A Transport to the server at `base_url` (its path is put before every target). Close it with aclose().

    `unix_path` dials a unix socket instead. `timeout` is seconds until the head of the answer, not of the body: watches
    last. A GET that finds its pooled connection dead is sent once more on a new one; other methods are when
    nothing was sent.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ssl: ssl.SSLContext | None = None,
        server_name: str | None = None,
        unix_path: str | None = None,
        timeout: float | None = 75.0,
        dial_timeout: float = 10.0,
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"not a server URL: {base_url!r}")
        if url.scheme == "https" and ssl is None:
            raise ValueError("an https URL needs a TLS context")
        self.base_url = base_url.rstrip("/")
        self._authority = url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._dialer = Dialer(
            url.hostname,
            url.port or (443 if url.scheme == "https" else 80),
            ssl=ssl if url.scheme == "https" else None,
            server_name=server_name or url.hostname,
            unix_path=unix_path,
            timeout=dial_timeout,
        )
        self._timeout = timeout
        self._idle: deque[_ClientConnection] = deque()
        self._open: set[_ClientConnection] = set()
        self._closed = False

    @property
    def host(self) -> str:
        """The server, with its port where the URL says one."""
        return self._authority

    async def __call__(self, request: Request) -> Response:
        """Sends and returns as soon as the head is there (whole bodies included). Raises WireError."""
        head = self._head(request)
        while True:
            connection, reused = await self._acquire()
            try:
                async with asyncio.timeout(self._timeout):
                    return await connection.send(request, head)
            except TimeoutError as error:
                connection.abort()
                if isinstance(error, WireError):
                    raise
                raise TimedOutError("timeout awaiting response headers") from error
            except BrokenError as error:
                connection.abort()
                if not (reused and not error.answered and request.method in _SAFE):
                    raise
            except BaseException:
                connection.abort()
                raise

    async def aclose(self) -> None:
        """Closes all connections, those of open bodies and upgrades too."""
        self._closed = True
        for connection in tuple(self._open):
            connection.abort()
        for connection in tuple(self._open):
            await connection.gone()

    def _head(self, request: Request) -> bytes:
        headers = request.headers
        lines = [f"{request.method} {self._prefix}{request.target} HTTP/1.1\r\n"]
        lines.append(f"host: {headers.get('host') or self._authority}\r\n")
        lines += [f"{name}: {value}\r\n" for name, value in headers if name not in _FRAMING]
        if request.body or request.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
            lines.append(f"content-length: {len(request.body)}\r\n")
        if "upgrade" in headers:
            lines.append("connection: Upgrade\r\n")
        head = "".join(lines)
        if head.count("\n") != len(lines) or head.count("\r") != len(lines) or lines[0].count(" ") != 2:
            raise ValueError(f"not a request line and headers: {request.method} {request.target!r} {headers!r}")
        return (head + "\r\n").encode("latin-1")

    async def _acquire(self) -> "tuple[_ClientConnection, bool]":
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_SECONDS:
                return connection, True
            connection.abort()
        if self._closed:
            raise DialError("the client is closed")
        connection = await self._dialer.dial(lambda: _ClientConnection(self))
        self._open.add(connection)
        return connection, False

    def release(self, connection: "_ClientConnection") -> None:
        """Takes back a connection whose answer is complete."""
        if self._closed or len(self._idle) >= MAX_IDLE:
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def forget(self, connection: "_ClientConnection") -> None:
        """A connection is closed."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


class _Body:
    """The body of an answer as it comes. Closing it early closes the connection."""

    def __init__(self, connection: "_ClientConnection", *, unpack: bool) -> None:
        self._connection = connection
        self._unpacker = zlib.decompressobj(47) if unpack else None
        self._ended = False

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        while not self._ended:
            data = await self._connection.read_body()
            if not data:
                break
            if self._unpacker is None:
                return data
            if unpacked := _unpack(self._unpacker, data):
                return unpacked
        self._ended = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the answer; a connection whose answer is incomplete is closed."""
        if not self._ended:
            self._ended = True
            self._connection.abandon()


def _unpack(unpacker: "zlib._Decompress", data: bytes) -> bytes:
    try:
        return unpacker.decompress(data)
    except zlib.error as error:
        raise BrokenError(f"malformed gzip body: {error}") from error


class _ClientConnection(Connection):
    """One socket to the server; answers one request at a time."""

    def __init__(self, client: HttpClient) -> None:
        super().__init__()
        self._client = client
        self.idle_since = 0.0
        self._parser: httptools.HttpResponseParser | None = None
        self._method = ""
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._length: int | None = None
        self._framed = False  # the end of the body is known without the end of the connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._answered = False
        self._head_done = False
        self._complete = True
        self._failure: BrokenError | None = None
        self._in_use = True  # until whoever reads the answer has seen its end: only then may the next one begin
        self._paused = False
        self._keep_alive = True
        self._known = False  # the TLS session is remembered, for the next connection
        self._wake = asyncio.Event()

    @property
    def usable(self) -> bool:
        """Idle, and as far as we know still open."""
        return self._complete and not self.lost and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A watch on a machine that lost its power says nothing for ever; the kernel finds out in 45 seconds.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 45_000)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._client.forget(self)
        if self._complete:
            return
        if self._head_done and not self._framed and exc is None:
            self._done()
            return
        why = "unexpected EOF" if self._answered else "EOF"
        if isinstance(exc, ssl.SSLError):
            why = tls_text(exc, "")
        elif isinstance(exc, OSError):
            why = f"read: {errno_text(exc)}"
        self._fail(why)

    def eof_received(self) -> bool:
        if self.stream is not None:
            self.stream.feed_eof()
            return not self.secure
        return False

    def data_received(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.feed(data)
            return
        if self._parser is None:
            self.abort()  # bytes nobody asked for
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._status == 101:
                self.stream = ConnectionStream(self, data[upgrade.args[0] :])
                self._wake.set()
            else:
                self._fail("the server switched protocols without being asked")
        except httptools.HttpParserError as error:
            if not self._complete:
                self._fail(f"malformed HTTP response: {error}")
            self.abort()

    # --- parser

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:
            self._headers.append((name.decode("ascii").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._status = self._parser.get_status_code()
        if 100 <= self._status < 200 and self._status != 101:
            self._headers = []
            return
        self._head_done = True
        if not self._known:
            self._known = True
            tls = self.transport.get_extra_info("ssl_object")
            if tls is not None and isinstance(tls.context, ClientContext):
                tls.context.remember(tls)
        for name, value in self._headers:
            if name == "content-length":
                self._length = int(value)
            elif name == "transfer-encoding":
                self._framed = True
        if self._length is not None or self._method == "HEAD" or self._status in (204, 304):
            self._framed = True
        self._wake.set()
        if self._method == "HEAD":
            self._keep_alive = self._parser.should_keep_alive()
            self._done()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._size += len(body)
        self._wake.set()
        if self._size > READ_AHEAD and not self._paused and (self._length is None or self._length > WHOLE_BODY):
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head_done and not self._complete and self._parser is not None:
            self._keep_alive = self._parser.should_keep_alive()
            if self._status != 101:
                self._done()

    def _done(self) -> None:
        self._complete = True
        self._parser = None
        self._wake.set()
        if not (self._keep_alive and self._framed):
            self.transport.close()

    def _fail(self, why: str) -> None:
        self._failure = BrokenError(why, answered=self._answered)
        self._wake.set()

    # --- one request

    async def send(self, request: Request, head: bytes) -> Response:
        """Sends a request and waits for the answer's head, and for its body where that is short and of known length."""
        self._parser = httptools.HttpResponseParser(self)
        self._method = request.method
        self._status = 0
        self._headers = []
        self._length = None
        self._chunks = []
        self._size = 0
        self._framed = self._answered = self._head_done = self._complete = False
        self._failure = None
        self._in_use = True
        if self.lost or self.transport.is_closing():
            raise BrokenError("EOF", answered=False)
        self.write(head + request.body)
        while not self._head_done:
            await self._wait()
        headers = Headers.lowered(self._headers)
        if self._status == 101:
            while self.stream is None:
                await self._wait()
            return Response(101, headers, stream=self.stream)
        unpack = False
        if headers.get("content-encoding") == "gzip" and "accept-encoding" in request.headers:
            unpack = True
            headers.remove("content-encoding")
        whole = self._length is not None and self._length <= WHOLE_BODY
        if not whole and not (self._complete and not self._chunks):
            return Response(self._status, headers, _Body(self, unpack=unpack))
        while not self._complete:
            await self._wait()
        body = b"".join(self._chunks)
        self._chunks = []
        self._release()
        return Response(self._status, headers, _unpack(zlib.decompressobj(47), body) if unpack and body else body)

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._wake.clear()
        await self._wake.wait()
        if self._failure is not None:
            raise self._failure

    async def read_body(self) -> bytes:
        """The next bytes of a streamed body; empty at its end. Raises BrokenError when it is cut short."""
        while not self._chunks:
            if self._complete:
                self._release()
                return b""
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        self._size = 0
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
        return data

    def _release(self) -> None:
        if self._in_use and not self.lost and not self.transport.is_closing():
            self._in_use = False
            self._client.release(self)

    def abandon(self) -> None:
        """The reader wants no more: an incomplete answer costs the connection."""
        if self._complete and not self._chunks:
            self._release()
        else:
            self.abort()

    def abort(self) -> None:
        """Cuts the connection."""
        self.transport.abort()
