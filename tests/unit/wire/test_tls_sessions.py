"""TLS sessions: who reconnects takes up the last one, with the same identity; nothing else gets in by it."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Request, Response
from pybernetes.wire.pki.certificates import Leaf, user_of
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls, client_context

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
Make = Callable[..., Identity]


async def who(request: Request) -> Response:
    assert request.peer.certificate is not None
    return Response(200, body=user_of(request.peer.certificate).name.encode())


def server_tls(identity: Make, ca: Path, *hosts: str) -> ServerTls:
    return ServerTls(identity(Leaf("s", hosts=hosts or ("127.0.0.1",), usages=("server auth",)), "s"), client_ca=ca)


async def asked(client: HttpClient, server: HttpServer) -> tuple[bytes | object, bool]:
    """Who the server took the client for on a new connection, and whether that took up a session."""
    before = set(server.connections)
    for connection in tuple(client._open):
        connection.abort()
        await connection.gone()
    answer = await client(Request("GET", "/"))
    (connection_there,) = server.connections - before
    return answer.body, connection_there.transport.get_extra_info("ssl_object").session_reused


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_reconnects_takes_up_its_session(
    loop: str, version: ssl.TLSVersion, identity: Make, ca_file: Path
) -> None:
    async def main() -> None:
        server = HttpServer(who, ssl=server_tls(identity, ca_file).context)
        await server.start()
        context = client_context(ca=ca_file, identity=identity(Leaf("ann"), "ann"))
        context.maximum_version = version
        client = HttpClient(f"https://127.0.0.1:{server.port}", ssl=context)
        assert await asked(client, server) == (b"ann", False)
        for _ in range(3):
            assert await asked(client, server) == (b"ann", True)
        await client.aclose()
        await server.stop()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


async def test_a_renewed_client_certificate_ends_the_sessions_of_the_old_one(identity: Make, ca_file: Path) -> None:
    server = HttpServer(who, ssl=server_tls(identity, ca_file).context)
    await server.start()
    context = client_context(ca=ca_file, identity=identity(Leaf("ann"), "ann"))
    client = HttpClient(f"https://127.0.0.1:{server.port}", ssl=context)
    assert await asked(client, server) == (b"ann", False)
    renewed = identity(Leaf("bob"), "bob")
    context.load_cert_chain(renewed.certificate, renewed.key)
    assert await asked(client, server) == (b"bob", False)
    await client.aclose()
    await server.stop()


async def test_a_server_that_was_started_anew_makes_a_whole_handshake(identity: Make, ca_file: Path) -> None:
    context = client_context(ca=ca_file, identity=identity(Leaf("ann"), "ann"))
    port = 0
    for expected in (False, False):
        server = HttpServer(who, ssl=server_tls(identity, ca_file).context)
        await server.start(port=port)
        port = server.port
        client = HttpClient(f"https://127.0.0.1:{port}", ssl=context)
        assert await asked(client, server) == (b"ann", expected)
        await client.aclose()
        await server.stop()


async def test_a_session_is_of_one_server_name(identity: Make, ca_file: Path) -> None:
    server = HttpServer(who, ssl=server_tls(identity, ca_file).context)
    await server.start()
    context = client_context(ca=ca_file, identity=identity(Leaf("ann"), "ann"))
    url = f"https://127.0.0.1:{server.port}"
    client, other = HttpClient(url, ssl=context), HttpClient(url, ssl=context, server_name="other")
    assert await asked(client, server) == (b"ann", False)
    with pytest.raises(ConnectionError, match="certificate is valid for other names, not other"):
        await other(Request("GET", "/"))
    await other.aclose()
    await client.aclose()
    await server.stop()
