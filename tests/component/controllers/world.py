"""A cluster on virtual time whose controllers are the test's: with flags of its own, a transport that refuses on demand, loops
whose errors are counted, and nodes that stop and start.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace as changed
from functools import cache
from typing import Any, TypeVar

import msgspec
import orjson
from msgspec import Struct

from pybernetes.aio.simulation import run_simulated
from pybernetes.api.errors import ApiError, Conflict, Forbidden, NotFound
from pybernetes.api.objects import Key, User
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.apiserver.config import Config as ApiConfig
from pybernetes.assembly.simulated.nodes import Config as SimulatedConfig
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.client.rest import Client
from pybernetes.controllers.runtime import Config, ControllerManager, chosen
from pybernetes.testing import Cluster
from pybernetes.wire.http import Request, Response, Transport
from pybernetes.wire.pki.certificates import Authority, new_authority

T = TypeVar("T", bound=Struct)

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
MANAGER = User("system:kube-controller-manager", groups=("system:authenticated",))
ALL = ("*", "bootstrapsigner", "tokencleaner")


def account_user(name: str) -> User:
    """Who a token of a controller's ServiceAccount is."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return User(f"system:serviceaccount:kube-system:{name}", groups=groups)


@cache
def authority() -> Authority:
    """Dates of certificates are real: OpenSSL knows no virtual time. 2026-01-01 is long past its backdating."""
    return new_authority("kubernetes", 1_767_225_600.0)


class Wire:
    """The controllers' transport: keeps what they wrote, and refuses what a test wants refused."""

    def __init__(self, cluster: Cluster) -> None:
        self._send = cluster.client(MANAGER).transport
        self.writes: list[str] = []
        self.refuse: Callable[[Request], ApiError | None] = lambda request: None
        self.serve: Callable[[Request], Awaitable[Response | None]] | None = None
        """Answers in the place of the API server what it knows, as one behind an APIService would."""

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.target}")
        error = self.refuse(request)
        if error is not None:
            return Response(error.code, body=orjson.dumps(error.status()))
        served = await self.serve(request) if self.serve is not None else None
        return served or await self._send(request)


class Mortal:
    """The transport of a controller that hears nothing more after its write of that number."""

    def __init__(self, w: "World", last: int) -> None:
        self._send = w.as_user(MANAGER).transport
        self._last = last
        self.writes = self.pods = 0
        self.dead = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        if self.dead.is_set():
            await asyncio.Future()
        if request.method == "GET" or "/events" in request.target:
            return await self._send(request)
        self.writes += 1
        self.pods += request.method == "POST"
        last = self.writes == self._last
        response = await self._send(request)
        if last:
            self.dead.set()
            await asyncio.Future()
        return response


class World:
    """Short words for what tests do."""

    def __init__(self, cluster: Cluster, manager: ControllerManager, wire: Wire) -> None:
        self.as_user = cluster.client
        self.audit = cluster.audit
        self.store = cluster.running.plane.api.storage.store
        self.clock = cluster.clock
        self.manager = manager
        self.wire = wire
        self.client = self.as_user(ADMIN)
        self.expected_errors: list[str] = []
        self._running: dict[str, asyncio.Task[None]] = {}

    async def create(self, kind: type[T], name: str, namespace: str = "default", **body: Any) -> T:
        meta = {"name": name, "namespace": namespace, **body.pop("metadata", {})}
        if kind in (core_v1.Namespace, core_v1.Node):
            del meta["namespace"]
        return await self.client.of(kind).create(msgspec.convert({"metadata": meta, **body}, kind))

    async def get(self, kind: type[T], name: str, namespace: str = "default") -> T:
        return await self.client.of(kind).get(Key(namespace, name))

    async def there(self, kind: type[Struct], name: str, namespace: str = "default") -> bool:
        try:
            await self.get(kind, name, namespace)
        except NotFound:
            return False
        return True

    async def patch(self, kind: type[T], name: str, body: dict[str, Any], namespace: str = "default") -> T:
        return await self.client.of(kind).patch_raw(Key(namespace, name), body)

    async def delete(self, kind: type[Struct], name: str, namespace: str = "default", **how: Any) -> None:
        await self.client.of(kind).delete(Key(namespace, name), **how)

    async def all(self, kind: type[T], namespace: str | None = "default", labels: str = "") -> tuple[T, ...]:
        return (await self.client.of(kind).list(namespace, labels=labels)).items

    async def pods(self, labels: str = "") -> list[core_v1.Pod]:
        """Pods that are not being deleted."""
        return [p for p in await self.all(core_v1.Pod, labels=labels) if not p.metadata.deletionTimestamp]

    async def events(self, name: str, namespace: str = "default") -> list[str]:
        await self.clock.sleep(1)
        found = await self.all(core_v1.Event, namespace)
        return [f"{e.reason}: {e.message}" for e in found if e.involvedObject.name == name]

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
        """Waits in virtual time."""
        end = self.clock.monotonic() + seconds
        while not await holds():
            assert self.clock.monotonic() < end, f"not within {seconds} s"
            await self.clock.sleep(0.1)

    async def gone(self, kind: type[Struct], name: str, namespace: str = "default", seconds: float = 60) -> None:
        """Waits until there is no such object."""

        async def holds() -> bool:
            return not await self.there(kind, name, namespace)

        await self.until(holds, seconds)

    def node_up(self, name: str, first: str) -> None:
        nodes = SimulatedNodes(self.as_user(ADMIN), [name], SimulatedConfig(first_address=first))
        self._running[name] = asyncio.create_task(nodes.run())

    async def node_down(self, name: str) -> None:
        task = self._running.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        for name in list(self._running):
            await self.node_down(name)


@asynccontextmanager
async def world(
    nodes: int = 2,
    config: Config | None = None,
    only: tuple[str, ...] = ALL,
    *,
    accounts: bool = False,
    api: ApiConfig | None = None,
) -> AsyncIterator[World]:
    """`accounts`: each controller writes as its own ServiceAccount. `api`: of the API server."""
    found = changed(
        config or Config(),
        allocate_node_cidrs=True,
        cluster_cidrs=("10.244.0.0/16",),
        signing_authority=lambda signer: authority(),
        root_ca=authority().pem,
    )
    async with Cluster(nodes=0, controllers=(), seed=1, api=api) as cluster:
        wire = Wire(cluster)
        as_account = (lambda account: cluster.client(account_user(account))) if accounts else None
        manager = ControllerManager(Client(wire, clock=cluster.clock), found, chosen(only), as_account=as_account)
        running = asyncio.create_task(manager.run())
        made = World(cluster, manager, wire)
        for number in range(1, nodes + 1):
            made.node_up(f"node-{number}", f"198.18.{number}.1")
        try:
            await made.until(lambda: made.there(core_v1.ServiceAccount, "default"))
            yield made
            assert not running.done()
            assert [f"{n}: {loop.counters.errors - loop.counters.races}" for n, loop in manager.loops.items()
                    if loop.counters.errors > loop.counters.races] == made.expected_errors  # fmt: skip
        finally:
            await made.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def controllers(
    w: World, names: str, wire: Transport | None = None, config: Config | None = None
) -> asyncio.Task[None]:
    """Controllers beside those of the world, for tests that end them. Cancel it."""
    client = Client(wire or w.as_user(MANAGER).transport, clock=w.clock)
    return asyncio.create_task(ControllerManager(client, config, chosen(names.split())).run())


def no_pods(request: Request) -> ApiError | None:
    """For Wire.refuse: Pods cannot be made."""
    making = request.method == "POST" and request.path.endswith("/pods")
    return Forbidden('pods "x" is forbidden: exceeded quota') if making else None


def every_second(controller: str) -> Callable[[Request], ApiError | None]:
    """For Wire.refuse: every second write of a controller, but for events, meets a Conflict."""
    turns = 0

    def refuse(request: Request) -> ApiError | None:
        nonlocal turns
        if controller not in request.headers.get("user-agent") or "/events" in request.path or request.method == "GET":
            return None
        turns += 1
        return Conflict("race") if turns % 2 else None

    return refuse


def simulated(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Runs an async test on virtual time."""

    def run() -> None:
        async def main() -> None:
            await test()

        run_simulated(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def template(**labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "one"}]}}


async def deployment(w: World, name: str = "web", replicas: int = 3, **spec: Any) -> apps_v1.Deployment:
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(app=name), **spec}
    return await w.create(apps_v1.Deployment, name, spec=body)
