"""What an event of a watch costs the API server: CPU an event and watcher, for 100 watchers over TLS in another process.

Events alone (the next write waits until everybody has seen the last), four writes at once, and a writer that never
rests. The figure is what the same writes cost more when they are watched; the floor is a handler that streams frames of
the same size on the same HTTP server, a write each. Then what 5,000 watches cost that see nothing: memory of the
server's process and CPU a second (which is TLS connections and bookmarks; the floor is as many idle connections).
"""

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
import uvloop

from bench import Benchmark, Row
from bench.apiserver import JSON, MERGE, PODS, PROTOBUF, Ask, Files, Server, pod
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, Response
from pybernetes.wire.tls import client_context

WATCHERS = 100
EVENTS = 200
IDLE = 5_000
PACES = {"alone": 1, "four at once": 4, "without a rest": 8}


class Readers:
    """A process that reads streams and counts bytes."""

    def __init__(self, files: Files, url: str, target: str, accept: str, count: int) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_readers, args=(theirs, files, url, target, accept, count))
        self._process.start()

    async def opened(self) -> None:
        """Every stream is there."""
        if await asyncio.to_thread(self._pipe.recv) != "open":
            raise RuntimeError("the streams did not open")

    async def seen(self) -> int:
        """Bytes so far."""
        self._pipe.send("seen")
        return int(await asyncio.to_thread(self._pipe.recv))

    async def quiet(self) -> None:
        """Until nothing comes any more."""
        before = -1
        while before != (now := await self.seen()):
            before = now
            await asyncio.sleep(0.1)

    async def all_saw(self, more: int) -> None:
        """Until there are so many bytes."""
        while await self.seen() < more:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        self._pipe.send("stop")
        await asyncio.to_thread(self._process.join)


def _readers(pipe: Connection, files: Files, url: str, target: str, accept: str, count: int) -> None:
    uvloop.run(_reading(pipe, files, url, target, accept, count))


async def _reading(pipe: Connection, files: Files, url: str, target: str, accept: str, count: int) -> None:
    seen = 0
    client = HttpClient(url, ssl=client_context(ca=files.ca, identity=files.client))
    few = asyncio.Semaphore(50)

    async def one() -> Response:
        async with few:
            response = await client(Request("GET", target, Headers([("accept", accept)])))
        if response.status != 200 or isinstance(response.body, bytes):
            raise RuntimeError(f"{target}: {response.status}")
        return response

    async def read(response: Response) -> None:
        nonlocal seen
        assert not isinstance(response.body, bytes)
        async for chunk in response.body:
            seen += len(chunk)

    responses = await asyncio.gather(*(one() for _ in range(count)))
    tasks = [asyncio.create_task(read(response)) for response in responses]
    pipe.send("open")
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv) == "seen":
        pipe.send(seen)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()


async def _writes(server: Server, accept: str, width: int, readers: Readers | None = None) -> float:
    """CPU microseconds of all writes; with readers, of what they make the server do as well."""
    asks = [
        Ask("PATCH", f"{PODS}/p-{n % 8}", orjson.dumps({"metadata": {"annotations": {"n": f"{n:04}"}}}), MERGE)
        for n in range(EVENTS)
    ]
    frame = len(await server.ask(Ask("GET", f"{PODS}/p-0", accept=accept)))
    if readers is not None:
        await readers.quiet()
    started = server.cpu()
    for at in range(0, EVENTS, width):
        seen = 0 if readers is None else await readers.seen()
        await asyncio.gather(*(server.ask(ask) for ask in asks[at : at + width]))
        if readers is not None and width < PACES["without a rest"]:
            await readers.all_saw(seen + width * frame * WATCHERS)
    if readers is not None:
        await readers.quiet()
    return (server.cpu() - started) * 1e6


async def _figure(server: Server, files: Files, accept: str, width: int) -> float:
    await _writes(server, accept, width)
    alone = await _writes(server, accept, width)
    readers = Readers(files, server.url, f"{PODS}?watch=1&timeoutSeconds=600", accept, WATCHERS)
    await readers.opened()
    watched = await _writes(server, accept, width, readers)
    await readers.close()
    await asyncio.sleep(0.2)
    return (watched - alone) / (EVENTS * WATCHERS)


async def _floor(files: Files, frame: bytes) -> float:
    server = Server(files, "trivial", frame)
    started = server.cpu()
    readers = Readers(files, server.url, f"/x?chunks={EVENTS}", JSON, WATCHERS)
    await readers.opened()
    await readers.quiet()
    found = (server.cpu() - started) * 1e6 / (EVENTS * WATCHERS)
    await readers.close()
    await server.close()
    return found


def _resident(pid: int) -> float:
    """MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _idle(files: Files, server: Server, target: str) -> tuple[float, float]:
    """MB that idle streams cost, and milliseconds of CPU a second."""
    before = _resident(server.pid)
    readers = Readers(files, server.url, target, JSON, IDLE)
    await readers.opened()
    await asyncio.sleep(1)
    grown, started = _resident(server.pid) - before, server.cpu()
    await asyncio.sleep(10)
    busy = (server.cpu() - started) / 10 * 1e3
    await readers.close()
    return grown, busy


async def _rows() -> Sequence[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        api = Server(files, "api", ("sqlite", Path(name)))
        await api.ask(Ask("POST", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata":{"name":"default"}}'))
        for number in range(8):
            await api.ask(Ask("POST", PODS, orjson.dumps(pod(f"p-{number}"))))
        floor = await _floor(files, await api.ask(Ask("GET", f"{PODS}/p-1")))
        for how, width in PACES.items():
            for form, short in ((JSON, "json"), (PROTOBUF, "protobuf")):
                rows.append(Row(f"{short}, {how}", await _figure(api, files, form, width), floor))
        await api.close()
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        api, trivial = Server(files, "api", ("sqlite", Path(name))), Server(files, "trivial", b"x")
        target = "/api/v1/namespaces/default/configmaps?watch=1&allowWatchBookmarks=true&timeoutSeconds=600"
        figure, floors = await _idle(files, api, target), await _idle(files, trivial, "/x?idle=1")
        rows.append(Row(f"memory of {IDLE} idle watches", figure[0], floors[0], "MB"))
        rows.append(Row(f"CPU a second of {IDLE} idle watches", figure[1], floors[1], "ms"))
        await api.close()
        await trivial.close()
    return rows


def run() -> Sequence[Row]:
    """A row a form and a pace, and what watches cost that see nothing."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark("watch", "CPU an event and watcher over TLS; floor: a stream of the same frames", run)
