"""Many Pods: how much memory the API server takes for each, how soon it is ready again, how long the collector stops it.

`BENCH_PODS=150000 python -m bench scale` is the size the project aims at; some thousand are enough to see what one costs.
The floors: the bytes of the Pods; the same rows read by SQLite and decoded once; nothing, for the collector.
"""

import asyncio
import gc
import multiprocessing
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench import Benchmark, Row
from bench._command import api_server, memory
from pybernetes.aio.clock import SystemClock
from pybernetes.api.objects import User
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.transport import direct
from pybernetes.cmd._daemon import collect_rarely
from pybernetes.store import factory
from pybernetes.store.protocol import Store
from pybernetes.wire.http import Headers, Request, read_body

PODS = int(os.environ.get("BENCH_PODS", "5000"))
NAMESPACES, NODES, REPLICAS, SETTINGS = 200, 1000, 10, 20
_TOGETHER = 2000


async def _stored_form(store: Store) -> bytes:
    """What the API server makes of a Pod of 6 KB."""
    server = ApiServer(Config(), store, SystemClock())
    handler = direct(server.handler, User("admin", groups=("system:masters", "system:authenticated")))
    env = [{"name": f"SETTING_{n}", "value": "some value that says something " * 3} for n in range(SETTINGS)]
    containers = [{"name": "main", "image": "registry.example.com/team/app:1.2.3", "env": env}]
    pod = {"metadata": {"name": "model", "labels": {"app": "", "tier": "backend"}}, "spec": {"containers": containers}}
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        for plural, obj in (("serviceaccounts", {"metadata": {"name": "default"}}), ("pods", pod)):
            headers = Headers([("content-type", "application/json")])
            target = f"/api/v1/namespaces/default/{plural}"
            response = await handler(Request("POST", target, headers, orjson.dumps(obj)))
            answer = await read_body(response)
            if response.status != 201:
                raise RuntimeError(f"{target}: {response.status} {answer!r}")
        running.cancel()
    stored = await store.get("/registry/pods/default/model")
    assert stored is not None
    return stored.value


def _pod(model: bytes, number: int) -> tuple[str, bytes]:
    app = f"app-{number // REPLICAS:05d}"
    namespace, name = f"team-{number // REPLICAS % NAMESPACES}", f"{app}-{number % REPLICAS}"
    pod = orjson.loads(model)
    labels = {"app": app, "tier": "backend", "pod-template-hash": f"{number // REPLICAS:010x}"}
    pod["metadata"].update(name=name, namespace=namespace, uid=str(uuid.UUID(int=number)), labels=labels)
    pod["spec"]["nodeName"] = f"node-{number % NODES}"
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    pod["status"] = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    return f"/registry/pods/{namespace}/{name}", orjson.dumps(pod)


async def _fill(path: Path) -> int:
    """Bytes of the Pods."""
    store = await factory("sqlite").open(str(path))
    model, size = await _stored_form(store), 0
    for start in range(0, PODS, _TOGETHER):
        made = [_pod(model, number) for number in range(start, min(PODS, start + _TOGETHER))]
        size += sum(len(value) for _, value in made)
        await asyncio.gather(*(store.create(key, value) for key, value in made))
    await store.close()
    return size


def _read(path: Path) -> float:
    """CPU seconds in which the rows are read and decoded once, and no more."""
    began = time.process_time()
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT h.value FROM live l JOIN history h USING (revision) ORDER BY l.key")
    for (value,) in rows:
        orjson.loads(value)
    connection.close()
    return time.process_time() - began


async def _paused(path: Path) -> tuple[float, float]:
    """The longest pause of the collector while the server loads, and that of a whole collection afterwards; seconds."""
    pauses, began = [0.0], 0.0

    def note(phase: str, _: dict[str, Any]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            pauses.append(time.perf_counter() - began)

    collect_rarely()
    gc.callbacks.append(note)
    store = await factory("sqlite").open(str(path))
    server = ApiServer(Config(), store, SystemClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        await server.ready.wait()
        loading = max(pauses)
        gc.unfreeze()
        gc.collect()
        pauses.clear()
        gc.collect()
        running.cancel()
    await store.close()
    return loading, pauses[-1]


def _pauses(pipe: Connection, path: Path) -> None:
    pipe.send(uvloop.run(_paused(path)))


def _measured_pauses(path: Path) -> tuple[float, float]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_pauses, args=(theirs, path))
    process.start()
    found: tuple[float, float] = ours.recv()
    process.join()
    return found


async def _rows(folder: Path) -> Sequence[Row]:
    async with api_server(folder):
        pass  # modules are compiled
    async with api_server(folder) as empty:
        alone, base = memory(empty.pid), empty.cpu_seconds
    size = await _fill(folder / "store.db")
    floor = _read(folder / "store.db")
    async with api_server(folder) as server:
        resident, used, waited = memory(server.pid), server.cpu_seconds, server.seconds
        await server.get("/api/v1/pods?limit=500")
    loading, whole = _measured_pauses(folder / "store.db")
    megabytes = size / 2**20
    return [
        Row(f"memory with {PODS} Pods / their bytes", resident, megabytes, "MB"),
        Row("memory for one Pod / its bytes", (resident - alone) * 2**20 / PODS, size / PODS, "B"),
        Row("ready again, CPU / rows read and decoded once", used, floor, "s"),
        Row("ready again, CPU for one Pod", (used - base) / PODS * 1e6, floor / PODS * 1e6),
        Row("ready again, by the clock", waited, floor, "s"),
        Row("longest pause of the collector while it loads", loading * 1000, 0.0, "ms"),
        Row("a collection of everything, nothing frozen", whole * 1000, 0.0, "ms"),
    ]


def run() -> Sequence[Row]:
    """Memory, start, and pauses."""
    with tempfile.TemporaryDirectory() as name:
        return uvloop.run(_rows(Path(name)))


BENCHMARK = Benchmark("scale", "many Pods (BENCH_PODS); floors: their bytes, and reading and decoding them once", run)
