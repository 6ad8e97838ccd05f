"""One perturbed world: an API server, all controllers, the scheduler and simulated nodes, wholly made by a seed.

The parts end and begin again, requests and watches meet wire.py's trouble, and ledger.py hears of every write.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any, TypeVar

import orjson

from pybernetes.aio.simulation import SimulatedClock
from pybernetes.api import facts
from pybernetes.api.objects import User
from pybernetes.api.types import apps_v1, autoscaling_v2, batch_v1, core_v1, discovery_v1, policy_v1, storage_v1
from pybernetes.apiserver.config import Config
from pybernetes.apiserver.server import ApiServer
from pybernetes.assembly.simulated.nodes import Config as SimulatedConfig
from pybernetes.assembly.simulated.nodes import SimulatedNodes
from pybernetes.client.rest import Client
from pybernetes.controllers.runtime import Config as ControllerConfig
from pybernetes.controllers.runtime import ControllerManager
from pybernetes.scheduler.loop import Scheduler
from pybernetes.wire.http import Request, Response
from pybernetes.wire.pki.keys import PrivateKey, derived_key
from tools.soak.worlds import small
from tools.soak.worlds.ledger import LAG, Ledger, Obj, WatchedStore
from tools.soak.worlds.wire import Trouble, Wire, arriving

T = TypeVar("T")

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
CONTROLLERS = User("system:kube-controller-manager", groups=("system:authenticated",))
SCHEDULER = User("system:kube-scheduler", groups=("system:authenticated",))
NODES = ("n0", "n1", "n2")
SAMPLE = 5.0
"""Seconds between two looks at what caches have passed."""
LONGEST_HOLD = 25.0
"""Seconds that a watch of one resource may be held back."""
STOPPED = "controllers"

SEEN: Mapping[str, type[Any]] = {
    "Pod": core_v1.Pod, "Node": core_v1.Node, "ReplicationController": core_v1.ReplicationController,
    "ReplicaSet": apps_v1.ReplicaSet, "Deployment": apps_v1.Deployment, "StatefulSet": apps_v1.StatefulSet,
    "DaemonSet": apps_v1.DaemonSet, "Job": batch_v1.Job, "CronJob": batch_v1.CronJob, "Service": core_v1.Service,
    "ControllerRevision": apps_v1.ControllerRevision, "Namespace": core_v1.Namespace,
    "PersistentVolumeClaim": core_v1.PersistentVolumeClaim, "PodDisruptionBudget": policy_v1.PodDisruptionBudget,
    "HorizontalPodAutoscaler": autoscaling_v2.HorizontalPodAutoscaler, "Endpoints": core_v1.Endpoints,
    "EndpointSlice": discovery_v1.EndpointSlice, "ServiceAccount": core_v1.ServiceAccount,
    "PersistentVolume": core_v1.PersistentVolume, "VolumeAttachment": storage_v1.VolumeAttachment,
}  # fmt: skip
"""Kinds whose caches rules ask for."""


@cache
def _signing_key() -> PrivateKey:
    """The same one always: tokens repeat with their seed."""
    return derived_key(b"worlds")


class World:
    """The parts of one world, and short words for what users do."""

    def __init__(self, seed: int, clock: SimulatedClock, *, whole: bool = True) -> None:
        """`whole`: nothing is left out of it that small.py says of others."""
        self.whole = whole
        self.rng = random.Random(seed)
        self.clock = clock
        self.trouble = Trouble()
        self.step = "beginning"
        """What is being done, for who reads of a fault."""
        self.held: tuple[str, ...] = ()
        """Resources that matter most to what is played: their caches are late more often than others."""
        self.pace: Mapping[str, float] = {}
        """Seconds that a write of a part takes in any case: without, Pods may come and go for ever in no time, as long as one
        cache is late."""
        self.demand = 3
        """Replicas that the one external metric asks autoscalers for."""
        self.store = WatchedStore()
        self.ledger = Ledger(clock.monotonic, self._seen)
        self.store.tell = self.ledger.saw
        self.client = Client(Wire(self, ADMIN, "user", honest=True), clock=clock)
        self.drain = Client(Wire(self, ADMIN, "drain", honest=True), clock=clock)
        """Of the user who evicts."""
        self.attacher = Client(Wire(self, ADMIN, "attacher", honest=True), clock=clock)
        self.kubelets = Client(Wire(self, ADMIN, "node volumes", honest=True), clock=clock)
        """Of the nodes' part that has to do with disks."""
        self.mounted: set[tuple[str, str]] = set()
        """(node, volume): what no API object tells truly."""
        self.generation = 0
        self.befalls: dict[tuple[str, str], str] = {}
        """What befalls the controllers' next request, by method and resource: see wire.BEFALL."""
        self._passed: deque[dict[str, int]] = deque(maxlen=round(LAG / SAMPLE) + 1)
        self._held: dict[str, float] = {}
        self._stale: dict[str, asyncio.Event] = {}
        self._server: ApiServer | None = None
        self._manager: ControllerManager | None = None
        self._wires: dict[str, Wire] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._spawned: set[asyncio.Task[Any]] = set()

    # --- parts

    async def send(self, request: Request, user: User) -> Response:
        """To the API server, if there is one."""
        if self._server is None:
            raise ConnectionRefusedError("the API server is away")
        if request.path.startswith("/apis/external.metrics.k8s.io/"):
            item = {"metricName": "demand", "timestamp": "2026-01-01T00:00:00Z", "value": str(self.demand)}
            return Response(200, body=orjson.dumps({"items": [item]}))
        if self.whole:
            return await self._server.handler(arriving(request, user))
        return small.answered(request) or small.shown(request, await self._server.handler(arriving(request, user)))

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of the world's own: it goes on when who began it has ended."""
        task = asyncio.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._spawned.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    async def server_up(self) -> None:
        """A new API server on the same store."""
        server = ApiServer(Config() if self.whole else small.SERVER, self.store, self.clock)
        self._tasks["server"] = asyncio.create_task(server.run())
        await server.ready.wait()
        self._server = server

    @property
    def has_server(self) -> bool:
        """Whether one is there."""
        return self._server is not None

    async def server_down(self) -> None:
        """As by kill -9: whoever waits for an answer gets none."""
        self._server = None
        await self.end("server")

    def start(self, name: str) -> None:
        """Starts a part: `controllers`, `scheduler` or a node."""
        if name == STOPPED:
            self.generation += 1
            wire = Wire(self, CONTROLLERS, name, generation=self.generation)
            config = ControllerConfig(
                allocate_node_cidrs=True,
                cluster_cidrs=("10.244.0.0/16",),
                service_account_key=_signing_key(),
                node_monitor_period=small.MONITOR / (2 if self.whole else 1),
            )
            chosen = None if self.whole else small.controllers()
            self._manager = ControllerManager(Client(wire, clock=self.clock), config, chosen)
            run = self._manager.run()
        elif name == "scheduler":
            wire = Wire(self, SCHEDULER, name)
            run = Scheduler(Client(wire, clock=self.clock), self.clock, None if self.whole else small.SCHEDULER).run()
        else:
            wire = Wire(self, ADMIN, f"node {name}")
            first, renew = f"198.18.{NODES.index(name)}.1", small.RENEW / (2 if self.whole else 1)
            played = SimulatedConfig(first_address=first, quiet=True, renew=renew)
            run = SimulatedNodes(Client(wire, clock=self.clock), [name], played).run()
        self._wires[name] = wire
        self._tasks[name] = asyncio.create_task(run, name=name)

    def add(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Somebody who works beside them until the end of the world."""
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def end(self, name: str) -> None:
        """Ends a part. What it has sent goes on its way."""
        if name in self._wires:
            self._wires.pop(name).dead = True
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])

    def end_controllers(self, away: float) -> None:
        """They hear nothing more from this moment on; others take over after some seconds."""
        wire = self._wires.get(STOPPED)
        if wire is None or wire.dead:
            return
        wire.dead = True
        self.spawn(self._replace_controllers(wire, away))

    async def _replace_controllers(self, wire: Wire, away: float) -> None:
        if self._wires.get(STOPPED) is wire:
            await self.end(STOPPED)
        await self.clock.sleep(away)
        if not self.running(STOPPED):
            self.start(STOPPED)

    def running(self, name: str) -> bool:
        """Whether a part is there."""
        return name in self._tasks

    def check(self) -> None:
        """A part that ended by itself has failed; and no rule may have been broken. Raises AssertionError."""
        for name, task in self._tasks.items():
            assert not task.done(), f"{name} ended: {task.exception()!r}"
        assert not self.ledger.violations, self.ledger.violations[0]

    async def close(self) -> None:
        """Ends all."""
        for name in [*reversed(self._tasks)]:
            await self.end(name)
        for task in [*self._spawned]:
            task.cancel()
        if self._spawned:
            await asyncio.wait(self._spawned)
        await self.store.close()

    # --- caches

    async def remember(self) -> None:
        """Notes what the controllers' caches have passed, for those who ask later; for ever."""
        while True:
            if self._manager is not None:
                informers = self._manager.informers
                self._passed.append({kind: int(informers.of(struct).revision or 0) for kind, struct in SEEN.items()})
            await self.clock.sleep(SAMPLE)

    def _seen(self, kind: str) -> int:
        return self._passed[0].get(kind, 0) if len(self._passed) == self._passed.maxlen else 0

    def hold(self, resource: str, seconds: float) -> None:
        """The controllers see nothing new of a resource for a while."""
        now = self.clock.monotonic()
        if now >= self._held.get(resource, 0.0) + 0.5:  # between two holds everything comes through
            self._held[resource] = now + min(seconds, LONGEST_HOLD)

    async def fresh(self, resource: str) -> None:
        """Waits until a resource is not held."""
        while resource in self._stale:
            await self._stale[resource].wait()
        while (left := self._held.get(resource, 0.0) - self.clock.monotonic()) > 0:
            await self.clock.sleep(left)

    async def unheld(self) -> None:
        """Waits until no resource is held for a while."""
        await self.clock.sleep(max(0.0, max(self._held.values(), default=0.0) - self.clock.monotonic()))

    def stop(self, resource: str) -> None:
        """The controllers see nothing new of a resource until let_through()."""
        self._stale.setdefault(resource, asyncio.Event())

    def let_through(self, resource: str) -> None:
        """What stop() has kept comes, in its order."""
        if resource in self._stale:
            self._stale.pop(resource).set()

    # --- users

    async def make(self, kind: type[Any], obj: Obj, namespace: str = "default") -> None:
        """A user makes an object."""
        target = facts.of_struct(kind)
        body = {"apiVersion": target.api_version, "kind": target.kind, **obj}
        await self.client.raw("POST", self.path(kind, namespace), body)

    async def change(
        self,
        kind: type[Any],
        name: str,
        change: Obj,
        namespace: str = "default",
        part: str = "",
        client: Client | None = None,
    ) -> Obj:
        """A user changes one, or whose client it is, by a merge patch; returns what it is now."""
        headers = {"content-type": "application/merge-patch+json"}
        path = self.path(kind, namespace, name, part)
        changed: Obj = await (client or self.client).raw("PATCH", path, change, headers=headers)
        return changed

    async def remove(self, kind: type[Any], name: str, namespace: str = "default", **options: Any) -> None:
        """A user deletes one."""
        await self.client.raw("DELETE", self.path(kind, namespace, name), options)

    def path(self, kind: type[Any], namespace: str, name: str = "", part: str = "") -> str:
        """Where an object is served."""
        return self.client.of(kind).target.path(namespace, name, part)

    def pick(self, kind: str, fits: Callable[[Obj], bool] = lambda obj: True) -> Obj | None:
        """Any object of a kind that is there."""
        found = [obj for obj in self.ledger.all(kind) if fits(obj)]
        return self.rng.choice(found) if found else None
