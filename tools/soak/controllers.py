"""Soak of the controllers: worlds on virtual time where users act at random while parts restart and requests fail.

`python -m tools.soak.controllers --rounds N [--seed S]`. Each round is one world, made by its seed alone: an API
server, all controllers, the scheduler and simulated nodes. In the end trouble stops, and the world must be what its
objects say: as many Pods as wanted, none without an owner, endpoints that equal the ready Pods, no fault logged. Every
world runs twice and must make the same history.
"""

import asyncio
import hashlib
import logging
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import orjson

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import ApiError, Conflict, InternalError, TooManyRequests
from pybernetes.api.objects import Key, User
from pybernetes.api.types import apps_v1, core_v1, discovery_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.simulated.nodes import Config as SimulatedConfig
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.client.rest import Client, key_of
from pybernetes.controllers.runtime import Config as ControllerConfig
from pybernetes.controllers.runtime import ControllerManager
from pybernetes.scheduler.loop import Scheduler
from pybernetes.store.memory import MemoryStore
from pybernetes.store.protocol import Revision
from pybernetes.wire.http import Peer, Request, Response
from tools.soak._rounds import arguments, run_rounds, with_fixed_hashes

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
CONTROLLERS = User("system:kube-controller-manager", groups=("system:authenticated",))
SCHEDULER = User("system:kube-scheduler", groups=("system:authenticated",))
STEPS = 40
NODES = ("n0", "n1", "n2")
APPS = ("a0", "a1", "a2", "a3", "r0", "r1")
SERVICES = ("s0", "s1", "s2")
SETTLE = 1500.0
"""Virtual seconds without trouble: longer than evictions, back-offs and watches take."""


class Faults(logging.Handler):
    """Keeps what a Guard caught that is no refusal and no lost connection: a fault of the project's own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, ApiError | OSError):
            self.found.append(f"{record.getMessage()}: {type(error).__name__}: {error}")


class Wire:
    """Transport of one user. While there is trouble, requests are refused, lost, or their answers are."""

    def __init__(self, world: "World", user: User, *, honest: bool = False) -> None:
        self._world = world
        self._user = user
        self._rng = random.Random(world.rng.random())
        self._honest = honest

    async def __call__(self, request: Request) -> Response:
        trouble = 0.0 if self._honest else self._world.trouble
        chance = self._rng.random()
        if chance < trouble:
            refusal = self._refusal(request.method)
            if refusal is None:
                raise ConnectionResetError("the request was lost")
            return Response(refusal.code, body=orjson.dumps(refusal.status()))
        response = await self._world.send(request, self._user)
        if chance < trouble * 1.5:
            if not isinstance(response.body, bytes):
                response.body = self._cut(response.body)
            else:
                raise ConnectionResetError("the answer was lost")
        return response

    def _refusal(self, method: str) -> ApiError | None:
        kinds: list[ApiError | None] = [None, InternalError("by chance"), TooManyRequests("by chance")]
        if method in ("PUT", "PATCH"):
            kinds.append(Conflict("by chance"))
        return self._rng.choice(kinds)

    async def _cut(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A watch that breaks in the middle of a line."""
        left = self._rng.randrange(6)
        try:
            async for chunk in body:
                if not left:
                    yield chunk[: len(chunk) // 2]
                    raise ConnectionResetError("the watch was cut")
                left -= 1
                yield chunk
        finally:
            await body.aclose()  # type: ignore[attr-defined]  # bodies of watches are generators


class World:
    """One world, wholly made by its seed."""

    def __init__(self, seed: int, clock: SimulatedClock) -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.store = MemoryStore()
        self.trouble = 0.0
        self.log: list[str] = []
        self.client = Client(Wire(self, ADMIN, honest=True), clock=clock)
        self._server: ApiServer | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # -- parts ------------------------------------------------------------------------------------------------------

    async def send(self, request: Request, user: User) -> Response:
        """To the API server, if there is one."""
        if self._server is None:
            raise ConnectionRefusedError("the API server is away")
        return await self._server.handler(arriving(request, user))

    async def server_up(self) -> None:
        """A new API server on the same store."""
        server = ApiServer(Config(), self.store, self.clock)
        self._tasks["server"] = asyncio.create_task(server.run())
        await server.ready.wait()
        self._server = server

    async def server_down(self) -> None:
        """As by kill -9: whoever waits for an answer gets none."""
        self._server = None
        await self.end("server")

    def start(self, name: str) -> None:
        """Starts a part: `controllers`, `scheduler` or a node."""
        if name == "controllers":
            config = ControllerConfig(allocate_node_cidrs=True, cluster_cidrs=("10.244.0.0/16",))
            run = ControllerManager(Client(Wire(self, CONTROLLERS), clock=self.clock), config).run()
        elif name == "scheduler":
            run = Scheduler(Client(Wire(self, SCHEDULER), clock=self.clock), self.clock).run()
        else:
            played = SimulatedConfig(first_address=f"198.18.{NODES.index(name)}.1")
            run = SimulatedNodes(Client(Wire(self, ADMIN), clock=self.clock), [name], played).run()
        self._tasks[name] = asyncio.create_task(run, name=name)

    async def end(self, name: str) -> None:
        """Ends a part."""
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])

    def running(self, name: str) -> bool:
        """Whether a part is there."""
        return name in self._tasks

    def check_alive(self) -> None:
        """A part that ended by itself has failed."""
        for name, task in self._tasks.items():
            assert not task.done(), f"{name} ended: {task.exception()!r}"

    async def close(self) -> None:
        """Ends all."""
        for name in [*reversed(self._tasks)]:
            await self.end(name)
        await self.store.close()

    # -- one life ---------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Random actions, then peace, then judgement."""
        self._tasks["history"] = asyncio.create_task(self._remember())
        await self.server_up()
        for name in ("controllers", "scheduler", *NODES):
            self.start(name)
        await self.clock.sleep(5)
        for _ in range(STEPS):
            action = self.rng.choice(ACTIONS)
            self.log.append(f"{self.clock.monotonic():.3f} {action.__name__}")
            with suppress(ApiError, ConnectionError):
                await action(self)
            self.check_alive()
            await self.clock.sleep(self.rng.choice((0.0, 0.01, 0.3, 2.0, 15.0, 90.0)))
        self.trouble = 0.0
        if self._server is None:
            await self.server_up()
        for name in ("controllers", "scheduler", *NODES):
            if not self.running(name):
                self.start(name)
        await self.clock.sleep(SETTLE)
        self.check_alive()

    async def _remember(self) -> None:
        """Notes every write the store sees, between what the user does. Histories are compacted, so it goes along."""
        async for batch in await self.store.watch("/registry/", Revision(0)):
            for event in batch:
                digest = hashlib.sha256(event.value).hexdigest()[:12]
                self.log.append(f"{event.revision} {event.type} {event.key} {digest}")

    async def all(self, kind: type[Any], namespace: str | None = "default") -> Sequence[Any]:
        """Every object of a kind."""
        return (await self.client.of(kind).list(namespace)).items


def arriving(request: Request, user: User) -> Request:
    """The request as the server's parser would hand it on."""
    return Request(request.method, request.target, request.headers, request.body, Peer(user=user))


# -- what users and fate do -----------------------------------------------------------------------------------------


def template(app: str, image: str) -> dict[str, Any]:
    """A Pod template."""
    container = {"name": "c", "image": image, "resources": {"requests": {"cpu": "50m"}}}
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}


def kind_of(app: str) -> type[Any]:
    """Names that begin with r are ReplicationControllers."""
    return core_v1.ReplicationController if app.startswith("r") else apps_v1.Deployment


async def create_app(w: World) -> None:
    """A Deployment or ReplicationController."""
    app = w.rng.choice(APPS)
    labels = {"app": app}
    selector: Any = labels if app.startswith("r") else {"matchLabels": labels}
    spec = {"replicas": w.rng.randrange(6), "selector": selector, "template": template(app, "one")}
    body = {"metadata": {"name": app, "namespace": "default"}, "spec": spec}
    await w.client.of(kind_of(app)).create(msgspec.convert(body, kind_of(app)))


async def scale_app(w: World) -> None:
    """Another number of replicas."""
    app = w.rng.choice(APPS)
    await w.client.of(kind_of(app)).patch_raw(Key("default", app), {"spec": {"replicas": w.rng.randrange(7)}})


async def roll_app(w: World) -> None:
    """Another image: a rolling update of a Deployment."""
    app = w.rng.choice(APPS[:4])
    change = {"spec": {"template": template(app, w.rng.choice(("one", "two", "three")))}}
    await w.client.of(kind_of(app)).patch_raw(Key("default", app), change)


async def delete_app(w: World) -> None:
    """With what it owns."""
    app = w.rng.choice(APPS)
    propagation: Any = w.rng.choice(("Background", "Foreground"))
    await w.client.of(kind_of(app)).delete(Key("default", app), propagation=propagation)


async def create_service(w: World) -> None:
    """A Service in front of one of the apps."""
    spec = {"selector": {"app": w.rng.choice(APPS)}, "ports": [{"port": 80}]}
    body = {"metadata": {"name": w.rng.choice(SERVICES), "namespace": "default"}, "spec": spec}
    await w.client.of(core_v1.Service).create(msgspec.convert(body, core_v1.Service))


async def point_service(w: World) -> None:
    """The Service gets another app."""
    change = {"spec": {"selector": {"app": w.rng.choice(APPS)}}}
    await w.client.of(core_v1.Service).patch_raw(Key("default", w.rng.choice(SERVICES)), change)


async def delete_service(w: World) -> None:
    """The Service goes."""
    await w.client.of(core_v1.Service).delete(Key("default", w.rng.choice(SERVICES)))


async def delete_pods(w: World) -> None:
    """Some Pods, some of them by force."""
    pods = await w.all(core_v1.Pod)
    for pod in w.rng.sample(pods, min(len(pods), w.rng.randrange(4))):
        await w.client.of(core_v1.Pod).delete(key_of(pod), grace=w.rng.choice((None, 0)))


async def relabel_pod(w: World) -> None:
    """A Pod leaves its app, and is somebody else's or nobody's; users do so to look into a broken Pod."""
    pods = await w.all(core_v1.Pod)
    if pods:
        change = {"metadata": {"labels": {"app": w.rng.choice((*APPS, "aside"))}}}
        await w.client.of(core_v1.Pod).patch_raw(key_of(w.rng.choice(pods)), change)


async def lose_node(w: World) -> None:
    """A power cut, or the end of it."""
    name = w.rng.choice(NODES)
    if w.running(name):
        await w.end(name)
    else:
        w.start(name)


async def delete_node(w: World) -> None:
    """A node is taken away for good, as far as its Pods can tell."""
    name = w.rng.choice(NODES)
    if w.running(name):
        await w.end(name)
    await w.client.of(core_v1.Node).delete(name)


async def restart_controllers(w: World) -> None:
    """kill -9 of the controller manager; sometimes it stays away for a while."""
    if w.running("controllers"):
        await w.end("controllers")
    if w.rng.random() < 0.8:
        w.start("controllers")


async def restart_scheduler(w: World) -> None:
    """kill -9 of the scheduler."""
    if w.running("scheduler"):
        await w.end("scheduler")
    if w.rng.random() < 0.8:
        w.start("scheduler")


async def restart_server(w: World) -> None:
    """kill -9 of the API server; the store has everything."""
    await w.server_down()
    await w.clock.sleep(w.rng.choice((0.0, 1.0, 20.0)))
    await w.server_up()


async def change_trouble(w: World) -> None:
    """How many requests fail."""
    w.trouble = w.rng.choice((0.0, 0.05, 0.3))


Action = Callable[[World], Awaitable[None]]
ACTIONS: Sequence[Action] = (
    *[create_app] * 5, *[scale_app] * 4, *[roll_app] * 4, delete_app, delete_app,
    *[create_service] * 3, point_service, delete_service, delete_pods, delete_pods, relabel_pod,
    lose_node, lose_node, delete_node, restart_controllers, restart_controllers, restart_scheduler, restart_server,
    change_trouble, change_trouble,
)  # fmt: skip


# -- judgement ------------------------------------------------------------------------------------------------------


async def judge(w: World) -> dict[str, int]:
    """Raises AssertionError where the world is not what its objects say; returns figures."""
    pods = await w.all(core_v1.Pod)
    sets = await w.all(apps_v1.ReplicaSet)
    deployments = await w.all(apps_v1.Deployment)
    controllers = await w.all(core_v1.ReplicationController)
    services = await w.all(core_v1.Service)
    _settled([*pods, *sets, *deployments, *controllers, *services])
    _owned(pods, [*sets, *controllers])
    _owned(sets, deployments)
    for deployment in deployments:
        _deployment(deployment, [rs for rs in sets if _owner(rs) == deployment.metadata.uid])
    for owner in (*sets, *controllers):
        _replicas(owner, [pod for pod in pods if _owner(pod) == owner.metadata.uid])
    nodes = {node.metadata.name for node in await w.all(core_v1.Node, None)}
    for pod in pods:
        assert pod.spec.nodeName in nodes, f"pod {pod.metadata.name} is on {pod.spec.nodeName!r}, which is not there"
        assert pod.status.phase == "Running", f"pod {pod.metadata.name} is {pod.status.phase}"
    await _endpoints(w, services, pods)
    return {"pods": len(pods), "deployments": len(deployments), "replication controllers": len(controllers)}


def _settled(objects: Iterable[Any]) -> None:
    for obj in objects:
        name = f"{type(obj).__name__} {obj.metadata.name}"
        assert not obj.metadata.deletionTimestamp, f"{name} is still being deleted: {obj.metadata.finalizers}"


def _owner(obj: Any) -> str | None:
    return next((ref.uid for ref in obj.metadata.ownerReferences if ref.controller), None)


def _owned(objects: Iterable[Any], owners: Sequence[Any]) -> None:
    known = {owner.metadata.uid: owner for owner in owners}
    for obj in objects:
        name = f"{type(obj).__name__} {obj.metadata.name}"
        owner = _owner(obj)
        if owner is not None:
            assert owner in known, f"{name} is an orphan of {owner}"
            assert _selects(known[owner], obj), f"{name} is not what its owner selects"
        else:  # put aside by its labels: then nobody else may select it
            claims = [o.metadata.name for o in owners if _selects(o, obj)]
            assert not claims, f"{name} has no owner, and {claims} select it"


def _selects(owner: Any, obj: Any) -> bool:
    selector = owner.spec.selector
    labels = selector if isinstance(owner, core_v1.ReplicationController) else selector.matchLabels
    return bool(labels.items() <= obj.metadata.labels.items())


def _deployment(deployment: Any, sets: Sequence[Any]) -> None:
    name, wanted, status = deployment.metadata.name, deployment.spec.replicas, deployment.status
    assert status.observedGeneration == deployment.metadata.generation, f"deployment {name} was not looked at"
    counts = (status.replicas, status.updatedReplicas, status.readyReplicas, status.availableReplicas)
    assert counts == (wanted,) * 4, f"deployment {name} wants {wanted} and says {counts}"
    current = [rs for rs in sets if _image(rs) == _image(deployment)]
    assert len(current) == 1, f"deployment {name} has {len(current)} current replica sets"
    for rs in sets:
        assert rs.spec.replicas == (wanted if rs is current[0] else 0), f"{rs.metadata.name} wants {rs.spec.replicas}"


def _image(obj: Any) -> str:
    return str(obj.spec.template.spec.containers[0].image)


def _replicas(owner: Any, pods: Sequence[Any]) -> None:
    name = f"{type(owner).__name__} {owner.metadata.name}"
    assert len(pods) == owner.spec.replicas, f"{name} wants {owner.spec.replicas} and has {len(pods)}"
    assert owner.status.replicas == len(pods), f"{name} says {owner.status.replicas} and has {len(pods)}"
    assert owner.status.readyReplicas == len(pods), f"{name}: {owner.status.readyReplicas} ready of {len(pods)}"
    for pod in pods:
        assert _image(owner) == pod.spec.containers[0].image, f"{pod.metadata.name} has another image than {name}"


async def _endpoints(w: World, services: Sequence[Any], pods: Sequence[Any]) -> None:
    endpoints = {e.metadata.name: e for e in await w.all(core_v1.Endpoints)}
    slices = await w.all(discovery_v1.EndpointSlice)
    ours = [s for s in services if s.spec.selector]
    names = {s.metadata.name for s in services}
    assert set(endpoints) <= names, f"endpoints of no service: {set(endpoints) - names}"
    for piece in slices:
        service = piece.metadata.labels.get("kubernetes.io/service-name")
        assert service in names, f"endpoint slice {piece.metadata.name} of no service"
    for service in ours:
        name = service.metadata.name
        wanted = sorted(p.status.podIP for p in pods if service.spec.selector.items() <= p.metadata.labels.items())
        told = sorted(a.ip for s in endpoints[name].subsets for a in s.addresses)
        assert told == wanted, f"endpoints of {name} are {told}, ready pods {wanted}"
        of_service = [s for s in slices if s.metadata.labels.get("kubernetes.io/service-name") == name]
        sliced = sorted(
            address
            for piece in of_service
            for endpoint in piece.endpoints
            if endpoint.conditions is None or endpoint.conditions.ready is not False
            for address in endpoint.addresses
        )
        assert sliced == wanted, f"endpoint slices of {name} have {sliced}, ready pods {wanted}"


# -- rounds ---------------------------------------------------------------------------------------------------------


def run_world(seed: int) -> tuple[dict[str, int], list[str]]:
    """One life of one world: figures, and its history. Raises AssertionError."""

    async def main() -> tuple[dict[str, int], list[str]]:
        world = World(seed, SimulatedClock(asyncio.get_running_loop(), seed))
        try:
            await world.live()
            return await judge(world), world.log
        finally:
            await world.close()

    faults = Faults()
    logging.getLogger("pybernetes").addHandler(faults)
    try:
        result = run_simulated(main())
    finally:
        logging.getLogger("pybernetes").removeHandler(faults)
    assert not faults.found, f"{len(faults.found)} faults were logged, the first: {faults.found[0]}"
    return result


def check_seed(seed: int) -> dict[str, int]:
    """Runs a world twice. Raises AssertionError."""
    figures, first = run_world(seed)
    _, second = run_world(seed)
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        assert one == other, f"two runs differ at line {number}: {one!r} and {other!r}"
    assert len(first) == len(second), f"two runs differ in length: {len(first)} and {len(second)}"
    return {**figures, "events": len(first)}


def main() -> int:
    """Rounds of worlds; 1 at the first fault, with its seed."""
    options = arguments(__doc__).parse_args()
    with_fixed_hashes()
    logging.disable(logging.WARNING)
    return run_rounds("controllers", options, check_seed)


if __name__ == "__main__":
    sys.exit(main())
