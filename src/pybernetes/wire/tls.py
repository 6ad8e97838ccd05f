"""TLS contexts of servers and clients: 1.2 and newer, ALPN http/1.1, certificates that can be renewed under load."""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SESSIONS = 64
"""Servers whose sessions one client remembers."""
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SUITES_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_SUITES_12 = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
)
"""Those that are safe; upstream knows others, and warns of them."""
_VERSIONS = {
    **dict.fromkeys(("VersionTLS10", "VersionTLS11", "VersionTLS12"), ssl.TLSVersion.TLSv1_2),
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Files with a certificate (and its chain) and its key, PEM; one file may hold both."""

    certificate: Path
    key: Path


class ServerTls:
    """The context of a server, and reload() for a renewed certificate: new handshakes get it, open connections stay.

    `client_ca` is the bundle that client certificates are checked with. `require_client` refuses connections without
    one; otherwise a missing one is fine (bearer tokens) and a bad one still ends the handshake.
    """

    def __init__(self, identity: Identity, *, client_ca: Path | None = None, require_client: bool = False) -> None:
        self._identity = identity
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(self.context)
        if client_ca is not None:
            self.context.load_verify_locations(client_ca)
            self.context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
        self._seen = self._stamp()
        self.context.load_cert_chain(identity.certificate, identity.key)

    def reload(self) -> bool:
        """Reads changed files again; True if they had changed. Raises OSError or ssl.SSLError: then the old stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        # A pair that does not fit (one of two files written yet) must not touch the context in use.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._identity.certificate, self._identity.key)
        self.context.load_cert_chain(self._identity.certificate, self._identity.key)
        self._seen = stamp
        return True

    def _stamp(self) -> tuple[int, int]:
        return self._identity.certificate.stat().st_mtime_ns, self._identity.key.stat().st_mtime_ns


def restrict(context: ssl.SSLContext, least: str = "", suites: Sequence[str] = ()) -> None:
    """Narrows a context to what flags of upstream's components say: `VersionTLS13`, `TLS_AES_128_GCM_SHA256`, ...

    Versions below 1.2 stay off, whatever is said. Raises ValueError for names that are unknown here.
    """
    if least:
        if least not in _VERSIONS:
            raise ValueError(f'unknown tls version "{least}"')
        context.minimum_version = _VERSIONS[least]
    if suites:
        # Those of 1.3 cannot be chosen, in Go neither; they are allowed by naming any.
        names = [_openssl_name(suite) for suite in suites]
        chosen = ":".join(name for name in names if name)
        if chosen:
            context.set_ciphers(chosen)
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_3


def _openssl_name(suite: str) -> str:
    """`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` -> `ECDHE-RSA-AES128-GCM-SHA256`; empty for one of TLS 1.3."""
    if suite in _SUITES_13:
        return ""
    if suite not in _SUITES_12:
        raise ValueError(f"Cipher suite {suite} not supported or doesn't exist")
    exchange, _, cipher = suite.removeprefix("TLS_").partition("_WITH_")
    cipher = (
        cipher.replace("AES_", "AES").replace("_SHA256", "") if "CHACHA" in cipher else cipher.replace("AES_", "AES")
    )
    return f"{exchange}_{cipher}".replace("_", "-")


def server_context(
    identity: Identity, *, client_ca: Path | None = None, require_client: bool = False
) -> ssl.SSLContext:
    """The context of a server whose certificate never changes while it runs."""
    return ServerTls(identity, client_ca=client_ca, require_client=require_client).context


class ClientContext(ssl.SSLContext):
    """A client's context that takes up the last session with a server: a reconnect costs both ends no signature."""

    def __init__(self, protocol: int) -> None:  # made by __new__, which takes the protocol
        self._sessions: dict[str | bytes | None, ssl.SSLSession] = {}

    def wrap_socket(self, sock: socket.socket, **named: Any) -> ssl.SSLSocket:  # type: ignore[override] # what it is given here
        """As SSLContext's. A server that does not know the session any more makes a whole handshake."""
        named.setdefault("session", self._sessions.get(named.get("server_hostname")))
        return super().wrap_socket(sock, **named)

    def remember(self, connection: ssl.SSLSocket) -> None:
        """Takes up the session of a connection from now on; called once the server has answered: tickets come late."""
        if connection.session is not None and connection.session.has_ticket:
            if len(self._sessions) >= _SESSIONS:
                self._sessions.clear()
            self._sessions[connection.server_hostname] = connection.session

    def load_cert_chain(self, *given: Any, **named: Any) -> None:
        """As SSLContext's. A session speaks for the certificate it began with, so all are forgotten."""
        super().load_cert_chain(*given, **named)
        self._sessions.clear()


def client_context(
    *,
    ca: Path | None = None,
    ca_data: str | None = None,
    identity: Identity | None = None,
    verify: bool = True,
) -> ssl.SSLContext:
    """The context of a client. Without a CA the system's bundle counts. Raises OSError, ssl.SSLError, ValueError."""
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is not None or ca_data is not None:
        context.load_verify_locations(cafile=ca, cadata=ca_data)
    else:
        context.load_default_certs()
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
