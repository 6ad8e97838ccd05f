"""Simulated nodes and their Pods, with an API server in the same process on virtual time: CPU and memory.

`BENCH_NODES=1000 BENCH_PODS=20000 python -m bench simulated` is the size that is written down. The floor is the same API
server with somebody who writes the same statuses, one patch a Pod, and deletes them.
"""

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection

import msgspec
import orjson

from bench import Benchmark, Row
from bench._command import memory
from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.objects import Key, User
from pybernetes.api.types import core_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.simulated.nodes import Config as SimulatedConfig
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.client.rest import STRATEGIC, Client
from pybernetes.client.transport import direct
from pybernetes.cmd._daemon import collect_rarely
from pybernetes.store.memory import MemoryStore

NODES = int(os.environ.get("BENCH_NODES", "100"))
PODS = int(os.environ.get("BENCH_PODS", "2000"))
QUIET = os.environ.get("BENCH_EVENTS", "1") == "0"
_ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
_REST = 300.0
"""Virtual seconds of rest."""
_STATUS = {
    "phase": "Running",
    "hostIP": "198.18.0.1",
    "hostIPs": [{"ip": "198.18.0.1"}],
    "podIP": "198.19.0.1",
    "podIPs": [{"ip": "198.19.0.1"}],
    "startTime": "2026-01-01T00:00:00Z",
    "conditions": [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ],
    "containerStatuses": [
        {
            "name": "main",
            "image": "registry.example.com/team/app:1.2.3",
            "imageID": "",
            "containerID": "simulated://0",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
    ],
}


class Costs(msgspec.Struct):
    """CPU seconds of each stage; megabytes."""

    registered: float = 0.0
    running: float = 0.0
    rest: float = 0.0
    gone: float = 0.0
    megabytes: float = 0.0


class _Stage:
    def __init__(self) -> None:
        self._began = time.process_time()

    def seconds(self) -> float:
        now = time.process_time()
        spent, self._began = now - self._began, now
        return spent


async def _measure(simulated: bool) -> Costs:
    collect_rarely()
    clock, costs = SimulatedClock(asyncio.get_running_loop()), Costs()
    server = ApiServer(Config(disable_admission=("ServiceAccount",)), MemoryStore(), clock)
    client = Client(direct(server.handler, _ADMIN), clock=clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(server.run())]
        await server.ready.wait()
        names = [f"node-{n}" for n in range(NODES)]
        stage = _Stage()
        if simulated:
            tasks.append(group.create_task(SimulatedNodes(client, names, SimulatedConfig(quiet=QUIET)).run()))
            await _until(clock, client, core_v1.Node, lambda nodes: len(nodes) == NODES)
            costs.registered = stage.seconds()
        await clock.sleep(30)
        gc.collect()
        alone = memory(os.getpid())
        stage.seconds()
        keys = await _create(client, names)
        if not simulated:
            await _each(keys, lambda key: _write(client, key))
        await clock.sleep(20)
        costs.running = stage.seconds()
        gc.collect()
        costs.megabytes = memory(os.getpid()) - alone
        pods = (await client.of(core_v1.Pod).list()).items
        if not all(pod.status.phase == "Running" for pod in pods):
            raise RuntimeError("not all Pods run")
        del pods
        stage.seconds()
        await clock.sleep(_REST)
        costs.rest = stage.seconds()
        await _each(keys, lambda key: client.of(core_v1.Pod).delete(key, grace=None if simulated else 0))
        await clock.sleep(30)
        costs.gone = stage.seconds()
        if (await client.of(core_v1.Pod).list()).items:
            raise RuntimeError("not all Pods are gone")
        for task in reversed(tasks):
            task.cancel()
    return costs


async def _until(
    clock: SimulatedClock, client: Client, kind: type[core_v1.Node], holds: Callable[[Sequence[core_v1.Node]], bool]
) -> None:
    while not holds((await client.of(kind).list()).items):
        await clock.sleep(1)


async def _create(client: Client, names: Sequence[str]) -> Sequence[Key]:
    keys = [Key("default", f"pod-{n}") for n in range(PODS)]
    containers = [{"name": "main", "image": "registry.example.com/team/app:1.2.3"}]
    for number, key in enumerate(keys):
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": key.name},
            "spec": {"containers": containers, "nodeName": names[number % NODES]},
        }
        await client.raw("POST", "/api/v1/namespaces/default/pods", orjson.dumps(body))
    return keys


async def _each(keys: Sequence[Key], work: Callable[[Key], Awaitable[object]]) -> None:
    for key in keys:
        await work(key)


async def _write(client: Client, key: Key) -> None:
    await client.of(core_v1.Pod).patch_raw(key, orjson.dumps({"status": _STATUS}), STRATEGIC, subresource="status")


def _send(pipe: Connection, simulated: bool) -> None:
    pipe.send(msgspec.json.encode(run_simulated(_measure(simulated))))


def _measured(simulated: bool) -> Costs:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(theirs, simulated))
    process.start()
    theirs.close()
    found = msgspec.json.decode(ours.recv(), type=Costs)
    process.join()
    return found


def run() -> Sequence[Row]:
    """CPU and memory."""
    found, floor = _measured(True), _measured(False)
    minutes = _REST / 60
    return [
        Row(f"a node registers ({NODES} nodes)", found.registered / NODES * 1e6, 0.0),
        Row(f"a Pod is made and runs ({PODS} Pods)", found.running / PODS * 1e6, floor.running / PODS * 1e6),
        Row("memory of a Pod, API server included", found.megabytes / PODS * 1024, floor.megabytes / PODS * 1024, "KB"),
        Row("a minute of rest, for one node", found.rest / NODES / minutes * 1e6, floor.rest / NODES / minutes * 1e6),
        Row("a Pod is deleted", found.gone / PODS * 1e6, floor.gone / PODS * 1e6),
    ]


BENCHMARK = Benchmark(
    "simulated", "simulated nodes (BENCH_NODES, BENCH_PODS); floor: somebody who writes the statuses himself", run
)
