"""Connections to a server: TCP or unix sockets, TLS, and what goes wrong with them. client.py speaks HTTP over these.

Errors are ConnectionErrors whose text is what users of Kubernetes know:

WireError (ConnectionError)
├── DialError      no connection: refused, no route, no such host
│   └── UntrustedError  TLS verification
├── TimedOutError  no connection or no answer in time (a TimeoutError too)
└── BrokenError    the connection ended, or spoke no HTTP, before the answer was whole
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from pybernetes.wire.http import join_host_port
from pybernetes.wire.tls_socket import TlsTransport, handshake

C = TypeVar("C", bound=asyncio.Protocol)


class WireError(ConnectionError):
    """The request got no whole answer."""


class DialError(WireError):
    """No connection could be made; nothing was sent."""


class UntrustedError(DialError):
    """The TLS handshake failed: another address of that name would not do instead."""


class TimedOutError(WireError, TimeoutError):
    """The server did not answer in time."""


class BrokenError(WireError):
    """The connection ended before the answer was whole."""

    def __init__(self, why: str, *, answered: bool = True) -> None:
        super().__init__(why)
        self.answered = answered
        """Part of the answer had come."""


class Dialer:
    """Dials one server: each address of its name in turn, or a unix socket.

    `timeout` is seconds for all of it. As in Go, each address gets its share of what is left: one that is away and says
    nothing does not take it from the next.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ssl: ssl.SSLContext | None,
        server_name: str,
        unix_path: str | None,
        timeout: float,
    ) -> None:
        self._host = host
        self._port = port
        self._ssl = ssl
        self._server_name = server_name
        self._unix_path = unix_path
        self._timeout = timeout

    async def dial(self, protocol: Callable[[], C]) -> C:
        """A connection, TLS handshake included. Raises DialError, TimedOutError."""
        if self._unix_path is not None:
            with self._told(f"dial unix {self._unix_path}"):
                return await self._connect(protocol, None, self._timeout)
        end = asyncio.get_running_loop().time() + self._timeout
        with self._told(f"dial tcp {join_host_port(self._host, self._port)}"):
            async with asyncio.timeout_at(end):
                addresses = await self._resolve()
        first: WireError | None = None
        for number, address in enumerate(addresses):
            share = (end - asyncio.get_running_loop().time()) / (len(addresses) - number)
            try:
                with self._told(f"dial tcp {join_host_port(address, self._port)}"):
                    return await self._connect(protocol, address, share)
            except UntrustedError:
                raise
            except WireError as error:
                first = first or error
        raise first or DialError(f"dial tcp: lookup {self._host}: no such host")

    async def _connect(self, protocol: Callable[[], C], address: str | None, seconds: float) -> C:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            if self._ssl is not None:
                return await self._secured(self._ssl, protocol(), address)
            if address is None:
                return (await loop.create_unix_connection(protocol, self._unix_path))[1]
            return (await loop.create_connection(protocol, address, self._port))[1]

    async def _secured(self, context: ssl.SSLContext, protocol: C, address: str | None) -> C:
        """Not the loop's TLS: uvloop's drops what is unread at the end of a connection whose reading is paused."""
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            if address is not None:
                sock = undo.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
            else:
                sock = undo.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            await loop.sock_connect(sock, (address, self._port) if address is not None else self._unix_path or "")
            peer = sock.getpeername()
            secured = undo.enter_context(
                context.wrap_socket(
                    sock,
                    do_handshake_on_connect=False,
                    suppress_ragged_eofs=False,
                    server_hostname=self._server_name,
                )
            )
            await handshake(secured)
            undo.pop_all()
        TlsTransport(loop, secured, peer, protocol, ssl.SSLSocket.close)
        return protocol

    @contextmanager
    def _told(self, where: str) -> Iterator[None]:
        """What goes wrong, in the words that users of Kubernetes know."""
        try:
            yield
        except WireError:
            raise
        except TimeoutError as error:
            raise TimedOutError(f"{where}: i/o timeout") from error
        except ssl.SSLError as error:
            raise UntrustedError(tls_text(error, self._server_name)) from error
        except OSError as error:
            raise DialError(f"{where}: connect: {errno_text(error)}") from error

    async def _resolve(self) -> list[str]:
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in self._host else socket.AF_INET, self._host)
        except OSError:
            pass
        else:
            return [self._host]
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise DialError(f"dial tcp: lookup {self._host}: no such host") from error
        # IPv4 first: what this project listens on; the other family is tried where it fails.
        addresses = dict.fromkeys(str(item[4][0]) for item in sorted(found, key=lambda i: i[0] != socket.AF_INET))
        return list(addresses)


_TEXTS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENOENT: "no such file or directory",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.ECONNRESET: "connection reset by peer",
    errno.EPIPE: "broken pipe",
    errno.EACCES: "permission denied",
}


def errno_text(error: OSError) -> str:
    """What Go says of the error."""
    number = error.errno or 0
    return _TEXTS.get(number) or (os.strerror(number).lower() if number else str(error))


def tls_text(error: ssl.SSLError, server_name: str) -> str:
    """What a failed handshake means, in the words that users of Kubernetes know."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = {
            10: "certificate has expired or is not yet valid",
            9: "certificate has expired or is not yet valid",
            62: f"certificate is valid for other names, not {server_name}",
            64: f"certificate is valid for other addresses, not {server_name}",
        }.get(error.verify_code, "certificate signed by unknown authority")
        return f"tls: failed to verify certificate: x509: {why}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    _, alert, rest = reason.partition("alert ")
    if alert:
        return f"remote error: tls: {rest}"
    if reason in ("wrong version number", "record layer failure", "http request"):
        return "http: server gave HTTP response to HTTPS client"
    return f"tls: {reason}"
