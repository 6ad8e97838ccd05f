"""Requests and responses as all parts know them. server.py and client.py move them; a direct transport does not.

A Handler and a Transport have the same shape, Request to Response: the API server's pipeline is a Handler, an HTTP
client is a Transport, and in one process the pipeline itself is handed to the client (architecture, section 5).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote

from msgspec import Struct, field

from pybernetes.api.objects import User


class Headers:
    """HTTP headers: names compare without case, order and repeats are kept."""

    __slots__ = ("_first", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str]] = [(name.lower(), value) for name, value in items]
        self._first: dict[str, str] | None = None
        """The first value of each name; made when somebody asks for one."""

    @classmethod
    def lowered(cls, items: list[tuple[str, str]]) -> "Headers":
        """Takes over a list whose names are lower case already (parsers)."""
        headers = cls.__new__(cls)
        headers._items = items
        headers._first = None
        return headers

    def get(self, name: str, default: str = "") -> str:
        """The first value of a header."""
        return (self._first or self._indexed()).get(name.lower(), default)

    def all(self, name: str) -> list[str]:
        """Every value of a header, one an occurrence."""
        name = name.lower()
        return [value for key, value in self._items if key == name]

    def joined(self, name: str) -> str:
        """Every value of a header as one, which means the same (RFC 9110, section 5.3)."""
        first = self._first or self._indexed()
        return first.get(name.lower(), "") if len(first) == len(self._items) else ",".join(self.all(name))

    def begins(self, prefix: str) -> bool:
        """Whether a name begins so."""
        # One search through all names is cheaper than one call for each; names hold no spaces.
        return f" {prefix}" in " " + " ".join(self._first or self._indexed())

    def set(self, name: str, value: str) -> None:
        """Replaces all values."""
        name = name.lower()
        self._items = [item for item in self._items if item[0] != name]
        self._items.append((name, value))
        self._first = None

    def add(self, name: str, value: str) -> None:
        """Adds one more value."""
        self._items.append((name.lower(), value))
        self._first = None

    def extend(self, items: Iterable[tuple[str, str]]) -> None:
        """Adds several whose names are lower case already."""
        self._items += items
        self._first = None

    def remove(self, name: str) -> None:
        """Drops all values."""
        name = name.lower()
        self._items = [item for item in self._items if item[0] != name]
        self._first = None

    def _indexed(self) -> dict[str, str]:
        self._first = dict(reversed(self._items))
        return self._first

    def __contains__(self, name: str) -> bool:
        return name.lower() in (self._first or self._indexed())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


class ByteStream(Protocol):
    """An upgraded connection: bytes both ways."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Sends; waits while the peer is slow. Raises ConnectionError when it is gone."""

    async def write_eof(self) -> None:
        """Ends our half; closes where the transport has no halves (TLS)."""

    async def close(self) -> None:
        """Closes both halves; may be called twice."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the connection tells."""

    address: str = ""
    """IP address; empty in one process."""
    certificate: bytes | None = None
    """DER of the client certificate, already verified by TLS."""
    user: User | None = None
    """Who it is, where that is known already: what the assembly gave to a component in this process, or what the server's
    authenticators have found out for a middleware. Never from the wire."""


class Request(Struct):
    """One HTTP request. `target` is path and query as on the wire; bodies are whole (limits are the server's)."""

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    peer: Peer = field(default_factory=Peer)
    warnings: tuple[str, ...] = ()
    """What authentication has to tell the sender, as Warning headers of whatever is answered."""

    @property
    def raw_path(self) -> str:
        """The path as sent, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The decoded path."""
        path = self.raw_path
        return unquote(path) if "%" in path else path

    @property
    def raw_query(self) -> str:
        """What follows the question mark."""
        return self.target.partition("?")[2]

    @property
    def media_type(self) -> str:
        """What the body is, in lower case and without parameters; empty where nothing says so."""
        return self.headers.get("content-type").partition(";")[0].strip().lower()

    def query(self) -> dict[str, list[str]]:
        """Decoded query parameters; every occurrence kept."""
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.raw_query, keep_blank_values=True):
            found.setdefault(name, []).append(value)
        return found


Upgrade: TypeAlias = Callable[[ByteStream], Awaitable[None]]


class Response(Struct):
    """One HTTP response.

    `body` is whole, or an async iterator of chunks (watch, logs): then whoever holds the Response iterates it and calls
    `aclose()` on it. With status 101, a server's handler sets `upgrade` (called with the connection once the head is
    sent), and a client finds the connection in `stream`.
    """

    status: int = 200
    headers: Headers = field(default_factory=Headers)
    body: bytes | AsyncIterator[bytes] = b""
    upgrade: Upgrade | None = None
    stream: ByteStream | None = None


class Dropped(ConnectionError):
    """Raised by a Handler, or by the body of its Response: the connection ends here, and nothing more is said on it."""


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Transport: TypeAlias = Handler
Middleware: TypeAlias = Callable[[Handler], Handler]
"""What is put around a Handler: sees each Request before it and each Response after it, or answers itself."""


def around(handler: Handler, middlewares: Iterable[Middleware]) -> Handler:
    """The handler inside all of them; the first is the outermost, as they are read."""
    for middleware in reversed(tuple(middlewares)):
        handler = middleware(handler)
    return handler


def join_host_port(host: str, port: int) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80` (Go's net.JoinHostPort)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def read_body(response: Response) -> bytes:
    """The whole body, whichever form it has."""
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])
