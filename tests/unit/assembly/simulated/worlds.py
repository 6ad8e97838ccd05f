"""An API server and simulated nodes on virtual time, without controllers and scheduler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import orjson

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import ApiError, InternalError
from pybernetes.api.objects import Key, User
from pybernetes.api.types import core_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.connect import Kubelets
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.simulated.behaviour import PREFIX
from pybernetes.assembly.simulated.description import SimulatedNode
from pybernetes.assembly.simulated.dialer import SimulatedDialer
from pybernetes.assembly.simulated.nodes import Config as SimulatedConfig
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.assembly.simulated.pod import SimulatedPod
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.rules.readiness import condition
from pybernetes.store.memory import MemoryStore
from pybernetes.wire.http import Request, Response, read_body

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
START = "2026-01-01T00:00:01Z"
"""When a test's own story begins."""


class World:
    """`refuse` says which of the nodes' requests fail; `writes` is what they wrote."""

    def __init__(self, server: ApiServer, dialer: SimulatedDialer, clock: SimulatedClock) -> None:
        self.clock = clock
        self.refuse: Callable[[Request], bool] = lambda request: False
        self.writes: list[str] = []
        self._failing: list[tuple[ApiError, Callable[[Request], bool]]] = []
        self.send = direct(server.handler, ADMIN)
        self.server = server
        self._dialer = dialer
        self.client = Client(self.send, clock=clock)
        self.nodes_client = Client(self._faulty, clock=clock)
        self._nodes: SimulatedNodes | None = None
        self._running: asyncio.Task[None] | None = None

    def fail(self, error: ApiError, once: Callable[[Request], bool]) -> None:
        """The first of these requests of the nodes is refused."""
        self._failing.append((error, once))

    async def _faulty(self, request: Request) -> Response:
        for failing in self._failing:
            if failing[1](request):
                self._failing.remove(failing)
                return Response(failing[0].code, body=orjson.dumps(failing[0].status()))
        if self.refuse(request):
            error = InternalError("refused by the test")
            return Response(error.code, body=orjson.dumps(error.status()))
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.path}")
        return await self.send(request)

    @property
    def nodes(self) -> SimulatedNodes:
        assert self._nodes is not None
        return self._nodes

    def start(self, nodes: Sequence[str | SimulatedNode], **options: Any) -> None:
        self._nodes = self._dialer.nodes = SimulatedNodes(self.nodes_client, nodes, SimulatedConfig(**options))
        self._running = asyncio.create_task(self._nodes.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def pod(
        self, name: str = "p", *, rules: dict[str, str] | None = None, image: str = "web", **spec: Any
    ) -> core_v1.Pod:
        """A Pod on node `one`, with rules of behaviour."""
        said = {f"{PREFIX}{key}": text for key, text in (rules or {}).items()}
        meta = {"name": name, "namespace": "default", "annotations": said}
        whole = {"containers": [{"name": "main", "image": image}], "nodeName": "one"} | spec
        return await self.client.of(core_v1.Pod).create(msgspec.convert({"metadata": meta, "spec": whole}, core_v1.Pod))

    async def get(self, name: str = "p") -> core_v1.Pod:
        return await self.client.of(core_v1.Pod).get(Key("default", name))

    async def names(self) -> list[str]:
        return [pod.metadata.name for pod in (await self.client.of(core_v1.Pod).list()).items]

    async def patch(self, change: dict[str, Any], name: str = "p", **how: Any) -> core_v1.Pod:
        return await self.client.of(core_v1.Pod).patch_raw(Key("default", name), change, **how)

    async def say(self, name: str = "p", **rules: str | None) -> None:
        """Annotates a Pod: say(ready="false")."""
        said = {f"{PREFIX}{key.replace('_', '-')}": text for key, text in rules.items()}
        await self.patch({"metadata": {"annotations": said}}, name)

    async def delete(self, name: str = "p", **how: Any) -> None:
        await self.client.of(core_v1.Pod).delete(Key("default", name), **how)

    async def simulated(self, name: str = "p") -> SimulatedPod:
        """As its node knows it."""
        pod = await self.get(name)
        found = self.nodes.pod(pod.spec.nodeName, pod.metadata.uid)
        assert found is not None
        return found

    async def events(self, name: str = "p") -> list[str]:
        """In the order of their making."""
        await self.clock.sleep(0)
        found = [e for e in (await self.client.of(core_v1.Event).list()).items if e.involvedObject.name == name]
        found.sort(key=lambda e: int(e.metadata.name.rpartition(".")[2], 16))
        return [f"{e.reason}: {e.message}" for e in found]

    async def raw(self, target: str) -> tuple[int, str]:
        """What the API server answers to a GET."""
        response = await self.send(Request("GET", target))
        return response.status, (await read_body(response)).decode()

    async def log(self, query: str = "", name: str = "p") -> str:
        status, text = await self.raw(f"/api/v1/namespaces/default/pods/{name}/log{query}")
        return text if status == 200 else f"{status} {orjson.loads(text)['message']}"


def main(pod: core_v1.Pod, name: str = "") -> core_v1.ContainerStatus:
    """The status of its first container, or of the one of that name."""
    every = (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    return pod.status.containerStatuses[0] if not name else next(s for s in every if s.name == name)


def state(status: core_v1.ContainerStatus) -> str:
    """`running`, `Completed 0`, `CrashLoopBackOff`."""
    if status.state.running is not None:
        return "running"
    if status.state.terminated is not None:
        return f"{status.state.terminated.reason} {status.state.terminated.exitCode}"
    return status.state.waiting.reason if status.state.waiting is not None else ""


def holds(pod: core_v1.Pod, kind: str) -> str:
    """The status of a condition and its reason."""
    found = condition(pod, kind)
    return f"{found.status} {found.reason}".strip() if found is not None else "none"


@asynccontextmanager
async def world(nodes: Sequence[str | SimulatedNode] = ("one", "two"), **options: Any) -> AsyncIterator[World]:
    clock = SimulatedClock(asyncio.get_running_loop())
    dialer = SimulatedDialer(Kubelets(None))
    server = ApiServer(Config(disable_admission=("ServiceAccount",), kubelets=dialer), MemoryStore(), clock)
    made = World(server, dialer, clock)
    serving = asyncio.create_task(server.run())
    try:
        await server.ready.wait()
        if nodes:
            made.start(nodes, **options)
        await clock.sleep(1)
        yield made
    finally:
        await made.stop()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def simulated(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Runs the test on virtual time, in a world of its own."""

    def run() -> None:
        async def within() -> None:
            async with world() as made:
                await test(made)

        run_simulated(within())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
