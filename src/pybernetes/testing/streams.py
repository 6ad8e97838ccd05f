"""Streams: the body of an answer that goes on, as faults.py cuts it: now, or after some events.

Events are counted in the frames of the wire, so a client sees what a broken connection leaves it with: whole events, then
nothing, or the ERROR event that ends a watch.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from pybernetes.api.errors import ApiError
from pybernetes.apiserver.encodings import JsonEncoding, ProtobufEncoding
from pybernetes.apiserver.media import PROTOBUF
from pybernetes.testing.traffic import Call
from pybernetes.wire.http import Dropped, Headers, Response

_BOOKMARK = b'{"type":"BOOKMARK"'
_PROTOBUF_BOOKMARK = b"\x0a\x08BOOKMARK"


def frames(chunk: bytes, media: str) -> Iterator[bytes]:
    """The events in some bytes of a watch, which always begin and end between two of them."""
    if not media.startswith(PROTOBUF):
        yield from chunk.splitlines(keepends=True)
        return
    start = 0
    while start < len(chunk):
        end = start + 4 + int.from_bytes(chunk[start : start + 4], "big")
        yield chunk[start:end]
        start = end


def is_bookmark(frame: bytes, media: str) -> bool:
    """Whether a frame tells of a revision only."""
    if media.startswith(PROTOBUF):
        return frame.startswith(_PROTOBUF_BOOKMARK, 4)
    return frame.startswith(_BOOKMARK)


def error_frame(error: ApiError, media: str) -> bytes:
    """The ERROR event of an error."""
    encoding = ProtobufEncoding(None) if media.startswith(PROTOBUF) else JsonEncoding(None)
    return encoding.error(error.status())


class _Count:
    """Events that may still pass; `cut` is asked then whether the stream ends, and ends it."""

    def __init__(self, left: int, cut: Callable[[], bool]) -> None:
        self.left = left
        self.cut = cut


class Stream:
    """A body that can be cut. Iterated by one reader; `open_ones` has it as long as that goes on."""

    def __init__(self, call: Call, body: AsyncIterator[bytes], media: str, open_ones: "dict[Stream, None]") -> None:
        self.call = call
        self.media = media
        self._body = body
        self._chunks = aiter(body)
        self._open = open_ones
        self._counts: list[_Count] = []
        self._end: Dropped | ApiError | None = None
        self._over = False
        open_ones[self] = None

    def count(self, events: int, cut: Callable[[], bool]) -> None:
        """Asks `cut` after so many more events."""
        self._counts.append(_Count(events, cut))

    def cut(self, end: Dropped | ApiError) -> None:
        """Ends it: by an ERROR event, or by the loss of the connection. What was not read by then is lost.

        A watch ends at once; a log when its next line comes.
        """
        self._end = self._end or end
        stop: Callable[[], Any] | None = getattr(self._body, "end", None)
        if stop is not None:
            stop()

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        if self._end is None:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                chunk = b""
            else:
                if self._counts:
                    chunk = self._counted(chunk)
                if chunk:
                    return chunk
        return await self._last()

    async def _last(self) -> bytes:
        """How it ends."""
        end = self._end
        if end is None:
            self._closed()
            raise StopAsyncIteration
        await self.aclose()
        if isinstance(end, Dropped):
            raise end
        return error_frame(end, self.media)

    def _counted(self, chunk: bytes) -> bytes:
        """As much of it as passes."""
        passed = list[bytes]()
        for frame in frames(chunk, self.media):
            passed.append(frame)
            if is_bookmark(frame, self.media):
                continue
            for count in tuple(self._counts):
                count.left -= 1
                if count.left <= 0:
                    self._counts.remove(count)
                    if count.cut():
                        return b"".join(passed)
        return chunk

    def _closed(self) -> None:
        self._over = True
        self._open.pop(self, None)

    async def aclose(self) -> None:
        """Nobody reads on. May be called twice."""
        self._closed()
        close = getattr(self._body, "aclose", None)
        if close is not None:
            await close()


async def _once(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


def ended(media: str, error: ApiError) -> Response:
    """The answer to a watch that ends with an error before its first event, as the API server gives it."""
    return Response(200, Headers.lowered([("content-type", media)]), _once(error_frame(error, media)))
