"""A loopback server for the wire tests, and a certificate authority."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from pybernetes.wire.http import Handler
from pybernetes.wire.pki import certificates, files
from pybernetes.wire.server import HttpServer, Limits
from pybernetes.wire.tls import Identity

Serve = Callable[..., Awaitable[HttpServer]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """serve(handler, ssl=..., limits=...) starts a server on loopback; it is stopped, and must leave nothing."""
    servers: list[HttpServer] = []

    async def start(handler: Handler, *, ssl: object = None, limits: Limits | None = None) -> HttpServer:
        server = HttpServer(handler, ssl=ssl, limits=limits)  # type: ignore[arg-type]
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()
        assert not server.connections
    left = [task for task in asyncio.all_tasks() if task.get_name() == "wire.server"]
    assert not left


@pytest.fixture
def authority() -> certificates.Authority:
    """A fresh certificate authority."""
    return certificates.new_authority("test-ca", time.time())


@pytest.fixture
def identity(authority: certificates.Authority, tmp_path: Path) -> Callable[..., Identity]:
    """identity(Leaf) writes a certificate and key that the authority signed."""

    def make(leaf: certificates.Leaf, name: str = "leaf") -> Identity:
        certificate, key = certificates.issue(authority, leaf, time.time())
        made = Identity(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        files.write_public(made.certificate, certificate)
        files.write_private(made.key, key)
        return made

    return make


@pytest.fixture
def ca_file(authority: certificates.Authority, tmp_path: Path) -> Path:
    """The authority's certificate as a file."""
    path = tmp_path / "ca.crt"
    path.write_bytes(authority.pem)
    return path
