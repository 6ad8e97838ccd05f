"""What an event of a watch costs the API server: CPU an event and watcher, events one by one and eight at a time.

The figure is what the same writes cost more when they are watched; the floor is a handler that streams frames of the
same size on the same HTTP server, a write each.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvloop

from bench import Benchmark, Row
from bench.apiserver import JSON, MERGE, PODS, PROTOBUF, Ask, Files, Server, pod
from pybernetes.wire.http import Headers, Request, Response

WATCHERS = 50
EVENTS = 200


async def _open(server: Server, target: str, accept: str) -> Response:
    response = await server.client(Request("GET", target, Headers([("accept", accept)])))
    if response.status != 200 or isinstance(response.body, bytes):
        raise RuntimeError(f"{target}: {response.status}")
    return response


async def _read(response: Response, seen: list[int]) -> None:
    assert not isinstance(response.body, bytes)
    async for chunk in response.body:
        seen[0] += len(chunk)


async def _quiet(seen: list[int]) -> None:
    """Until nothing comes any more."""
    before = -1
    while before != seen[0]:
        before = seen[0]
        await asyncio.sleep(0.1)


async def _writes(server: Server, width: int) -> float:
    """CPU microseconds of all writes, with what they make the server do afterwards."""
    asks = [
        Ask("PATCH", f"{PODS}/p-{n % 8}", orjson.dumps({"metadata": {"annotations": {"n": str(n)}}}), MERGE)
        for n in range(EVENTS)
    ]
    started = server.cpu()
    for at in range(0, EVENTS, width):
        await asyncio.gather(*(server.ask(ask) for ask in asks[at : at + width]))
    return (server.cpu() - started) * 1e6


async def _figure(server: Server, accept: str, width: int, alone: float) -> float:
    # Streams are read here as well, so connections are apart from those of the writes.
    seen = [0]
    responses = [await _open(server, f"{PODS}?watch=1&timeoutSeconds=600", accept) for _ in range(WATCHERS)]
    tasks = [asyncio.create_task(_read(response, seen)) for response in responses]
    await _quiet(seen)
    started = server.cpu()
    await _writes(server, width)
    await _quiet(seen)
    watched = (server.cpu() - started) * 1e6
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for response in responses:
        await response.body.aclose()  # type: ignore[union-attr]
    await asyncio.sleep(0.2)
    return (watched - alone) / (EVENTS * WATCHERS)


async def _floor(files: Files, frame: bytes) -> float:
    server = Server(files, "trivial", frame)
    started = server.cpu()
    seen = [0]
    responses = [await _open(server, f"/x?chunks={EVENTS}", JSON) for _ in range(WATCHERS)]
    await asyncio.gather(*(_read(response, seen) for response in responses))
    found = (server.cpu() - started) * 1e6 / (EVENTS * WATCHERS)
    await server.close()
    return found


async def _rows() -> Sequence[Row]:
    with tempfile.TemporaryDirectory() as name:
        files = Files(Path(name))
        api = Server(files, "api", ("sqlite", Path(name)))
        await api.ask(Ask("POST", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata":{"name":"default"}}'))
        for number in range(8):
            await api.ask(Ask("POST", PODS, orjson.dumps(pod(f"p-{number}"))))
        found = {}
        for width, how in ((1, "one by one"), (8, "eight at a time")):
            await _writes(api, width)
            alone = await _writes(api, width)
            for form, short in ((JSON, "json"), (PROTOBUF, "protobuf")):
                found[f"{short}, {how}"] = await _figure(api, form, width, alone)
        frame = await api.ask(Ask("GET", f"{PODS}/p-1"))
        await api.close()
        floor = await _floor(files, frame)
    return [Row(what, figure, floor) for what, figure in found.items()]


def run() -> Sequence[Row]:
    """A row a form and a pace."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark("watch", "CPU an event and watcher over TLS; floor: a stream of the same frames", run)
