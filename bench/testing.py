"""A whole cluster inside a test, pybernetes.testing: import, first start, further starts and ends, and what many leave.

CPU time. The floor is the least that is still a server of its own: an HttpServer with TLS on a free port of the loopback,
with certificates made for it, and a memory store; no API server, no controllers, no scheduler, no nodes. Each mode is
measured in a new process, and so are `BENCH_CLUSTERS` clusters (300), one after another.
"""

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection

import msgspec

from bench import Benchmark, Row
from bench._command import environment, memory
from bench._tls_server import tls_server
from pybernetes.aio.simulation import run_simulated
from pybernetes.testing import Cluster, SyncCluster

CLUSTERS = int(os.environ.get("BENCH_CLUSTERS", "300"))
_LOOKS = (1, 10, 50, 100, 200, 300)
"""After so many clusters their process is looked at."""
_FLAT = 0.1
"""Growth of a process by less of itself is the heap's, not that of clusters which stay: two hundred would be 800 MB."""
_WARM, _ROUNDS = 5, 25
_FIRST = """
import asyncio, time
zero, clock = time.process_time(), time.perf_counter()
{imports}
imported, seen = time.process_time(), time.perf_counter()
async def main():
    async with {name}():
        print(imported - zero, time.process_time() - imported, seen - clock, time.perf_counter() - seen)
asyncio.run(main())
"""


class Costs(msgspec.Struct):
    """Milliseconds of CPU, each of one cluster; how the process looks after some of them."""

    start: float
    end: float
    looks: Sequence["Left"] = ()


class Left(msgspec.Struct):
    """A process after so many clusters."""

    clusters: int
    megabytes: float
    blocks: int
    """Of memory, as Python counts them; a cluster is some forty thousand."""
    files: int
    tasks: int
    threads: int


class First(msgspec.Struct):
    """The first of a new process, in milliseconds."""

    imported: float
    started: float
    imported_clock: float
    started_clock: float


_Made = Callable[[], AbstractAsyncContextManager[object]]


@asynccontextmanager
async def _served() -> AsyncIterator[None]:
    async with Cluster() as cluster:
        cluster.kubeconfig()
        yield


@asynccontextmanager
async def _blocking() -> AsyncIterator[None]:
    with SyncCluster():
        yield


async def _one_by_one(made: _Made, rounds: int, warm: int = 0) -> Costs:
    costs = Costs(0.0, 0.0)
    for number in range(1, warm + rounds + 1):
        began = time.process_time()
        async with made():
            running = time.process_time()
        if number > warm:
            costs.start += (running - began) / rounds * 1000
            costs.end += (time.process_time() - running) / rounds * 1000
        if not warm and (number in _LOOKS or number == rounds):
            gc.collect()
            files, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
            memories = memory(os.getpid()), sys.getallocatedblocks()
            look = Left(number, *memories, files, tasks, threading.active_count())
            costs.looks = (*costs.looks, look)
    return costs


_MADE: dict[str, _Made] = {
    "floor": tls_server,
    "real time": Cluster,
    "simulated time": Cluster,
    "time by hand": lambda: Cluster(time="manual"),
    "SyncCluster": _blocking,
    "real time, kubeconfig asked for": _served,
    "no nodes, controllers, scheduler": lambda: Cluster(nodes=0, controllers=(), scheduler=False),
}


def _send(pipe: Connection, mode: str, rounds: int, warm: int) -> None:
    work = _one_by_one(_MADE[mode], rounds, warm)
    pipe.send(msgspec.json.encode(run_simulated(work) if mode == "simulated time" else asyncio.run(work)))


def _measured(mode: str, rounds: int, warm: int = 0) -> Costs:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(theirs, mode, rounds, warm))
    process.start()
    theirs.close()
    found = msgspec.json.decode(ours.recv(), type=Costs)
    process.join()
    return found


def _first(imports: str, name: str) -> First:
    script = _FIRST.format(imports=imports, name=name)
    found = list[First]()
    for _ in range(4):  # the first compiles the modules
        answer = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, env=environment())
        found.append(First(*(float(word) * 1000 for word in answer.stdout.split())))
    return min(found, key=lambda one: one.imported + one.started)


def _rows_of_the_first() -> Sequence[Row]:
    ours = _first("from pybernetes.testing import Cluster", "Cluster")
    least = _first("from bench._tls_server import tls_server", "tls_server")
    return [
        Row("import", ours.imported, least.imported, "ms"),
        Row("import and the first start", ours.imported + ours.started, least.imported + least.started, "ms"),
        Row(
            "import and the first start, by the clock",
            ours.imported_clock + ours.started_clock,
            least.imported_clock + least.started_clock,
            "ms",
        ),
    ]


def _curve(mode: str) -> Sequence[Row]:
    many, least = _measured(mode, CLUSTERS).looks, _measured("floor", CLUSTERS).looks
    rows = [
        Row(f"{mode}: memory after {look.clusters} clusters", look.megabytes, low.megabytes, "MB")
        for look, low in zip(many, least, strict=True)
    ]
    end = many[-1]
    middle = next((look for look in many if look.clusters == 100), many[0])
    more = end.megabytes - middle.megabytes
    blocks = (end.blocks - middle.blocks) / max(1, end.clusters - middle.clusters)
    print(
        f"  {mode}: {more:+.1f} MB from {middle.clusters} to {end.clusters} clusters"
        f" ({'flat' if more < _FLAT * middle.megabytes else 'not flat'}), {blocks:+.0f} blocks a cluster;"
        f" open files {middle.files} and {end.files}, tasks {middle.tasks} and {end.tasks},"
        f" threads {middle.threads} and {end.threads}"
    )
    return rows


def run() -> Sequence[Row]:
    """CPU and memory."""
    rows = list(_rows_of_the_first())
    least = _measured("floor", _ROUNDS, _WARM)
    for mode in _MADE:
        if mode != "floor":
            found = _measured(mode, _ROUNDS, _WARM)
            rows.append(Row(f"a further one starts, {mode}", found.start, least.start, "ms"))
            rows.append(Row(f"and ends, {mode}", found.end, least.end, "ms"))
    return [*rows, *_curve("real time"), *_curve("SyncCluster")]


BENCHMARK = Benchmark(
    "testing",
    "a cluster inside a test (BENCH_CLUSTERS); floor: a server with TLS and a memory store, nothing else",
    run,
)
