"""Laws of the server: how bytes are cut changes nothing, and no bytes whatever break it."""

import asyncio
import contextlib
import logging
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybernetes.wire.http import Request, Response
from pybernetes.wire.server import HttpServer, Limits

_DATE = re.compile(rb"date: [^\r]*\r\n")

REQUESTS = [
    b"GET /one?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /three HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n",
    b"HEAD /four HTTP/1.1\r\nHost: a\r\n\r\n",
]
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def echo(request: Request) -> Response:
    return Response(200, body=f"{request.method} {request.target} ".encode() + request.body)


async def answers(pieces: list[bytes]) -> bytes:
    server = HttpServer(echo, limits=Limits(linger_seconds=0.01, head=4096))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    got = b""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        with contextlib.suppress(OSError):
            writer.write_eof()
        got = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    await server.stop()
    assert not server.connections
    return _DATE.sub(b"", got)


def cut(data: bytes, points: list[int]) -> list[bytes]:
    places = sorted({point % len(data) for point in points})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a != b]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(REQUESTS), max_size=5), st.lists(st.integers(0, 2000), max_size=12))
def test_the_same_bytes_get_the_same_answers_however_they_are_cut(requests: list[bytes], points: list[int]) -> None:
    data = b"".join(requests) + LAST
    # a peer that ends its half before it has its answers is gone: the last request closes the connection instead
    whole, pieces = asyncio.run(exchange([data])), asyncio.run(exchange(cut(data, points)))
    assert pieces == whole
    assert whole.count(b"HTTP/1.1 200 OK") == len(requests) + 1


async def exchange(pieces: list[bytes]) -> bytes:
    server = HttpServer(echo)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0)
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    await server.stop()
    return _DATE.sub(b"", got)


mangled = st.builds(
    lambda data, at, insert, drop: data[: at % (len(data) + 1)] + insert + data[at % (len(data) + 1) + drop :],
    st.sampled_from([*REQUESTS, b"".join(REQUESTS)]),
    st.integers(0, 1000),
    st.binary(max_size=8),
    st.integers(0, 4),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=200), mangled))
def test_no_bytes_are_a_fault_of_the_server(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        got = asyncio.run(answers([data]))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert b" 500 " not in got.split(b"\r\n")[0]
