"""Request smuggling: what two servers could read in two ways is refused, and nothing behind it is a request."""

import asyncio
import contextlib

import pytest

from pybernetes.wire.http import Request, Response
from pybernetes.wire.server import HttpServer, Limits

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
BEHIND = b"GET /behind HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

REFUSED = {
    # which of two lengths counts
    "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
    "CL.TE in capitals": POST + b"CONTENT-LENGTH: 6\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\nG",
    "CL.0 twice": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "a length as Python writes it": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "a length in other digits": POST + "Content-Length: \N{ARABIC-INDIC DIGIT FIVE}\r\n\r\nhello".encode(),
    "a length in two words": POST + b"Content-Length: 5 5\r\n\r\nhello",
    "an empty length": POST + b"Content-Length: \r\n\r\nhello",
    "a length that overflows": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    # TE.TE: an encoding that one of two servers does not see
    "TE.TE identity": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE.TE chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE.TE in one": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "quoted": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a vertical tab before it": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a carriage return in it": POST + b"Transfer-Encoding: chun\rked\r\n\r\n0\r\n\r\n",
    "a space after the name": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "empty": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    # chunks
    "a chunk with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a chunk with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk with a space before": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "a chunk with a space behind": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "a chunk without size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "a chunk that overflows": CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"3\r\nabc0\r\n\r\n",
    "a chunk that ends in a bare line feed": CHUNKED + b"3\nabc\n0\n\n",
    "a last chunk that ends in a bare line feed": CHUNKED + b"3\r\nabc\r\n0\r\n\n",
    "an extension with a line feed": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "an extension with a carriage return": CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "an extension with a null byte": CHUNKED + b"3;a\x00b\r\nabc\r\n0\r\n\r\n",
    "a length as a trailer": CHUNKED + b"0\r\nContent-Length: 50\r\n\r\n",
    "an encoding as a trailer": CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n",
    # lines
    "obs-fold with a space": GET + b"X: y\r\n z\r\n\r\n",
    "obs-fold with a tab": GET + b"X: y\r\n\tz\r\n\r\n",
    "obs-fold before the first": b"POST / HTTP/1.1\r\n Host: a\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "a bare line feed after a header": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "a bare carriage return after a header": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "a bare line feed at the end": GET + b"\n",
    "a header without a colon": POST + b"Content-Length\r\n\r\n",
    "a header without a name": POST + b": 5\r\n\r\n",
    # null bytes and their like
    "a null byte in a name": GET + b"X\x00: a\r\n\r\n",
    "a null byte in a value": GET + b"X: a\x00b\r\n\r\n",
    "a null byte in a length": POST + b"Content-Length: 5\x00\r\n\r\nhello",
    "a null byte in the target": b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a null byte in Host": b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "a control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    # whose request it is
    "two hosts": GET + b"Host: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a host of two words": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a path as host": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "an endless host": b"GET / HTTP/1.1\r\nHost: " + b"a" * 1000 + b"\r\n\r\n",
    "another scheme": b"GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab for a space": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "another version": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an upgrade with a body": GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
}
ONE_MEANING = {
    "a body of a GET": (GET + b"Content-Length: 5\r\n\r\nhello", ("GET", "/", b"hello")),
    "leading zeros": (POST + b"Content-Length: 0005\r\n\r\nhello", ("POST", "/", b"hello")),
    "a tab before the encoding": (
        POST + b"Transfer-Encoding:\tchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ("POST", "/", b"abc"),
    ),
    "an underscore is no hyphen": (
        POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ("POST", "/", b"0\r\n\r\n"),
    ),
    "an extension": (CHUNKED + b'3;a="b"\r\nabc\r\n0\r\n\r\n', ("POST", "/", b"abc")),
    "an extension that reads as chunks": (
        CHUNKED + b"3;0\r\nabc\r\n3;5\r\n0\r\n\r\n0\r\n\r\n",
        ("POST", "/", b"abc0\r\n"),
    ),
    "empty lines before it": (b"\r\n\r\n" + GET + b"\r\n", ("GET", "/", b"")),
    "absolute form": (b"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/c?d", b"")),
    "absolute form without a path": (b"GET https://b HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/", b"")),
    "absolute form with a query alone": (b"GET http://b?c=/d HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/?c=/d", b"")),
    "a path that looks like a host": (b"GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "//b/c", b"")),
}


async def told(data: bytes, limits: Limits) -> tuple[bytes, list[tuple[str, str, bytes]]]:
    """What a server answers to these bytes and a request behind them, and the requests it has seen in them."""
    seen: list[tuple[str, str, bytes]] = []

    async def handler(request: Request) -> Response:
        seen.append((request.method, request.target, request.body))
        return Response(200, body=b"ok")

    server = HttpServer(handler, limits=limits)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    got = b""
    with contextlib.suppress(ConnectionError):
        writer.write(data + BEHIND)
        got = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    await server.stop()
    return got, seen


@pytest.mark.parametrize("name", REFUSED)
async def test_what_has_two_meanings_is_refused_and_nothing_behind_it_is_read(name: str) -> None:
    got, seen = await told(REFUSED[name], Limits(linger_seconds=0.05))
    assert got.split(b" ")[1] in (b"400", b"501", b"505")
    assert got.count(b"HTTP/1.1") == 1
    assert seen == []


@pytest.mark.parametrize("name", ONE_MEANING)
async def test_what_has_one_meaning_is_read_so(name: str) -> None:
    data, wanted = ONE_MEANING[name]
    got, seen = await told(data, Limits())
    assert seen == [wanted, ("GET", "/behind", b"")]
    assert got.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"505"),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", b"505"),
        (POST + b"Expect: the-worst\r\nContent-Length: 5\r\n\r\nhello", b"417"),
        (GET + b"X: " + b"x" * 200_000 + b"\r\n\r\n", b"431"),
        (GET + b"".join(b"X%d: y\r\n" % number for number in range(30_000)) + b"\r\n", b"431"),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
    ],
)
async def test_what_is_too_much_or_not_spoken_here_is_refused_by_its_name(head: bytes, code: bytes) -> None:
    got, seen = await told(head, Limits(linger_seconds=0.2))
    assert (got.split(b" ")[1], seen) == (code, [])


async def test_many_headers_within_the_limit_are_taken() -> None:
    head = GET + b"".join(b"X%d: y\r\n" % number for number in range(5000)) + b"\r\n"
    assert [request[1] for request in (await told(head, Limits()))[1]] == ["/", "/behind"]


async def test_chunks_in_an_old_version_end_the_connection() -> None:
    got, seen = await told(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Limits())
    assert seen == [("POST", "/", b"")]
    assert got.count(b"HTTP/1.1 200") == 1


async def test_expect_of_an_old_client_is_not_waited_for() -> None:
    got, seen = await told(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", Limits())
    assert (b"100 Continue" in got, seen) == (False, [("POST", "/", b"abc")])
