"""The one loop that runs all controllers: key in, outcome out, errors raised. One module a controller lies beside it.

A controller says what it watches and how a change maps to keys; its `reconcile` gets a key, never an event, and may
run twice without harm. The loop keeps each key to one worker at a time, backs off what fails, and counts. A standby
runs none of this: cmd/ starts the manager only while it leads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.aio.discover import discover
from pybernetes.aio.pause import Pause
from pybernetes.api.errors import Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import rbac_v1
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.client.informer import Cache, Index, Informer, Informers
from pybernetes.client.rest import Client, ResourceClient, key_of
from pybernetes.client.workqueue import WorkQueue
from pybernetes.controllers._load_balancers import Provider
from pybernetes.controllers._metrics import Metrics, queue_lines
from pybernetes.controllers._recyclers import Recyclers
from pybernetes.controllers._zones import Rates
from pybernetes.wire.metrics import head, labelled, series, text
from pybernetes.wire.pki.certificates import Authority
from pybernetes.wire.pki.keys import PrivateKey

log = logging.getLogger(__name__)

T = TypeVar("T", bound=Struct)
S = TypeVar("S")

RETRY_MOST = 60.0
"""Seconds before a failing key is tried again at most; upstream's 1000 s leave a healed cluster waiting."""
_MANAGER = "kube-controller-manager"
RACES = (Conflict, NotFound)
"""What a late cache leads to: tried again without a word."""
BACKGROUND_RETRY = 5.0
"""Seconds before a background task that failed starts again."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing to do until something changes."""


@dataclass(frozen=True, slots=True)
class Again:
    """Look at the key once more after so many seconds, if nothing changes before."""

    after: float


Outcome: TypeAlias = Done | Again


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What flags of kube-controller-manager say. PEM fields are contents, not paths; empty means not given."""

    cluster_name: str = "kubernetes"
    allocate_node_cidrs: bool = False
    cluster_cidrs: tuple[str, ...] = ()
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 50.0
    node_startup_grace_period: float = 60.0
    rates: Rates = field(default_factory=Rates)
    """How fast Nodes may be emptied."""
    terminated_pod_gc_threshold: int = 12500
    service_cidrs: tuple[str, ...] = ()
    """The Services' addresses, of which no Node gets any."""
    endpoints_per_slice: int = 100
    mirrored_per_subset: int = 1000
    endpoint_batch_period: float = 0.0
    """Seconds that a change of a Pod waits before it comes into Endpoints, together with others."""
    slice_batch_period: float = 0.0
    """The same of EndpointSlices."""
    mirror_batch_period: float = 0.0
    """Seconds that a change of a mirror waits before it is looked at."""
    signing_authority: Callable[[str], Authority | None] = lambda signer: None
    """The authority that signs for a signer, as it is now; None: nobody does."""
    cluster_signing_duration: float = 365 * 24 * 3600.0
    root_ca: bytes = b""
    recyclers: Recyclers = field(default_factory=Recyclers)
    """Of the Pods that empty released volumes."""
    force_detach: bool = True
    """Whether volumes are taken from Nodes that are unwell for long."""
    hpa_sync_period: float = 15.0
    hpa_downscale_stabilization: float = 300.0
    hpa_tolerance: float = 0.1
    hpa_cpu_initialization_period: float = 300.0
    hpa_initial_readiness_delay: float = 30.0
    service_account_key: PrivateKey | None = None
    """Signs the tokens of Secrets; None: they have none."""
    legacy_token_period: float = 365 * 24 * 3600.0
    """Seconds that a token in a Secret is not used before it is marked, and marked before it is removed."""
    load_balancers: Sequence[Provider] | None = None
    """Who makes load balancers for Services; None: those that installed packages offer."""


Reconcile: TypeAlias = Callable[[Key, "Context"], Awaitable[Outcome]]


def allow(verbs: str, resources: str, group: str = "") -> rbac_v1.PolicyRule:
    """A rule of a controller's role; words separated by spaces."""
    return rbac_v1.PolicyRule(apiGroups=(group,), resources=tuple(resources.split()), verbs=tuple(verbs.split()))


EVENTS = allow("create patch update", "events")
"""What recording events takes."""


def itself(obj: Any, ctx: "Context") -> Iterable[Key]:
    """The mapping of a controller to its own kind: the object's key."""
    return (key_of(obj),)


def nothing(obj: Any, ctx: "Context") -> Iterable[Key]:
    """The mapping of a kind that is only looked up: its changes are not listened to."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Generic[T]):
    """A kind that a controller follows."""

    kind: type[T]
    keys: Callable[[T, "Context"], Iterable[Key]] = itself
    """The keys that an object concerns; asked for its old and its new state."""
    changed: Callable[[T, T], bool] = lambda old, new: True
    """Whether a change from (old, new) matters."""
    indexes: Mapping[str, Index[T]] = field(default_factory=dict)
    """Indexes that the controller needs in the cache, by name."""
    delay: Callable[[Config], float] = lambda config: 0.0
    """Seconds that pass before the keys are looked at: changes that come close together are then one."""
    labels: str = ""
    fields: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One controller. `CONTROLLER` in controllers/<name>.py."""

    name: str
    """Upstream's name, as `--controllers` knows it: `replicaset-controller`."""
    watches: tuple[Watch[Any], ...]
    reconcile: Reconcile
    rules: tuple[rbac_v1.PolicyRule, ...]
    """Its role system:controller:<account>: what it may do and no more."""
    workers: int = 5
    component: str = ""
    """The source of its Events, where that is not the name."""
    background: Callable[["Context"], Awaitable[None]] | None = None
    """A task beside the workers, for controllers that follow more than kinds known beforehand."""
    default_on: bool = True
    """Whether `--controllers=*` means it, too."""
    queue: str = ""
    """What metrics call its queue, where that is not its name without `-controller`: `endpoint_slice`."""
    account: str = ""
    """Its ServiceAccount in kube-system and its role system:controller:<account>, where that is not the name."""

    @property
    def account_name(self) -> str:
        """As whom it writes where each controller has an account of its own."""
        return self.account or self.name

    @property
    def queue_name(self) -> str:
        """What metrics call its queue."""
        return self.queue or self.name.removesuffix("-controller").replace("-", "_")


class Context:
    """What a reconcile may use. One a controller."""

    def __init__(
        self,
        controller: Controller,
        informers: Informers,
        config: Config,
        metrics: Metrics | None = None,
        client: Client | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self.client: Client = (client or informers.client).named(controller.name)
        self.clock: Clock = informers.client.clock
        self.config = config
        self.informers = informers
        self.queue: WorkQueue[Key] = WorkQueue(
            self.clock, most=RETRY_MOST, metrics=self._metrics.queue(controller.queue_name)
        )
        self.events = EventRecorder(self.client, controller.component or controller.name)
        self._where = {w.kind: (w.labels, w.fields) for w in controller.watches}
        self._state: dict[type[Any], Any] = {}

    def informer(self, kind: type[T]) -> Informer[T]:
        """The shared informer of a kind that the controller watches."""
        labels, fields = self._where.get(kind, ("", ""))
        return self.informers.of(kind, labels=labels, fields=fields)

    def cache(self, kind: type[T]) -> Cache[T]:
        """What the informer of a watched kind has seen."""
        return self.informer(kind).cache

    def api(self, kind: type[T]) -> ResourceClient[T]:
        """Live reads, and writes."""
        return self.client.of(kind)

    def state(self, kind: type[S]) -> S:
        """The controller's one instance of a class, for what it must remember between reconciles (never the truth)."""
        if kind not in self._state:
            self._state[kind] = kind()
        found: S = self._state[kind]
        return found

    def metrics(self, kind: type[S]) -> S:
        """The process' one instance of a class whose fields are metric families (wire.metrics)."""
        return self._metrics.of(kind)


@dataclass(slots=True)
class Counters:
    """Of one controller, for metrics: totals since the start."""

    reconciles: int = 0
    errors: int = 0
    races: int = 0
    """Errors that are no faults: the cache was late."""


class Loop:
    """One controller at work."""

    def __init__(
        self,
        controller: Controller,
        informers: Informers,
        config: Config,
        pause: Pause | None = None,
        metrics: Metrics | None = None,
        client: Client | None = None,
    ) -> None:
        self.controller = controller
        self._pause = pause or Pause()
        self.counters = Counters()
        self._workers = self._free = 0
        self.running = self.ended = False
        self.context = Context(controller, informers, config, metrics, client)
        for watch in controller.watches:
            self._follow(watch)

    @property
    def queue(self) -> WorkQueue[Key]:
        """Its keys."""
        return self.context.queue

    def _follow(self, watch: Watch[Any]) -> None:
        informer = self.context.informer(watch.kind)
        for name, function in watch.indexes.items():
            informer.cache.add_index(name, function)
        if watch.keys is nothing:
            return

        delay = watch.delay(self.context.config)

        def on_change(old: Any, new: Any) -> None:
            if old is not None and new is not None and not watch.changed(old, new):
                return
            for obj in (old, new):
                if obj is not None:
                    for key in watch.keys(obj, self.context):
                        self.queue.add_after(key, delay)

        informer.on_change(on_change)

    async def run(self) -> None:
        """Waits for its caches, then works until cancelled."""
        for watch in self.controller.watches:
            await self.context.informer(watch.kind).synced.wait()
        log.info("started controller name=%s workers=%d", self.controller.name, self.controller.workers)
        name = self.controller.name
        self.running = True
        try:
            await self._run(name)
        finally:
            self.running, self.ended = False, True

    async def _run(self, name: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run(), name=f"{name}.queue")
            group.create_task(self.context.events.run(), name=f"{name}.events")
            if self.controller.background:
                group.create_task(self._background(self.controller.background), name=f"{name}.background")
            self._add_worker(group)

    async def _background(self, task: Callable[[Context], Awaitable[None]]) -> None:
        while True:
            with Guard(f"{self.controller.name} background"):
                await task(self.context)
                return
            await self.context.clock.sleep(BACKGROUND_RETRY)

    def _add_worker(self, group: asyncio.TaskGroup) -> None:
        """One more, while there may be more: most controllers of most clusters never have two keys at once."""
        if self._workers < self.controller.workers:
            self._workers += 1
            group.create_task(self._work(group), name=f"{self.controller.name}.{self._workers}")

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._free += 1
            try:
                key = await self.queue.get()
            finally:
                self._free -= 1
            if not self._free:
                self._add_worker(group)
            try:
                async with self._pause:
                    await self._reconcile(key)
            finally:
                self.queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        outcome: Outcome = Done()
        with Guard(f"{self.controller.name} {key}", quiet=lambda error: isinstance(error, RACES)) as guard:
            outcome = await self.controller.reconcile(key, self.context)
        self.counters.reconciles += 1
        if guard.error is not None:
            self.counters.errors += 1
            self.counters.races += isinstance(guard.error, RACES)
            self.queue.retry(key)
            return
        self.queue.forget(key)
        if isinstance(outcome, Again):
            self.queue.add_after(key, outcome.after)


def known() -> dict[str, Controller]:
    """All controllers there are, those of other installed packages included, by name."""
    found = discover(
        "pybernetes.controllers", "CONTROLLER", Controller, group="pybernetes.controllers", skip=("runtime",)
    )
    return {controller.name: controller for controller in found.values()}


def chosen(selection: Iterable[str]) -> dict[str, Controller]:
    """What `--controllers` means: `*`, names, `-name`. Old names without `-controller` count; so do those of upstream's
    controllers that are not here, where they are left out. Raises ValueError."""
    everything = known()
    names = {short: name for name in everything for short in (name, name.removesuffix("-controller"), _old(name))}
    wanted = [word for word in selection if word and word not in _NEVER]
    unknown = [word for word in wanted if word != "*" and word.removeprefix("-") not in names]
    if unknown:
        raise ValueError(f'"{unknown[0]}" is not in the list of known controllers: {", ".join(sorted(everything))}')
    on = {names[word] for word in wanted if word != "*" and not word.startswith("-")}
    off = {names[word[1:]] for word in wanted if word.startswith("-")}
    if "*" in wanted:
        on |= {name for name, controller in everything.items() if controller.default_on}
    return {name: everything[name] for name in sorted(on - off)}


_OLD_NAMES = {
    "bootstrap-signer-controller": "bootstrapsigner",
    "token-cleaner-controller": "tokencleaner",
    "certificatesigningrequest-approving-controller": "csrapproving",
    "certificatesigningrequest-cleaner-controller": "csrcleaner",
    "certificatesigningrequest-signing-controller": "csrsigning",
    "endpoints-controller": "endpoint",
    "endpointslice-mirroring-controller": "endpointslicemirroring",
    "garbage-collector-controller": "garbagecollector",
    "persistentvolume-attach-detach-controller": "attachdetach",
    "persistentvolume-protection-controller": "pv-protection",
    "persistentvolumeclaim-protection-controller": "pvc-protection",
    "service-cidrs-controller": "service-cidr-controller",
    "horizontal-pod-autoscaler-controller": "horizontalpodautoscaling",
    "pod-garbage-collector-controller": "podgc",
    "legacy-serviceaccount-token-cleaner-controller": "legacy-service-account-token-cleaner",
    "node-ipam-controller": "nodeipam",
    "node-lifecycle-controller": "nodelifecycle",
    "resourceclaim-controller": "resource-claim-controller",
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "service-lb-controller": "service",
}
_NEVER = frozenset(
    f"-{name}"
    for name in (
        *("cloud-node-lifecycle", "cloud-node-lifecycle-controller", "route", "node-route-controller"),
        *("storage-version-gc", "storageversion-garbage-collector-controller", "selinux-warning-controller"),
    )
)
"""What says that controllers are to be left out which run in clouds, or by features that are off, and never here."""


def _old(name: str) -> str:
    return _OLD_NAMES.get(name, name)


class ControllerManager:
    """Controllers over one set of informers.

    All reads that go through caches are the client's; `as_account` gives the identity of everything else that a controller
    does, by the name of its ServiceAccount.
    """

    def __init__(
        self,
        client: Client,
        config: Config | None = None,
        controllers: Mapping[str, Controller] | None = None,
        pause: Pause | None = None,
        as_account: Callable[[str], Client] | None = None,
    ) -> None:
        self.informers = Informers(client)
        found = chosen(["*"]) if controllers is None else controllers
        pause = pause or Pause()  # whoever gives one can hold up all reconciles
        config, self._metrics = config or Config(), Metrics()
        self.loops = {
            name: Loop(
                one, self.informers, config, pause, self._metrics, as_account(one.account_name) if as_account else None
            )
            for name, one in found.items()
        }

    async def run(self) -> None:
        """Runs all until cancelled. An API server that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run(), name="informers")
            for name, loop in self.loops.items():
                group.create_task(loop.run(), name=name)

    @property
    def idle(self) -> bool:
        """No key waits or is worked on (delayed keys aside)."""
        return all(loop.queue.idle for loop in self.loops.values())

    def checks(self) -> dict[str, Callable[[], str]]:
        """Health of each controller by name (wire.healthz): ill once it has ended. One that waits for its caches is well."""
        return {name: partial(_fault, loop) for name, loop in self.loops.items()}

    def metrics(self) -> str:
        """What is counted, in the Prometheus text format, under upstream's names where it has them."""
        queues: dict[str, list[WorkQueue[Key]]] = {}
        for loop in self.loops.values():
            queues.setdefault(loop.controller.queue_name, []).append(loop.queue)
        return text(self._metrics.families(), [*queue_lines(queues), *self._loop_lines()])

    def _loop_lines(self) -> Iterator[str]:
        name = "running_managed_controllers"
        about = "Indicates where instances of a controller are currently running"
        yield from head(name, f"[ALPHA] {about}", "gauge")
        for controller, loop in self.loops.items():
            of = (_MANAGER, controller)
            yield series(name, labelled(("manager", "name"), of), loop.running)
        for name, about in (
            ("reconciles", "Reconciles of a controller"),
            ("errors", "Reconciles that failed"),
            ("races", "Of the failed ones, those for which a cache was late"),
        ):
            yield from head(f"controller_{name}_total", f"[ALPHA] {about}.", "counter")
            for controller, loop in self.loops.items():
                label = labelled(("controller",), (controller,))
                yield series(f"controller_{name}_total", label, getattr(loop.counters, name))


def _fault(loop: Loop) -> str:
    return "the controller has ended" if loop.ended else ""
