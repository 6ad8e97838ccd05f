"""What big lists cost the API server: 10,000 Pods of 6 KB over TLS, in JSON and protobuf, with selectors, in pages, as tables.

The figure is CPU of the server's process a list, in milliseconds; the floor is a plain socket that reads the request and
sends the same bytes through TLS with sendall. Both are read in the same way: a slow reader makes the sender dearer. Then
100 lists at once, and how long creates take meanwhile (wall time, which a busy machine makes longer); the floor is the
same create on a server that has nothing else to do.
"""

import asyncio
import multiprocessing
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
import uvloop

from bench import Benchmark, Row
from bench.apiserver import JSON, PROTOBUF, Ask, Files, Server, pod
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request
from pybernetes.wire.tls import client_context, server_context

PODS, HERE, THERE = 10_000, "crowd", "other"
CHOSEN = 100
"""Pods of the node, and of the namespace beside."""
NODE = "node-1"
LISTS = 5
TOGETHER = 8_000_000
"""Bytes that are sent between two looks at the CPU time: a look costs as much as a small list."""
PARALLEL = 100
CREATES = 200
ALL = "/api/v1/pods"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _sender(pipe: Connection, files: Files) -> None:
    """Answers every request with what it is told to; sends the CPU seconds of an answer, the least of LISTS."""
    context = server_context(files.server, client_ca=files.ca)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pipe.send(listening.getsockname()[1])
        while data := pipe.recv():
            accepted, _ = listening.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + data
            with context.wrap_socket(accepted, server_side=True) as secured:
                found = []
                for _ in range(LISTS + 1):
                    started = time.process_time()
                    for _ in range(_times(data)):
                        secured.recv(1000)
                        secured.sendall(answer)
                    found.append((time.process_time() - started) / _times(data))
                pipe.send(min(found[1:]))


def _times(data: bytes) -> int:
    return max(TOGETHER // len(data), 1)


class Reader:
    """One connection, read as fast as a plain socket can."""

    def __init__(self, files: Files, port: int) -> None:
        context: ssl.SSLContext = client_context(ca=files.ca, identity=files.client)
        plain = socket.create_connection(("127.0.0.1", port))
        self._socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self._buffer = bytearray(1 << 20)

    def ask(self, target: str, accept: str = JSON) -> bytes:
        """Reads a whole answer; gives the beginning of its body, a kilobyte or more."""
        self._socket.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\nAccept: {accept}\r\n\r\n".encode())
        got = head = body = b""
        while len(body) < 1000:
            got += self._socket.recv(1 << 16)
            head, _, body = got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{target}: {got[:200]!r}")
        if found := re.search(rb"\r\ncontent-length: (\d+)", head):
            left = int(found[1]) - len(body)
            while left > 0:
                left -= self._socket.recv_into(self._buffer)
        else:
            end = body[-5:]
            while not end.endswith(b"0\r\n\r\n"):
                count = self._socket.recv_into(self._buffer)
                end = (end + self._buffer[:count])[-5:]
        return body

    def close(self) -> None:
        self._socket.close()


class Floor:
    """sendall of the same bytes."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_sender, args=(theirs, files))
        self._process.start()
        self._port = self._pipe.recv()

    def milliseconds(self, data: bytes) -> float:
        """What sending costs."""
        self._pipe.send(data)
        reader = Reader(self._files, self._port)
        for _ in range((LISTS + 1) * _times(data)):
            reader.ask("/")
        reader.close()
        return float(self._pipe.recv()) * 1e3

    def close(self) -> None:
        self._pipe.send(b"")
        self._process.join(10)


def _list(server: Server, reader: Reader, target: str, accept: str, times: int) -> float:
    """Milliseconds of CPU: the least of some, as the floor is."""
    reader.ask(target, accept)
    found = []
    for _ in range(LISTS):
        started = server.cpu()
        for _ in range(times):
            reader.ask(target, accept)
        found.append((server.cpu() - started) / times)
    return min(found) * 1e3


def _paged(server: Server, reader: Reader) -> float:
    started = server.cpu()
    token = ""
    while True:
        found = re.search(rb'"continue":"([^"]+)"', reader.ask(f"{_pods(HERE)}?limit=500{token}"))
        if found is None:
            return (server.cpu() - started) * 1e3
        token = f"&continue={found[1].decode()}"


async def _fill(server: Server) -> None:
    for name, count in ((HERE, PODS - CHOSEN), (THERE, CHOSEN)):
        await server.ask(Ask("POST", "/api/v1/namespaces", orjson.dumps({"metadata": {"name": name}})))
        await server.ask(
            Ask("POST", f"/api/v1/namespaces/{name}/serviceaccounts", orjson.dumps({"metadata": {"name": "default"}}))
        )
        bodies = []
        for number in range(count):
            made = pod(f"p-{number}")
            if number % (PODS // CHOSEN) == 0:
                made["spec"]["nodeName"] = NODE
            bodies.append(Ask("POST", _pods(name), orjson.dumps(made)))
        await server.measure(bodies, 16)


async def _creates(server: Server, prefix: str, enough: asyncio.Event | None = None) -> list[float]:
    """Seconds of each, in order of size."""
    found = []
    for number in range(CREATES):
        if enough is not None and enough.is_set():
            break
        body = orjson.dumps(pod(f"{prefix}-{number}"))
        started = time.perf_counter()
        await server.ask(Ask("POST", _pods(THERE), body))
        found.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
    return sorted(found)


def _drain(url: str, files: Files, count: int) -> None:
    """Another process reads the lists, so that the creates do not wait for their own client."""

    async def main() -> None:
        client = HttpClient(url, ssl=client_context(ca=files.ca, identity=files.client))

        async def one() -> None:
            response = await client(Request("GET", ALL, Headers([("accept", JSON)])))
            if not isinstance(response.body, bytes):
                async for _ in response.body:
                    pass

        await asyncio.gather(*(one() for _ in range(count)))
        await client.aclose()

    uvloop.run(main())


async def _crowded(server: Server, files: Files) -> tuple[float, float, int]:
    """p99 of a create in milliseconds: alone, and while 100 lists go out; and how many creates that were."""
    alone = await _creates(server, "alone")
    process = multiprocessing.get_context("spawn").Process(target=_drain, args=(server.url, files, PARALLEL))
    process.start()
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, process.join)
    ended.add_done_callback(lambda _: done.set())
    await asyncio.sleep(1.0)
    crowded = await _creates(server, "crowded", done)
    await ended
    return _p99(alone), _p99(crowded), len(crowded)


def _p99(found: Sequence[float]) -> float:
    return found[min(int(len(found) * 0.99), len(found) - 1)] * 1e3


async def _rows() -> Sequence[Row]:
    targets = {
        "all": ALL,
        "label selector": f"{ALL}?labelSelector=tier%3Dbackend",
        "one namespace": _pods(HERE),
        "the smaller namespace": _pods(THERE),
        "one node's": f"{ALL}?fieldSelector=spec.nodeName%3D{NODE}",
    }
    rows = []
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        api, floor = Server(files, "api", ("sqlite", Path(name))), Floor(files)
        await _fill(api)
        reader = Reader(files, int(api.url.rpartition(":")[2]))
        for form, short in ((JSON, "json"), (PROTOBUF, "protobuf")):
            for what, target in targets.items():
                body = await api.ask(Ask("GET", target, accept=form))
                figure = _list(api, reader, target, form, _times(body))
                rows.append(Row(f"{short}, {what}", figure, floor.milliseconds(body), "ms"))
        started = api.cpu()
        body = await api.ask(Ask("GET", ALL, accept=TABLE))
        made = (api.cpu() - started) * 1e3
        rows.append(Row("table, all, rows made", made, floor.milliseconds(body), "ms"))
        for what, target in (("all", ALL), ("a page of 500", f"{ALL}?limit=500")):
            body = await api.ask(Ask("GET", target, accept=TABLE))
            figure = _list(api, reader, target, TABLE, _times(body))
            rows.append(Row(f"table, {what}", figure, floor.milliseconds(body), "ms"))
        body = await api.ask(Ask("GET", _pods(HERE)))
        pages = min(_paged(api, reader) for _ in range(LISTS))
        rows.append(Row("json, in pages of 500", pages, floor.milliseconds(body), "ms"))
        reader.close()
        alone, crowded, count = await _crowded(api, files)
        rows.append(Row(f"p99 of {count} creates during {PARALLEL} lists", crowded, alone, "ms"))
        floor.close()
        await api.close()
    return rows


def run() -> Sequence[Row]:
    """A row a kind of list."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark("lists", "CPU of lists of 10,000 Pods over TLS; floor: sendall of the same bytes", run)
