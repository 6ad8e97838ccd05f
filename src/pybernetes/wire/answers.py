"""Answers: the head of a Response and the framing of its body, as bytes. server_connection.py writes them.

Framing is the server's alone: what a handler says of Connection, Transfer-Encoding or Content-Length is dropped, so
a proxied answer cannot spoil it.
"""

from functools import lru_cache
from http import HTTPStatus

from pybernetes.wire.gzip import takes_gzip
from pybernetes.wire.http import Request, Response

_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_FRAMING = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "date"})
_UNCOPIED = 64 * 1024
"""A chunk of a stream that is put between its frame without being copied."""
_LONG = 200
"""Letters of a header's value that is made anew each time."""


def head_of(response: Response, date: bytes, framing: bytes, *, keep: bool) -> bytes:
    """The head; `date` and `framing` are lines of it. Raises ValueError for a header that holds a line break."""
    lines = [_REASONS.get(response.status) or b"HTTP/1.1 %d Unknown\r\n" % response.status]
    lines += [(_known_line if len(value) < _LONG else _line)(name, value) for name, value in response.headers]
    lines += (date, framing, b"\r\n" if keep else b"connection: close\r\n\r\n")
    return b"".join(lines)


def switching(response: Response) -> bytes:
    """The head of a 101. Raises ValueError as head_of()."""
    lines = [_REASONS[101], b"connection: Upgrade\r\n", *(_line(name, value) for name, value in response.headers)]
    return b"".join((*lines, b"\r\n"))


class Framing:
    """How the end of a streamed body is told: by its length, by chunks, or by the end of the connection (HTTP/1.0)."""

    last = (b"", b"")
    """The last chunk that was framed, and what that is framed."""

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
        # Streams that tell many the same write the same bytes one after another.
        last = Framing.last
        if chunk is not last[0]:
            last = Framing.last = chunk, b"%x\r\n%b\r\n" % (size, chunk)
        return last[1]

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


def wants_gzip(request: Request, response: Response) -> bool:
    """Whether a body is packed, if it is worth it."""
    if response.status != 200 or request.method == "HEAD" or "content-encoding" in response.headers:
        return False
    return takes_gzip(request.headers)
