"""Bytes to requests, strictly: what could be read in two ways is refused (RFC 9112, section 11.2). Feeds server_connection.py.

httptools parses in its strict mode: both Content-Length and Transfer-Encoding, a repeated length, folded headers and
bare line feeds end there. Here come the rules above it, the limits, and what each refusal says.
"""

import re
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

import httptools
import orjson
from msgspec import Struct

from pybernetes.api.errors import ApiError, BadRequest, RequestEntityTooLarge
from pybernetes.wire.http import Headers, Peer, Request, Response

_VERSIONS = ("1.1", "1.0")
_RULED = frozenset({"host", "content-length", "transfer-encoding", "expect"})
"""Headers that the parser itself goes by."""
_COMMON = "host user-agent accept accept-encoding authorization content-length content-type connection traceparent"
_NAMES = {form.encode(): name for name in _COMMON.split() for form in (name, name.title())}
"""As most clients write them, and in lower case."""
_HOST = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
"""What a Host header may hold, as Go's server has it."""
_CHUNK_OVERHEAD = 8
"""Bytes of framing that a byte of a chunked body may cost: the smallest chunk has 6."""


class Parsed(Struct):
    """A request, and how its connection goes on after the answer."""

    request: Request
    keep_alive: bool = True
    version: str = "1.1"
    refusal: Response | None = None
    """The answer, where parsing already decided it."""


class State(Enum):
    """Where in a request the parser is."""

    IDLE = 0
    HEAD = 1
    BODY = 2


IDLE, HEAD, BODY = State  # a look into the Enum costs more than the comparison


class RefusedError(Exception):
    """Ends the parsing of a connection; carries the last answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _Draft(Struct):
    """The request being parsed."""

    target: bytes = b""
    items: list[tuple[str, str]] = []
    body: list[bytes] = []
    size: int = 0
    length: int = 0
    hosts: int = 0
    chunked: bool = False
    expects: str = ""
    version: str = ""


class RequestParser:
    """One connection's parser. `take` gets each whole request, `expect` is called when a client waits for a 100."""

    def __init__(
        self,
        peer: Peer,
        *,
        head_limit: int,
        body_limit: int,
        take: Callable[[Parsed], None],
        expect: Callable[[], None],
    ) -> None:
        self.state = IDLE
        self._peer = peer
        self._head_limit = head_limit
        self._body_limit = body_limit
        self._take = take
        self._expect = expect
        self._draft = _Draft()
        self._raw = 0  # bytes of the message at hand, counted from the first read that it has for itself
        self.began = False
        """A message began or ended in the read at hand."""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bytes | None:
        """Takes bytes. After a request that asks for an upgrade, the bytes behind it; else None. Raises RefusedError."""
        self.began = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, RefusedError):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError as error:
            raise RefusedError(_bad_request(f"malformed HTTP request: {error}")) from None
        self._bound(len(data))
        return None

    @property
    def received(self) -> int:
        """Bytes of the body at hand."""
        return self._draft.size

    def close(self) -> None:
        """No more bytes come. Lets go of the connection, so that neither waits for the garbage collector."""
        del self._take, self._expect, self._parser

    def _bound(self, count: int) -> None:
        # The parser reports whole headers only, and trailers are headers: reads are counted, so that one that never
        # ends is bounded too.
        self._raw = 0 if self.began else self._raw + count
        size = self._draft.size
        if self.state is HEAD and self._raw > self._head_limit:
            raise RefusedError(_too_large_head())
        if self.state is BODY and self._raw > self._head_limit + (1 + _CHUNK_OVERHEAD) * size:
            raise RefusedError(_too_large_head())

    # --- called by httptools

    def on_message_begin(self) -> None:
        self._draft = _Draft()
        self.began = True
        self.state = HEAD

    def on_url(self, url: bytes) -> None:
        self._draft.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state is BODY:
            return  # trailers are dropped: they must never pass for headers (RFC 9110, section 6.5.1)
        draft = self._draft
        lower = _NAMES.get(name) or name.decode("ascii").lower()
        draft.items.append((lower, value.decode("latin-1").strip(" \t")))
        draft.size += len(name) + len(value)
        if lower not in _RULED:
            return
        if lower == "host":
            draft.hosts += 1
            if len(value) > _LONGEST_HOST or not _good_host(value):
                raise RefusedError(_bad_request("malformed Host header"))
        elif lower == "content-length":
            draft.length = int(value)
        elif lower == "transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise RefusedError(plain(501, "only chunked transfer encoding is known here"))
            draft.chunked = True
        else:
            draft.expects = value.strip().lower().decode("latin-1")

    def on_headers_complete(self) -> None:
        draft = self._draft
        self.state = BODY
        if draft.size + len(draft.target) > self._head_limit:
            raise RefusedError(_too_large_head())
        draft.size = 0
        draft.version = self._parser.get_http_version()
        if draft.version not in _VERSIONS:
            raise RefusedError(plain(505, "unsupported protocol version"))
        if draft.hosts > 1 or (draft.hosts == 0 and draft.version != "1.0"):
            raise RefusedError(_bad_request("a request needs one Host header"))
        if not draft.target.startswith(b"/"):
            draft.target = _origin_form(draft.target)
        if draft.length > self._body_limit:
            raise RefusedError(_too_large_body(self._body_limit))
        if draft.expects not in ("", "100-continue"):
            raise RefusedError(plain(417, "only 100-continue can be expected"))
        if draft.length or draft.chunked:
            if self._parser.should_upgrade():
                raise RefusedError(_bad_request("a request that asks for an upgrade cannot have a body"))
            if draft.expects and draft.version != "1.0":
                self._expect()

    def on_body(self, body: bytes) -> None:
        draft = self._draft
        draft.size += len(body)
        if draft.size > self._body_limit:
            raise RefusedError(_too_large_body(self._body_limit))
        draft.body.append(body)

    def on_message_complete(self) -> None:
        draft, parser = self._draft, self._parser
        request = Request(
            parser.get_method().decode("ascii"),
            draft.target.decode("ascii"),
            Headers.lowered(draft.items),
            b"".join(draft.body),
            self._peer,
        )
        self._draft = _Draft()
        self.began = True
        self.state = IDLE
        self._take(Parsed(request, parser.should_keep_alive(), draft.version))


def status_response(error: ApiError) -> Response:
    """The answer that an ApiError stands for: its metav1.Status as JSON, with Retry-After where it says one."""
    headers = Headers.lowered([("content-type", "application/json")])
    if "retryAfterSeconds" in error.details:
        headers.add("retry-after", str(error.details["retryAfterSeconds"]))
    return Response(error.code, headers, orjson.dumps(error.status()))


def plain(status: int, text: str) -> Response:
    """An answer in plain text, for faults below the API."""
    return Response(status, Headers.lowered([("content-type", "text/plain; charset=utf-8")]), text.encode() + b"\n")


_LONGEST_HOST = 300


@lru_cache(maxsize=1024)
def _good_host(value: bytes) -> bool:
    return _HOST.fullmatch(value.decode("latin-1").strip(" \t")) is not None


def _origin_form(target: bytes) -> bytes:
    """Path and query of an absolute URL (RFC 9112, section 3.2.2); refuses what is neither."""
    scheme, found, rest = target.partition(b"://")
    if found and scheme.lower() in (b"http", b"https"):
        authority, query, after = rest.partition(b"?")
        slash = authority.find(b"/")
        return (authority[slash:] if slash >= 0 else b"/") + query + after
    if target == b"*":
        return target
    raise RefusedError(_bad_request("the request target must be a path"))


def _bad_request(message: str) -> Response:
    return status_response(BadRequest(message))


def _too_large_body(limit: int) -> Response:
    return status_response(RequestEntityTooLarge(f"Request entity too large: limit is {limit}"))


def _too_large_head() -> Response:
    return plain(431, "request header fields too large")
