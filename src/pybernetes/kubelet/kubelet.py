"""The kubelet: one worker a Pod of this node, fed by the API, the runtime's events and a relist. cmd/kubelet.py runs it.

Next stops: worker.py (the loop of one Pod), pod_machine.py (what it decides), status/ (what it reports), server/.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.admission import admit
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.events import RuntimeEvent
from pybernetes.kubelet.cri.model import Container, PodRef, Runtime, RuntimeRefused, RuntimeUnavailable, State
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.executor import Executor, Tools
from pybernetes.kubelet.hooks import Hooks
from pybernetes.kubelet.images.puller import Puller
from pybernetes.kubelet.log_links import remove_dead
from pybernetes.kubelet.log_rotation import LogRotation
from pybernetes.kubelet.server.stats import Meter, PodUse
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.sources import ApiSources
from pybernetes.kubelet.specs.names import pod_ref
from pybernetes.kubelet.status.lease import NodeLease
from pybernetes.kubelet.status.node import NodeReporter, read_machine
from pybernetes.kubelet.status.reporter import Reporter
from pybernetes.kubelet.volume import VolumeError, Volumes
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

_RELIST = 5.0
"""Seconds between looks at all of the runtime: the event stream tells sooner, this catches what it lost."""
_REFRESH = 60.0
_RECONNECT = 1.0
_GONE_GRACE = 2.0
"""Of Pods that were taken out of the API by force: TERM, then KILL soon after."""


class EventSource(Protocol):
    """The runtime's own events: cri.events.EventSource."""

    def stream(self) -> AsyncIterator[RuntimeEvent]:
        """Until the runtime goes away. Raises RuntimeUnavailable, RuntimeRefused."""


@dataclass(frozen=True)
class Registration:
    """What the Node is created with."""

    taints: Sequence[core_v1.Taint] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """What /configz shows."""


class Kubelet:
    """The agent of one node. run() until cancelled; Pods go on running after it."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        client: Client,
        *,
        events: EventSource | None = None,
        registration: Registration | None = None,
        cgroups: PodCgroups | None = None,
    ) -> None:
        clock = client.clock
        settings = replace(settings, memory=settings.memory or read_machine(settings.root).memory)
        self.settings = settings
        self.runtime = runtime
        self.workers: dict[str, PodWorker] = {}
        self.informers = Informers(client)
        self.recorder = EventRecorder(client, "kubelet", host=settings.node_name)
        self.node = NodeReporter(client, runtime, settings, clock)
        self._pods = self.informers.of(core_v1.Pod, fields=f"spec.nodeName={settings.node_name}")
        services = self.informers.of(core_v1.Service)
        self._clock = clock
        self._events = events
        self._began = clock.now()
        self._registration = registration or Registration()
        self._lease = NodeLease(client, settings.node_name, clock)
        self._sources = ApiSources(client, services)
        self._reporter = Reporter(client, clock)
        self._cgroups = cgroups or PodCgroups(settings.cgroup_root)
        self._volumes = Volumes(settings.root, self._sources, clock, self.facts)
        parallel = 1 if settings.serialize_image_pulls else None
        self.meter = Meter(self._cgroups, settings.root)
        self._puller = Puller(runtime, self._sources, clock, parallel=parallel)
        tools = Tools(
            runtime=runtime,
            sources=self._sources,
            puller=self._puller,
            volumes=self._volumes,
            cgroups=self._cgroups,
            reporter=self._reporter,
            events=self.recorder,
            hooks=Hooks(runtime, clock),
            node=self.facts,
            network=lambda: self.node.health.network,
        )
        self._executor = Executor(tools, settings, clock)
        self._owners: dict[str, str] = {}
        self._states: dict[str, State] = {}
        self._group: asyncio.TaskGroup | None = None
        self._admitted: set[str] = set()
        self._rotation = LogRotation(runtime, self._running_containers, clock)

    def facts(self) -> Facts:
        """What containers may know of the node."""
        return Facts(self.settings.node_ips, self.node.allocatable())

    async def run(self) -> None:
        """Runs the node's Pods until cancelled."""
        await asyncio.to_thread(self.settings.root.mkdir, 0o750, True, True)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self.informers.run(), name="kubelet.informers")
                group.create_task(self.recorder.run(), name="kubelet.events")
                group.create_task(self._run_node(), name="kubelet.node")
                group.create_task(self._run_lease(), name="kubelet.lease")
                group.create_task(self._run_pods(), name="kubelet.pods")
                if self._events is not None:
                    group.create_task(self._follow(self._events), name="kubelet.runtime-events")
        finally:
            await self._puller.close()

    async def _run_node(self) -> None:
        registration = self._registration
        await self.node.run(registration.taints, dict(registration.labels), self._wake_all)

    async def _run_lease(self) -> None:
        await self.node.registered.wait()
        await self._lease.run()

    async def _run_pods(self) -> None:
        """Takes up Pods once it is known which there are, so that no orphan is made of a Pod that is only late."""
        await self.informers.synced()
        self._pods.on_change(self._changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relist(), name="kubelet.relist")
            group.create_task(self._refresh_volumes(), name="kubelet.volumes")
            group.create_task(self._rotation.run(), name="kubelet.logs")

    # -- Pods ----------------------------------------------------------------------------------------------------------

    def _changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if new is not None:
            worker = self._worker(pod_ref(new))
            if new.metadata.uid not in self._admitted:
                self._admit(new, worker)
            worker.update(new)
            if old is not None and _facts(old) != _facts(new):
                self._later(self._refresh(worker), "refresh")
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._admitted.discard(old.metadata.uid)
            worker_of_old = self.workers.get(old.metadata.uid)
            if worker_of_old is not None:
                grace = None if old.metadata.deletionTimestamp is None else _GONE_GRACE
                worker_of_old.removed(grace if grace is not None else _GONE_GRACE)

    def _admit(self, pod: core_v1.Pod, worker: PodWorker) -> None:
        uid = pod.metadata.uid
        self._admitted.add(uid)
        if pod.status.startTime or pod.metadata.deletionTimestamp or pod.status.phase in ("Succeeded", "Failed"):
            return  # taken up before, by this process or the one before it
        others = [p for p in self._pods.cache if p.metadata.uid != uid and self._counts(p)]
        verdict = admit(pod, others, self.node.allocatable())
        if verdict is not None:
            log.warning("refused pod=%s reason=%s message=%s", worker.ref, verdict.reason, verdict.message)
            worker.verdict = verdict
            worker.last = pod
            self._executor.tell(worker, "", "Warning", verdict.reason, verdict.message)

    def _counts(self, pod: core_v1.Pod) -> bool:
        """Whether a Pod takes part of the node: admitted, and not ended."""
        worker = self.workers.get(pod.metadata.uid)
        refused = worker is not None and worker.verdict is not None
        ended = pod.status.phase in ("Succeeded", "Failed")
        return pod.metadata.uid in self._admitted and not refused and not ended

    def _worker(self, ref: PodRef) -> PodWorker:
        worker = self.workers.get(ref.uid)
        if worker is None:
            worker = PodWorker(ref, self.runtime, self._executor, self._reporter, self._clock)
            worker.host_ips = self.settings.node_ips
            self.workers[ref.uid] = worker
            self._later(self._work(worker), f"pod {ref}")
        return worker

    async def _work(self, worker: PodWorker) -> None:
        await worker.run()
        self.workers.pop(worker.ref.uid, None)
        log.info("nothing is left of pod=%s uid=%s", worker.ref, worker.ref.uid)

    def _later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._group is not None
        try:
            self._group.create_task(work, name=name)
        except RuntimeError:  # the group is ending: so says TaskGroup, and there is no other way to ask it
            work.close()

    def _wake_all(self) -> None:
        for worker in self.workers.values():
            worker.wake()

    def pods(self) -> Iterable[core_v1.Pod]:
        """The Pods of this node with their newest status."""
        for worker in self.workers.values():
            if worker.pod is not None:
                yield self._reporter.known(worker.pod)

    def _running_containers(self) -> Iterable[Container]:
        return [c for w in self.workers.values() for c in w.observed.containers if c.state == State.RUNNING]

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """The Pod of that name; of namesakes the one that the API knows."""
        found = [
            w
            for w in self.workers.values()
            if (w.ref.namespace, w.ref.name) == (namespace, name) and uid in ("", w.ref.uid)
        ]
        return next((w for w in found if w.pod is not None), found[0] if found else None)

    def config(self) -> Mapping[str, Any]:
        """The effective configuration, for /configz."""
        return self._registration.configuration

    def uses(self) -> Sequence[PodUse]:
        """Running Pods, for what they use."""
        found = []
        for worker in self.workers.values():
            runs = tuple(c for c in worker.observed.containers if c.state == State.RUNNING)
            if worker.pod is not None and runs:
                started = worker.pod.status.startTime or ""
                found.append(PodUse(worker.ref, self._cgroups.parent(worker.pod), started, runs))
        return found

    def node_name(self) -> tuple[str, float]:
        """The node's name, and since when this kubelet runs."""
        return self.settings.node_name, self._began

    def metrics(self) -> str:
        """A first few series in Prometheus text."""
        running = [w for w in self.workers.values() if machine.current_sandbox(w.observed) is not None]
        counts: dict[str, int] = {}
        for worker in self.workers.values():
            for run in worker.observed.containers:
                counts[run.state.name.lower()] = counts.get(run.state.name.lower(), 0) + 1
        lines = ["# TYPE kubelet_running_pods gauge", f"kubelet_running_pods {len(running)}"]
        lines.append("# TYPE kubelet_running_containers gauge")
        lines += [f'kubelet_running_containers{{container_state="{s}"}} {n}' for s, n in sorted(counts.items())]
        lines += ["# TYPE kubelet_node_name gauge", f'kubelet_node_name{{node="{self.settings.node_name}"}} 1']
        return "\n".join(lines) + "\n"

    # -- the runtime ---------------------------------------------------------------------------------------------------

    async def _follow(self, source: EventSource) -> None:
        """Wakes the worker of each container that containerd tells of."""
        while True:
            try:
                async for event in source.stream():
                    for worker in self._concerned(event.container):
                        if event.ended:
                            worker.ended(event.container)
                        else:
                            worker.wake()
            except RuntimeRefused as refused:
                log.warning("no event stream, relisting only error=%s", refused.message)
                return
            except RuntimeUnavailable as away:
                log.info("lost the event stream error=%s", away)
            await self._clock.sleep(_RECONNECT)
            self._wake_all()

    def _concerned(self, container: str) -> list[PodWorker]:
        """The worker of a container or sandbox; its own observation knows what no relist has shown yet."""
        owner = self.workers.get(self._owners.get(container, ""))
        if owner is not None:
            return [owner]
        every = list(self.workers.values())
        found = [w for w in every if w.knows(container)]
        return found or [w for w in every if w.starting]

    async def _relist(self) -> None:
        """Finds what the events did not tell, and Pods in the runtime that the API does not know."""
        while True:
            with Guard("relist") as guard:
                await self._look()
                await self._sweep()
            await self._clock.sleep(_RELIST if guard.error is None else _RECONNECT)

    async def _look(self) -> None:
        sandboxes, containers = await self.runtime.sandboxes(), await self.runtime.containers()
        states = {s.id: State.RUNNING if s.ready else State.EXITED for s in sandboxes}
        states |= {c.id: c.state for c in containers}
        owners = {s.id: s.pod for s in sandboxes if s.pod.uid} | {c.id: c.pod for c in containers if c.pod.uid}
        self._owners = {id: ref.uid for id, ref in owners.items()}
        changed = {id for id in states.keys() | self._states.keys() if states.get(id) != self._states.get(id)}
        self._states = states
        for id in changed:
            uid = self._owners.get(id)
            if uid in self.workers:
                self.workers[uid].wake()
        known = {pod.metadata.uid for pod in self._pods.cache}
        for ref in set(owners.values()):
            if ref.uid not in known and ref.uid not in self.workers:
                log.info("found a Pod that the API does not know pod=%s uid=%s", ref, ref.uid)
                self._worker(ref).removed(_GONE_GRACE)

    async def _sweep(self) -> None:
        """Cgroups, volumes and logs of Pods that neither the runtime nor the API knows. With every relist: a start that
        was called off (this process or containerd killed) may leave something seconds after the first look."""
        known = {pod.metadata.uid for pod in self._pods.cache}
        for uid in await asyncio.to_thread(self._leftovers):
            # Asked after the look at the disk: a Pod that came meanwhile has a worker.
            if uid not in known and uid not in self.workers:
                self._worker(PodRef("", "", uid)).removed(_GONE_GRACE)

    def _leftovers(self) -> set[str]:
        """UIDs of Pods that still have a cgroup, a folder or logs. Dead links to logs go at once."""
        remove_dead(self.settings.container_logs)
        folders = {folder.name for folder in (self.settings.root / "pods").glob("*")}
        logs = {folder.name.rpartition("_")[2] for folder in self.settings.logs.glob("*_*_*")}
        return self._cgroups.known() | folders | logs

    async def _refresh_volumes(self) -> None:
        """ConfigMaps, Secrets and tokens change; volumes follow within a minute."""
        while True:
            await self._clock.sleep(_REFRESH)
            for worker in list(self.workers.values()):
                with Guard("volume refresh"):
                    await self._refresh(worker)

    async def _refresh(self, worker: PodWorker) -> None:
        pod = worker.pod
        running = any(c.state == State.RUNNING for c in worker.observed.containers)
        if pod is None or not running or pod.metadata.deletionTimestamp is not None:
            return
        try:
            await self._volumes.refresh(pod, tuple(ip.ip for ip in pod.status.podIPs))
        except VolumeError as error:
            self._executor.tell(worker, "", "Warning", "FailedMount", str(error))


def _facts(pod: core_v1.Pod) -> object:
    """What the downward API shows and others may change."""
    return pod.metadata.labels, pod.metadata.annotations
