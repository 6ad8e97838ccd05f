"""SPDY/3.1 over a ByteStream: what exec, attach and port-forward of older clients speak; port-forward still does.

Only what Kubernetes' clients use: streams with headers, data, half-close, reset, ping, goaway. Like theirs, this end
has no flow control: window updates are ignored, and a stream that nobody reads holds up its connection.
"""

import asyncio
import struct
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from pybernetes.api.errors import BadRequest
from pybernetes.wire.http import ByteStream, Headers, Request, Response
from pybernetes.wire.streams import READ_AHEAD, ConnectionClosedError

PROTOCOL = "SPDY/3.1"
VERSION_HEADER = "x-stream-protocol-version"

MAX_FRAME = 1024 * 1024
"""Longest frame taken; Go's writers stay under 64 KiB."""
MAX_STREAMS = 1000

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
_FIN = 1
_PROTOCOL_ERROR, _REFUSED, _CANCEL = 1, 3, 5
_CHUNK = 32 * 1024

_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """The dictionary of the header blocks (SPDY/3 draft, section 2.6.10.1)."""
    words = [*_NAMES.split(), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
    return b"".join(struct.pack(">I", len(word)) + word.encode() for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()


class SpdyError(ConnectionError):
    """The peer broke the protocol, or is gone."""


class SpdyStream:
    """One stream of a connection: a ByteStream with the headers it was opened with (names in lower case)."""

    def __init__(self, connection: "SpdyConnection", number: int, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.number = number
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._ended = False  # the peer sends no more
        self._finished = False  # we send no more
        self._reset = False

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._wake.clear()
            await self._wake.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._connection.consumed(self._size)
        self._size = 0
        return data

    async def write(self, data: bytes) -> None:
        """Sends; waits while the peer is slow. Raises ConnectionError when stream or connection is gone."""
        if self._reset or self._finished:
            raise ConnectionClosedError("the stream is closed")
        for start in range(0, len(data), _CHUNK):
            await self._connection.send_data(self.number, data[start : start + _CHUNK], fin=False)

    async def write_eof(self) -> None:
        """Ends our half."""
        if not self._finished and not self._reset:
            self._finished = True
            await self._connection.send_data(self.number, b"", fin=True)
            self._connection.forget_if_done(self)

    async def close(self) -> None:
        """Ends both halves; may be called twice. An unfinished peer is told to stop."""
        try:
            await self.write_eof()
            if not self._ended and not self._reset:
                self._reset = True
                await self._connection.send_reset(self.number, _CANCEL)
        except ConnectionError:
            pass  # with the connection the stream is gone, too
        self.end()
        self._connection.consumed(self._size)
        self._chunks.clear()
        self._size = 0
        self._connection.forget_if_done(self)

    @property
    def done(self) -> bool:
        """Neither side sends any more."""
        return self._reset or (self._ended and self._finished)

    def feed(self, data: bytes) -> bool:
        """Takes data; False when nobody will read it."""
        if self._ended:
            return False
        self._chunks.append(data)
        self._size += len(data)
        self._wake.set()
        return True

    def end(self, *, reset: bool = False) -> None:
        """The peer has ended its half, or the whole stream."""
        self._ended = True
        self._reset = self._reset or reset
        self._wake.set()


class SpdyConnection:
    """Streams over one ByteStream. run() reads frames until the end; accept() gives the streams the peer opens."""

    def __init__(self, stream: ByteStream, *, client: bool = False) -> None:
        self._stream = stream
        self._client = client
        self._next = 1 if client else 2
        self._last = 0
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._buffer = bytearray()
        self._unread = 0
        self._room = asyncio.Event()
        self._room.set()
        self._over = False
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._header_lock = asyncio.Lock()

    async def run(self) -> None:
        """Reads until the peer goes away. Raises SpdyError when it breaks the protocol."""
        try:
            while (frame := await self._frame()) is not None:
                await self._take(*frame)
                await self._room.wait()
        finally:
            self._over = True
            for stream in tuple(self._streams.values()):
                stream.end(reset=True)
            self._streams.clear()
            self._opened.put_nowait(None)

    async def accept(self) -> SpdyStream | None:
        """The next stream that the peer opens; None at the end of the connection."""
        if self._over and self._opened.empty():
            return None
        return await self._opened.get()

    async def open(self, headers: Mapping[str, str]) -> SpdyStream:
        """Opens a stream. Raises ConnectionError."""
        async with self._header_lock:
            number, self._next = self._next, self._next + 2
            stream = SpdyStream(self, number, dict(headers))
            self._streams[number] = stream
            body = struct.pack(">IIH", number, 0, 0) + self._pack(headers)
            await self._send_control(_SYN_STREAM, 0, body)
        return stream

    async def close(self) -> None:
        """Says goodbye and closes the connection; may be called twice."""
        try:
            await self._send_control(_GOAWAY, 0, struct.pack(">II", self._last, 0))
        except ConnectionError:
            pass  # nobody is left to be told
        finally:
            self._room.set()
            await self._stream.close()

    async def send_data(self, number: int, data: bytes, *, fin: bool) -> None:
        """One data frame. Raises ConnectionError."""
        await self._write(struct.pack(">II", number, (_FIN if fin else 0) << 24 | len(data)) + data)

    async def send_reset(self, number: int, status: int) -> None:
        """Ends a stream at once. Raises ConnectionError."""
        await self._send_control(_RST_STREAM, 0, struct.pack(">II", number, status))

    def forget_if_done(self, stream: SpdyStream) -> None:
        """A stream that has ended both ways needs no place any more."""
        if stream.done:
            self._streams.pop(stream.number, None)

    def consumed(self, size: int) -> None:
        """Bytes were read from a stream: there is room for more."""
        self._unread -= size
        if self._unread <= READ_AHEAD:
            self._room.set()

    async def _write(self, data: bytes) -> None:
        if self._over:
            raise ConnectionClosedError()
        await self._stream.write(data)

    async def _send_control(self, kind: int, flags: int, body: bytes) -> None:
        await self._write(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body)

    async def _frame(self) -> tuple[int, int, bytes] | None:
        """(first word, flags, body) of the next frame; None at the end."""
        if not await self._fill(8):
            return None
        word, length = struct.unpack_from(">II", self._buffer)
        flags, length = length >> 24, length & 0xFFFFFF
        if length > MAX_FRAME:
            raise SpdyError(f"frame of {length} bytes")
        if not await self._fill(8 + length):
            return None
        body = bytes(self._buffer[8 : 8 + length])
        del self._buffer[: 8 + length]
        return word, flags, body

    async def _fill(self, count: int) -> bool:
        while len(self._buffer) < count:
            data = await self._stream.read()
            if not data:
                return False
            self._buffer += data
        return True

    async def _take(self, word: int, flags: int, body: bytes) -> None:
        if not word & 0x80000000:
            await self._take_data(word, flags, body)
            return
        version, kind = word >> 16 & 0x7FFF, word & 0xFFFF
        if version != 3:
            raise SpdyError(f"frame of version {version}")
        try:
            if kind == _SYN_STREAM:
                await self._take_stream(flags, body)
            elif kind in (_SYN_REPLY, _HEADERS):
                self._unpack(body[4:])  # the blocks share one compressor: each must be read
                if flags & _FIN:
                    self._end(struct.unpack_from(">I", body)[0])
            elif kind == _RST_STREAM:
                self._end(struct.unpack_from(">I", body)[0], reset=True)
            elif kind == _PING and bool(struct.unpack_from(">I", body)[0] & 1) is not self._client:
                await self._send_control(_PING, 0, body)
        except struct.error as error:
            raise SpdyError(f"control frame {kind} is too short") from error

    async def _take_data(self, number: int, flags: int, body: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return  # of a stream that was reset while this was on its way
        if body and stream.feed(body):
            self._unread += len(body)
            if self._unread > READ_AHEAD:
                self._room.clear()
        if flags & _FIN:
            self._end(number)

    def _end(self, number: int, *, reset: bool = False) -> None:
        stream = self._streams.get(number & 0x7FFFFFFF)
        if stream is not None:
            stream.end(reset=reset)
            self.forget_if_done(stream)

    async def _take_stream(self, flags: int, body: bytes) -> None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        headers = self._unpack(body[10:])
        if number <= self._last or bool(number & 1) is self._client:
            raise SpdyError(f"stream number {number} cannot be opened")
        self._last = number
        if len(self._streams) >= MAX_STREAMS:
            await self.send_reset(number, _REFUSED)
            return
        stream = SpdyStream(self, number, headers)
        self._streams[number] = stream
        if flags & _FIN:
            stream.end()
        async with self._header_lock:
            await self._send_control(_SYN_REPLY, 0, struct.pack(">I", number) + self._pack({}))
        self._opened.put_nowait(stream)

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers)) + b"".join(
            _counted(name.lower().encode()) + _counted(value.encode()) for name, value in headers.items()
        )
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _unpack(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, MAX_FRAME)
            at = 4
            headers: dict[str, str] = {}
            for _ in range(struct.unpack_from(">I", plain)[0] if plain else 0):
                name, at = _counted_at(plain, at)
                value, at = _counted_at(plain, at)
                headers[name.decode().lower()] = value.decode()
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"malformed header block: {error}") from error
        return headers


def accept(request: Request, known: Sequence[str], serve: Callable[[SpdyConnection, str], Awaitable[None]]) -> Response:
    """The 101 that turns a request into SPDY; the first stream protocol the client offers that is `known` is chosen.

    A client without a known one gets 403 and the list (X-Accepted-Stream-Protocol-Versions), one that offers none 400
    (raised as BadRequest). `serve` gets the connection, already running, and the chosen protocol; it is cancelled when
    the client goes away.
    """
    offered = [name.strip() for value in request.headers.all(VERSION_HEADER) for name in value.split(",")]
    if not any(offered):
        raise BadRequest("Upgrade request required: no X-Stream-Protocol-Version was offered")
    chosen = next((name for name in offered if name in known), None)
    if chosen is None:
        accepted = [("x-accepted-stream-protocol-versions", name) for name in known]
        text = (
            f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {list(known)}"
        )
        return Response(403, Headers([("content-type", "text/plain"), *accepted]), text.encode())
    protocol = chosen

    async def run(stream: ByteStream) -> None:
        connection = SpdyConnection(stream)
        reader = asyncio.create_task(connection.run(), name="spdy.reader")
        worker = asyncio.create_task(_coroutine(serve(connection, protocol)), name="spdy.worker")
        try:
            await asyncio.wait({reader, worker}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A peer that went away ends the work; work that is done ends the connection.
            await connection.close()
            reader.cancel()
            worker.cancel()
            await asyncio.wait({reader, worker})
        for task in (worker, reader):
            if not task.cancelled():
                task.result()

    return Response(101, Headers([("upgrade", PROTOCOL), (VERSION_HEADER, protocol)]), upgrade=run)


async def _coroutine(work: Awaitable[None]) -> None:
    await work


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _counted_at(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + int(struct.unpack_from(">I", data, at)[0])
    if end > len(data):
        raise struct.error("a string ends after its block")
    return data[at + 4 : end], end
