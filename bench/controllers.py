"""The controllers at work: a restart of many at rest, many at once, one look at each kind, the end of a full namespace.

API server, memory store and all controllers of the default set in one process, by the clock that hangs on the wall; every
stage in a process of its own. `BENCH_DEPLOYMENTS=10000 python -m bench controllers` is the size the project aims at. The
floors: the same objects listed and decoded once; the same writes made by a plain client; what one look at the cache takes
that reads an owner and its Pods; a plain client that deletes the same collections.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import orjson
import uvloop

from bench import Benchmark, Row
from bench._command import memory
from pybernetes.aio.clock import SystemClock, rfc3339_micro
from pybernetes.api.objects import Key, Object, User
from pybernetes.api.types import apps_v1, batch_v1, coordination_v1, core_v1, policy_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.controlplane import ControlPlane, Settings
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.cmd._daemon import collect_rarely
from pybernetes.controllers._claim import INDEX
from pybernetes.controllers.runtime import Config as ControllerConfig
from pybernetes.controllers.runtime import ControllerManager, Loop
from pybernetes.rules.readiness import is_ready
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Revision, Stored
from pybernetes.wire.http import Request, Response

DEPLOYMENTS = int(os.environ.get("BENCH_DEPLOYMENTS", "1000"))
"""At rest, each of REPLICAS Pods."""
BURST = int(os.environ.get("BENCH_BURST", "1000"))
"""Deployments that are made at once."""
CONTENT = int(os.environ.get("BENCH_CONTENT", "10000"))
"""Objects in the namespace that is deleted."""
REPLICAS = 3
NEIGHBOURS = 1000
"""Pods beside those whose owners are looked at."""
NAMESPACE_OF = 100
"""Deployments in a namespace."""
CALLS = 300
"""Looks at one object; what they took together counts."""
GOAL = 200.0
"""Microseconds that one look at an unchanged object may take."""
_ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
_MANAGER = User("system:kube-controller-manager", groups=("system:authenticated",))
_TOGETHER = 50
_CLOCK = SystemClock()
_QUIET = 3.0
"""Seconds of rest in which a write would come."""
_BEAT = 5.0
_KINDS = "kinds"
"""The namespace with one object of each kind."""


class Counting:
    """A transport that counts writes."""

    def __init__(self, client: Client) -> None:
        self._send = client.transport
        self.writes: list[str] = []

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.target}")
        return await self._send(request)


class Measured(msgspec.Struct):
    """Of one stage. Seconds."""

    clock: float = 0.0
    cpu: float = 0.0
    megabytes: float = 0.0
    writes: Sequence[str] = ()
    looks: dict[str, float] = {}
    """Microseconds of one look, by controller."""


class Bench:
    """An API server on a store, and what a stage needs beside it."""

    def __init__(self, server: ApiServer, store: MemoryStore, clock: SystemClock) -> None:
        self.server, self.store, self.clock = server, store, clock
        self.client = Client(direct(server.handler, _ADMIN), clock=clock)
        self.manager_client = Client(direct(server.handler, _MANAGER), clock=clock)

    @contextlib.asynccontextmanager
    async def controllers(self) -> AsyncIterator[tuple[ControllerManager, Counting]]:
        """All of the default set."""
        wire = Counting(self.manager_client)
        config = ControllerConfig(allocate_node_cidrs=True, cluster_cidrs=("10.128.0.0/9",))
        manager = ControllerManager(Client(wire, clock=self.clock), config)
        running = asyncio.create_task(manager.run())
        try:
            yield manager, wire
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _served(items: Iterable[Stored] = (), revision: int = 0) -> AsyncIterator[Bench]:
    clock, store = SystemClock(), MemoryStore(items, Revision(revision))
    server = ApiServer(Config(disable_admission=("ServiceAccount",)), store, clock)
    running = asyncio.create_task(server.run())
    await server.ready.wait()
    try:
        yield Bench(server, store, clock)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float = 600.0) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await _CLOCK.sleep(0.05)


async def _settled(manager: ControllerManager) -> None:
    """All caches are filled, and no key waits."""
    await asyncio.sleep(0)
    await manager.informers.synced()
    calm = 0
    while calm < 3:
        await asyncio.sleep(0.05)
        calm = calm + 1 if manager.idle else 0


# --- the world at rest


def _template(app: str) -> Object:
    containers = [{"name": "main", "image": "registry.example.com/team/app:1.2.3", "ports": [{"containerPort": 80}]}]
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers}}


def _deployment(name: str, namespace: str) -> Object:
    selector = {"matchLabels": {"app": name}}
    spec = {"replicas": REPLICAS, "selector": selector, "template": _template(name)}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _one_of_each() -> Sequence[tuple[type[Any], Object]]:
    """The workloads, a Service, a budget, a quota, and a claim with its volume that a Pod has on its Node."""

    def named(name: str, **spec: object) -> Object:
        return {"metadata": {"name": name, "namespace": _KINDS}, "spec": spec}

    def several(name: str, **more: object) -> Object:
        return named(name, selector={"matchLabels": {"app": name}}, template=_template(name), **more)

    template = _template("job")
    template["spec"]["restartPolicy"] = "Never"
    job = {"parallelism": REPLICAS, "template": template}
    return (
        (apps_v1.Deployment, _deployment("deployment", _KINDS)),
        (apps_v1.ReplicaSet, several("replicaset", replicas=REPLICAS)),
        (
            core_v1.ReplicationController,
            named("rc", replicas=REPLICAS, selector={"app": "rc"}, template=_template("rc")),
        ),
        (apps_v1.StatefulSet, several("stateful", replicas=REPLICAS, serviceName="x", podManagementPolicy="Parallel")),
        (apps_v1.DaemonSet, several("daemon")),
        (batch_v1.Job, named("job", **job)),
        (batch_v1.CronJob, named("cron", schedule="0 0 1 1 *", jobTemplate={"spec": job})),
        (
            policy_v1.PodDisruptionBudget,
            named("budget", minAvailable=1, selector={"matchLabels": {"app": "replicaset"}}),
        ),
        (core_v1.Service, named("service", selector={"app": "replicaset"}, ports=[{"port": 80}])),
        (core_v1.ResourceQuota, named("quota", hard={"requests.ephemeral-storage": "10Gi"})),
        *_with_volume(named),
    )


def _with_volume(named: Callable[..., Object]) -> Sequence[tuple[type[Any], Object]]:
    """Of a driver that attaches; no attacher runs."""
    volume = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "csi.example.com", "volumeHandle": "1"},
        "storageClassName": "",
    }
    claim = named("claim", storageClassName="", volumeName="volume", accessModes=["ReadWriteOnce"])
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    pod = _template("volume")
    pod["metadata"] |= {"name": "volume", "namespace": _KINDS}
    pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "claim"}}]
    return (
        (core_v1.PersistentVolume, {"metadata": {"name": "volume"}, "spec": volume}),
        (core_v1.PersistentVolumeClaim, claim),
        (core_v1.Pod, pod),
    )


async def _model() -> Sequence[Stored]:
    """A cluster at rest: what a Deployment and one of each kind leave in the store."""
    store, clock = MemoryStore(), SystemClock()
    nodes = [f"node-{number}" for number in range(REPLICAS)]
    plane = ControlPlane(store, clock, Settings(simulated_nodes=nodes, scheduler=False))
    running = asyncio.create_task(plane.run())
    await plane.ready.wait()
    client = plane.client()
    namespaces = [_KINDS, *(f"team-{number}" for number in range(-(-DEPLOYMENTS // NAMESPACE_OF)))]
    for name in namespaces:
        await client.raw("POST", "/api/v1/namespaces", orjson.dumps({"metadata": {"name": name}}))
    await _until(_all_there(client, core_v1.ServiceAccount, len(namespaces)))
    made: list[tuple[type[Any], Object]] = [*_one_of_each(), (apps_v1.Deployment, _deployment("model", "team-0"))]
    for kind, body in made:
        (body["spec"] if kind is core_v1.Pod else body["spec"].get("template", {}).get("spec", {}))["nodeName"] = nodes[
            0
        ]
        await client.of(kind).create(msgspec.convert(body, kind))

    async def well() -> bool:
        pods = (await client.of(core_v1.Pod).list()).items
        deployments = (await client.of(apps_v1.Deployment).list()).items
        ready = sum(is_ready(pod) for pod in pods)
        return ready == len(pods) >= 6 * REPLICAS + 1 and all(
            d.status.availableReplicas == REPLICAS for d in deployments
        )

    await _until(well)
    await asyncio.sleep(_QUIET)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return (await store.range("/registry/")).items


def _all_there(client: Client, kind: type[Any], number: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return len((await client.of(kind).list()).items) >= number

    return holds


def _world(model: Sequence[Stored]) -> list[Stored]:
    """The model with as many copies of its Deployment as are asked for, and with neighbours for one of each kind."""
    family = [stored for stored in model if "/team-0/model" in stored.key]
    kept = [stored for stored in model if "/events/" not in stored.key and stored not in family]
    pod = next(stored for stored in family if "/pods/" in stored.key)
    found = list(kept)
    for number in range(DEPLOYMENTS):
        found += _copies(family, f"web-{number:05d}", f"team-{number // NAMESPACE_OF}")
    for number in range(NEIGHBOURS):
        found += _copies([pod], f"other-{number:05d}", _KINDS, alone=True)
    highest = max(stored.revision for stored in model)
    return [msgspec.structs.replace(s, revision=Revision(highest + n + 1)) for n, s in enumerate(found)]


def _copies(family: Sequence[Stored], name: str, namespace: str, *, alone: bool = False) -> list[Stored]:
    objects = [(stored, orjson.loads(stored.value)) for stored in family]
    uids = {
        obj["metadata"]["uid"]: str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}{n}")) for n, (_, obj) in enumerate(objects)
    }
    found = []
    for stored, obj in objects:
        if alone:
            obj["metadata"].pop("ownerReferences", None)
        text = orjson.dumps(obj).replace(b"model", name.encode()).replace(b"team-0", namespace.encode())
        for old, new in uids.items():
            text = text.replace(old.encode(), new.encode())
        key = stored.key.replace("team-0", namespace).replace("model", name)
        found.append(msgspec.structs.replace(stored, key=key, value=text))
    return found


async def _beats(bench: Bench) -> None:
    """The nodes stay, though nobody runs their kubelets."""
    leases = bench.client.of(coordination_v1.Lease)
    while True:
        for lease in (await leases.list("kube-node-lease")).items:
            stamp = rfc3339_micro(bench.clock.now())
            await leases.patch_raw(Key("kube-node-lease", lease.metadata.name), {"spec": {"renewTime": stamp}})
        await asyncio.sleep(_BEAT)


@contextlib.asynccontextmanager
async def _at_rest() -> AsyncIterator[Bench]:
    world = _world(await _model())
    async with _served(world, len(world) + max(stored.revision for stored in world)) as bench:
        beats = asyncio.create_task(_beats(bench))
        try:
            yield bench
        finally:
            beats.cancel()


# --- stages


async def _restart() -> Measured:
    """From the start of the controllers until nothing is left to do; then they rest, and write nothing."""
    async with _at_rest() as bench:
        gc.collect()
        before, began, clock = memory(os.getpid()), time.process_time(), time.monotonic()
        async with bench.controllers() as (manager, wire):
            await _settled(manager)
            found = Measured(clock=time.monotonic() - clock, cpu=time.process_time() - began)
            found.megabytes = memory(os.getpid()) - before
            await asyncio.sleep(_QUIET)
            found.writes = [_kind_of(write) for write in wire.writes]
    return found


async def _listed() -> Measured:
    """The same objects, listed and decoded once, and kept."""
    async with _at_rest() as bench:
        gc.collect()
        before, began, clock = memory(os.getpid()), time.process_time(), time.monotonic()
        kinds = (apps_v1.Deployment, apps_v1.ReplicaSet, core_v1.Pod)
        kept = [(await bench.client.of(kind).list()).items for kind in kinds]
        found = Measured(clock=time.monotonic() - clock, cpu=time.process_time() - began)
        found.megabytes = memory(os.getpid()) - before
        del kept
    return found


async def _looks() -> Measured:
    """One look at one object of each kind, while nothing changes."""
    async with _at_rest() as bench, bench.controllers() as (manager, wire):
        await _settled(manager)
        await asyncio.sleep(1)
        wire.writes.clear()
        found = Measured()
        gc.collect()
        gc.disable()
        for name, loop in manager.loops.items():
            keys = _keys(loop)
            if keys:
                found.looks[name] = await _look(loop, keys)
        gc.enable()
        found.writes = wire.writes
        cache = manager.informers.of(core_v1.Pod).cache
        sets = manager.informers.of(apps_v1.ReplicaSet).cache
        key = next(key for key in [*sets.keys()] if key.namespace == _KINDS)
        began = time.process_time()
        for _ in range(CALLS):
            owner = sets.get(key)
            assert owner is not None
            assert sum(is_ready(pod) for pod in cache.by(INDEX, owner.metadata.uid)) == REPLICAS
        found.cpu = (time.process_time() - began) / CALLS * 1e6
    return found


def _keys(loop: Loop) -> list[Key]:
    """Keys of the controller that concern the namespace with one of each kind, or no namespace."""
    keys: dict[Key, None] = {}
    for watch in loop.controller.watches:
        for obj in islice((o for o in loop.context.cache(watch.kind) if o.metadata.namespace in ("", _KINDS)), 100):
            keys |= dict.fromkeys(watch.keys(obj, loop.context))
    return list(keys)[:20]


async def _look(loop: Loop, keys: Sequence[Key]) -> float:
    for key in keys:
        await loop.controller.reconcile(key, loop.context)
    calls = -(-CALLS // len(keys))
    began = time.process_time()
    for _ in range(calls):
        for key in keys:
            await loop.controller.reconcile(key, loop.context)
    return (time.process_time() - began) / (calls * len(keys)) * 1e6


async def _burst(bodies: Sequence[tuple[str, bytes]], bench: Bench) -> None:
    """Writes of a plain client, so many at once."""
    waiting = iter(bodies)

    async def writer() -> None:
        for path, body in waiting:
            await bench.client.raw("POST", path, body)

    await asyncio.gather(*(writer() for _ in range(_TOGETHER)))


async def _at_once() -> Measured:
    """BURST Deployments are made; until all their Pods are there."""
    made = [orjson.dumps(_deployment(f"web-{number:05d}", "default")) for number in range(BURST)]
    async with _served() as bench, bench.controllers() as (manager, wire):
        await _until(_all_there(bench.client, core_v1.ServiceAccount, 4))
        await _settled(manager)
        wire.writes.clear()
        began, clock = time.process_time(), time.monotonic()
        await _burst([("/apis/apps/v1/namespaces/default/deployments", body) for body in made], bench)
        pods = manager.informers.of(core_v1.Pod).cache
        while len(pods) < BURST * REPLICAS:
            await _CLOCK.sleep(0.01)
        found = Measured(clock=time.monotonic() - clock, cpu=time.process_time() - began)
        found.writes = [_kind_of(request) for request in wire.writes]
        assert len(pods) == BURST * REPLICAS
    return found


def _kind_of(write: str) -> str:
    """`PATCH deployments status`."""
    method, _, target = write.partition(" ")
    parts = target.partition("?")[0].split("/namespaces/")[-1].split("/")
    return " ".join([method, *parts[1:2], *parts[3:4]])


async def _plain_writes() -> Measured:
    """A client makes as many Deployments, ReplicaSets and Pods."""
    async with _served() as bench:
        await bench.client.raw("POST", "/api/v1/namespaces", orjson.dumps({"metadata": {"name": "plain"}}))
        bodies = []
        for number in range(BURST):
            whole = _deployment(f"web-{number:05d}", "plain")
            bodies += [
                (f"/apis/apps/v1/namespaces/plain/{plural}", orjson.dumps(whole))
                for plural in ("deployments", "replicasets")
            ]
            for pod in range(REPLICAS):
                template = whole["spec"]["template"]
                meta = {**template["metadata"], "name": f"web-{number:05d}-{pod}"}
                bodies.append(("/api/v1/namespaces/plain/pods", orjson.dumps({**template, "metadata": meta})))
        began, clock = time.process_time(), time.monotonic()
        await _burst(bodies, bench)
        return Measured(clock=time.monotonic() - clock, cpu=time.process_time() - began)


async def _filled(bench: Bench) -> None:
    await bench.client.raw("POST", "/api/v1/namespaces", orjson.dumps({"metadata": {"name": "full"}}))
    pod = _template("x")["spec"]
    bodies = []
    for number in range(CONTENT):
        plural = ("configmaps", "secrets", "configmaps", "pods", "configmaps")[number % 5]
        body: Object = {"metadata": {"name": f"one-{number:05d}"}}
        if plural == "pods":
            body["spec"] = pod
        bodies.append((f"/api/v1/namespaces/full/{plural}", orjson.dumps(body)))
    await _burst(bodies, bench)


async def _end() -> Measured:
    """A namespace with CONTENT objects is deleted; until it is gone."""
    async with _served() as bench, bench.controllers() as (manager, _):
        await _filled(bench)
        await _settled(manager)
        began, clock = time.process_time(), time.monotonic()
        await bench.client.of(core_v1.Namespace).delete("full")
        namespaces = manager.informers.of(core_v1.Namespace).cache
        while namespaces.get(Key("", "full")) is not None:
            await _CLOCK.sleep(0.01)
        return Measured(clock=time.monotonic() - clock, cpu=time.process_time() - began)


async def _plain_end() -> Measured:
    """A client deletes the three collections."""
    async with _served() as bench:
        await _filled(bench)
        began, clock = time.process_time(), time.monotonic()
        for kind in (core_v1.Pod, core_v1.ConfigMap, core_v1.Secret):
            await bench.client.of(kind).delete_collection("full")
        return Measured(clock=time.monotonic() - clock, cpu=time.process_time() - began)


_STAGES: dict[str, Callable[[], Awaitable[Measured]]] = {
    stage.__name__: stage for stage in (_restart, _listed, _looks, _at_once, _plain_writes, _end, _plain_end)
}


def _send(pipe: Connection, stage: str) -> None:
    async def main() -> Measured:
        collect_rarely()
        return await _STAGES[stage]()

    pipe.send(msgspec.json.encode(uvloop.run(main())))


def _measured(stage: Callable[[], Awaitable[Measured]]) -> Measured:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_send, args=(theirs, stage.__name__))
    process.start()
    theirs.close()
    found = msgspec.json.decode(ours.recv(), type=Measured)
    process.join()
    return found


def _told(writes: Sequence[str]) -> str:
    counts: dict[str, int] = {}
    for write in writes:
        counts[write] = counts.get(write, 0) + 1
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:6]
    return f"{len(writes)} writes" + "".join(f"; {count} {what}" for what, count in most)


def _a_write(found: Measured, more: int) -> float:
    """Microseconds; `more` writes are the client's."""
    return found.cpu / (len(found.writes) + more) * 1e6


def run() -> Sequence[Row]:
    """Rows of all stages; what is no ratio is printed beside them."""
    again, listed = _measured(_restart), _measured(_listed)
    print(f"  restart with {DEPLOYMENTS:,} Deployments: {_told(again.writes)}")
    looks = _measured(_looks)
    print(f"  one look at each kind, over {GOAL:.0f} µs: {[n for n, t in looks.looks.items() if t > GOAL] or 'none'};"
          f" {_told(looks.writes)}")  # fmt: skip
    many, plain = _measured(_at_once), _measured(_plain_writes)
    print(f"  {BURST:,} Deployments at once, until their Pods are there: {_told(many.writes)}")
    end, plain_end = _measured(_end), _measured(_plain_end)
    return [
        Row("restart at rest, by the clock", again.clock, listed.clock, "s"),
        Row("restart at rest, CPU", again.cpu, listed.cpu, "s"),
        Row("restart at rest, memory", again.megabytes, listed.megabytes, "MB"),
        *(Row(f"one look, {name}", cost, looks.cpu) for name, cost in sorted(looks.looks.items())),
        Row("Deployments at once, by the clock", many.clock, plain.clock, "s"),
        Row("Deployments at once, CPU", many.cpu, plain.cpu, "s"),
        Row("CPU of one of their writes", *(_a_write(many, BURST), _a_write(plain, BURST * (2 + REPLICAS)))),
        Row(f"a namespace of {CONTENT:,} objects ends, by the clock", end.clock, plain_end.clock, "s"),
        Row(f"a namespace of {CONTENT:,} objects ends, CPU", end.cpu, plain_end.cpu, "s"),
    ]


BENCHMARK = Benchmark(
    "controllers",
    "the controllers (BENCH_DEPLOYMENTS, BENCH_BURST, BENCH_CONTENT); floors: the same lists, writes and deletions alone",
    run,
)
