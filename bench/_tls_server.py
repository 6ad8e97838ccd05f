"""The least that is still a server of its own: the floor of clusters inside tests."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Request, Response
from pybernetes.wire.pki.certificates import Leaf, issue, new_authority
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, server_context


async def _answer(request: Request) -> Response:
    return Response(200)


@asynccontextmanager
async def tls_server() -> AsyncIterator[None]:
    """A server with TLS, and a store."""
    with tempfile.TemporaryDirectory() as name:
        folder, now = Path(name), time.time()
        authority = new_authority("kubernetes", now)
        certificate, key = issue(authority, Leaf("server", hosts=("127.0.0.1",)), now)
        identity, ca = Identity(folder / "server.crt", folder / "server.key"), folder / "ca.crt"
        for path, data in ((identity.certificate, certificate), (identity.key, key), (ca, authority.pem)):
            path.write_bytes(data)
        store, server = MemoryStore(), HttpServer(_answer, ssl=server_context(identity, client_ca=ca))
        await server.start()
        yield
        await server.stop()
        await store.close()
