"""GET as probes and lifecycle hooks make it: one connection a request, TLS unverified, little of the body. hooks.py asks."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.wire.http import join_host_port

BODY_LIMIT = 10 * 1024
_HEAD_LIMIT = 64 * 1024
_MOST_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


class PlainAnswer(ValueError):
    """The server speaks HTTP where HTTPS was asked for."""


class Asked(Struct, frozen=True):
    """A request. `headers` as sent, Host included."""

    scheme: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        """Host and port."""
        return join_host_port(self.host, self.port)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.where}{self.target}"

    def plain(self) -> "Asked":
        """The same in HTTP, without what only the encrypted server may know."""
        kept = tuple((k, v) for k, v in self.headers if k.lower() != "authorization")
        return replace(self, scheme="http", headers=kept)

    def head(self) -> bytes:
        """The request's bytes."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"GET {self.target} HTTP/1.1\r\n{lines}\r\n".encode()


def request_for(scheme: str, host: str, port: int, path: str, headers: Sequence[tuple[str, str]], agent: str) -> Asked:
    """With the headers of upstream's kubelet where the action has none of its own; an empty one is left out."""
    target = path if path.startswith("/") else f"/{path}"
    given = {name.lower() for name, _ in headers}
    own = [("Host", join_host_port(host, port)), ("User-Agent", agent), ("Accept", "*/*"), ("Connection", "close")]
    chosen = [(k, v) for k, v in own if k.lower() not in given]
    chosen += [(k, v) for k, v in headers if v or k.lower() not in ("accept", "user-agent", "host")]
    return Asked(scheme, host, port, target, tuple(chosen))


class HttpGet:
    """A client for servers whose certificates nobody knows."""

    def __init__(self) -> None:
        self._tls: ssl.SSLContext | None = None

    async def follow(self, asked: Asked) -> tuple[int, str]:
        """Status and the beginning of the body. Redirects are followed within the host, ten at most.

        Raises OSError, EOFError, ValueError, PlainAnswer.
        """
        first = asked.host
        for _ in range(_MOST_REDIRECTS):
            status, body, location = await self._once(asked)
            if status not in _REDIRECTS or not location:
                return status, body
            new = urlsplit(urljoin(asked.url, location))
            if new.hostname != first.lower() or new.scheme not in _PORTS:
                return status, body
            target = (new.path or "/") + (f"?{new.query}" if new.query else "")
            port = new.port or _PORTS[new.scheme]
            kept = tuple((k, v) for k, v in asked.headers if k != "Host")
            headers = (("Host", join_host_port(first, port)), *kept) if len(kept) < len(asked.headers) else kept
            asked = Asked(new.scheme, first, port, target, headers)
        return status, body

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        return self._tls

    async def _once(self, asked: Asked) -> tuple[int, str, str]:
        tls = self._context() if asked.scheme == "https" else None
        try:
            reader, writer = await asyncio.open_connection(asked.host, asked.port, ssl=tls, limit=_HEAD_LIMIT)
        except ssl.SSLError as error:
            if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
                raise PlainAnswer from None
            raise
        try:
            writer.write(asked.head())
            await writer.drain()
            status, location = await _read_head(reader)
            body = b""
            with suppress(OSError):
                while len(body) < BODY_LIMIT and (more := await reader.read(BODY_LIMIT - len(body))):
                    body += more
            return status, body.decode(errors="replace"), location
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and Location. A head whose lines are longer than the limit is a ValueError, as readline() says it."""
    line = await reader.readline()
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise ValueError(f"malformed HTTP response {line[:50]!r}" if line else "EOF")
    location, size = "", 0
    while header := (await reader.readline()).strip():
        size += len(header)
        if size > _HEAD_LIMIT:
            raise ValueError("the header of the answer is too long")
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"location":
            location = value.strip().decode("latin-1")
    return int(parts[1]), location


def dial_error(error: BaseException, where: str) -> str:
    """As Go says it."""
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {where}: connect: connection refused"
    if isinstance(error, PlainAnswer):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp {where}: connect: {error.strerror.lower()}"
    return str(error) or type(error).__name__
