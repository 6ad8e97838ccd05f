"""The kubelet: one worker a Pod of this node, fed by the API, the runtime's events and a relist. cmd/kubelet.py runs it.

Next stops: pods.py (the table of workers), worker.py (the loop of one Pod), pod_machine.py (what it decides), status/ (what it
reports), runtime_watch.py, server/.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from msgspec.structs import replace

from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.events import EventRecorder, reference
from pybernetes.client.guard import Guard
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.kernel import mounts
from pybernetes.kubelet import configuration_file, resize, shutdown
from pybernetes.kubelet.admission import Host
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.apparmor import refuse_apparmor
from pybernetes.kubelet.cgroups import PodCgroups, tree_rules
from pybernetes.kubelet.cri.model import Runtime
from pybernetes.kubelet.dead_containers import remove_dead
from pybernetes.kubelet.downward import Facts
from pybernetes.kubelet.eviction.manager import Around, EvictionManager
from pybernetes.kubelet.eviction.readings import PodPlaces, Readings
from pybernetes.kubelet.eviction.storage import on_disk
from pybernetes.kubelet.executor import Executor, Tools
from pybernetes.kubelet.hooks import Hooks
from pybernetes.kubelet.images.garbage import ImageGarbage
from pybernetes.kubelet.images.puller import Puller, PullRules
from pybernetes.kubelet.images.records import PRELOADED
from pybernetes.kubelet.images.volumes import ImageVolumes, mounted_images
from pybernetes.kubelet.log_rotation import LogRotation
from pybernetes.kubelet.maker import Maker, Stores
from pybernetes.kubelet.manifests import NoRules, PodRules
from pybernetes.kubelet.mirrors import Mirrors, Statuses
from pybernetes.kubelet.node_groups import NodeGroups
from pybernetes.kubelet.pods import Parts, Pods
from pybernetes.kubelet.resize import Resizes
from pybernetes.kubelet.resizer import Resizer
from pybernetes.kubelet.runtime_watch import EventSource, RuntimeWatch
from pybernetes.kubelet.server.figures import Figures
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.shutdown import NodeShutdown
from pybernetes.kubelet.sources import ApiSources
from pybernetes.kubelet.specs.names import log_folder
from pybernetes.kubelet.static_pods import StaticPods, name_of, reader_of
from pybernetes.kubelet.status.capacity import capacity
from pybernetes.kubelet.status.labels import labels as node_labels
from pybernetes.kubelet.status.lease import NodeLease
from pybernetes.kubelet.status.machine import read_machine
from pybernetes.kubelet.status.node import DECLARED, NodeReporter
from pybernetes.kubelet.status.reporter import Reporter
from pybernetes.kubelet.volume_manager import Volumes
from pybernetes.kubelet.volume_refresh import VolumeRefresh
from pybernetes.kubelet.worker import PodWorker
from pybernetes.rules.staticpods import is_mirror

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """What the Node is created with."""

    taints: Sequence[core_v1.Taint] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Kubelet:
    """The agent of one node. run() until cancelled; Pods go on running after it.

    A standalone one (Settings) has no API server and runs static Pods alone; its client is not used.
    """

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
        self.informers = Informers(client)
        self.recorder = EventRecorder(client, "kubelet", host=settings.node_name)
        self.node = NodeReporter(client, runtime, settings, clock, self.recorder)
        self._nodes = self.informers.of(core_v1.Node, fields=f"metadata.name={settings.node_name}")
        self._in_api = self.informers.of(core_v1.Pod, fields=f"spec.nodeName={settings.node_name}")
        self._client = client
        self._clock = clock
        self._events = events
        self._began = clock.now()
        self._registration = registration or Registration()
        self._lease = NodeLease(client, settings.node_name, clock, settings.config.node_lease_duration_seconds)
        self._sources = sources = ApiSources(client, self.informers, settings.node_name, self._stale)
        reporter = Reporter(client, clock)
        statuses = Statuses(reporter)
        cgroups = cgroups or PodCgroups(settings.cgroup_root, rules=tree_rules(settings.config))
        self._puller = Puller(runtime, sources, clock, _pull_rules(settings))
        self._volumes = self._make_volumes()
        stores = Stores(sources, self._puller, self._volumes, cgroups, self.facts, lambda: self.node.handlers)
        self._allocations = Allocations(settings.root)
        self._resizes = Resizes(self._around_resizes(), clock)
        tools = Tools(
            runtime=runtime,
            sources=sources,
            puller=self._puller,
            volumes=self._volumes,
            cgroups=cgroups,
            reporter=statuses,
            events=self.recorder,
            hooks=Hooks(runtime, clock),
            maker=Maker(stores, settings),
            allocations=self._allocations,
            resizer=Resizer(runtime, cgroups, self._allocations, self._resizes, settings),
            network=lambda: self.node.health.network,
        )
        self._executor = Executor(tools, settings, clock)
        parts = Parts(runtime, self._executor, statuses, cgroups, self._allocations, self.host, self._fresh_host)
        self.table = Pods(parts, settings, clock)
        self._refresh = VolumeRefresh(self._volumes, self.table.workers, sources, self._tell_worker, clock)
        self.table.listeners.append(self._refresh.pod_changed)
        self._groups = NodeGroups(cgroups, settings.config, self.table.admitted, self.recorder, clock)
        self.table.listeners.append(lambda *_: self._groups.wake())
        self.table.listeners.append(self._resizes.changed)
        self.table.gone.append(self._resizes.gone)
        reader = reader_of(settings.node_name, NoRules(), clock)
        self._static = StaticPods(self.table, runtime, settings.config, reader, clock)
        statuses.ended, statuses.taken_up = self._static.ended, self.table.taken_up
        self._mirrors = Mirrors(client, self._in_api, self._static, statuses, reporter, self.node)
        self.table.gates.append(lambda pod, _: refuse_apparmor(pod))
        self._huge_pages = cgroups.limits_huge_pages
        self._garbage = ImageGarbage(runtime, settings, self.recorder, clock)
        self._garbage.mounted = lambda: mounted_images(self.pods())
        self._garbage.present = self._puller.records.forget_all_but
        self.eviction = EvictionManager(self._around_eviction(cgroups), settings, clock)
        self.node.pressures = lambda: self.eviction.pressures
        self.shutdown = self._make_shutdown()
        self.figures = self._make_figures(cgroups)
        self._watch = RuntimeWatch(self.table, runtime, cgroups, settings, clock)
        self.table.in_runtime = self._watch.may_have
        self._rotation = LogRotation(runtime, self.table.running_containers, settings.config, clock)

    def _make_figures(self, cgroups: PodCgroups) -> Figures:
        def workers() -> tuple[PodWorker, ...]:
            return tuple(self.table.workers.values())

        figures = Figures(self.settings, self.runtime, cgroups, self.table.uses, workers, self._clock)
        figures.volumes = self._volumes.totals
        return figures

    def _make_volumes(self) -> Volumes:
        volumes = Volumes(self.settings.root, self._sources, self._clock, self.facts, self._warn)
        volumes.images = ImageVolumes(self._puller, self.runtime, self._event, self._clock)
        self.node.volumes_in_use = volumes.in_use
        return volumes

    def _around_resizes(self) -> resize.Around:
        async def save(uid: str) -> None:
            with Guard(f"resources of {uid}"):
                await asyncio.to_thread(self._allocations.save, uid)

        return resize.Around(
            allocations=self._allocations,
            host=self.host,
            admitted=lambda uid: self.table.admitted(uid),
            workers=lambda: self.table.living(),
            asked=lambda uid: self.table.asked(uid),
            events=self.recorder,
            later=lambda uid: self.table.later(save(uid), f"resources of {uid}"),
            given=lambda: self._groups.wake(),
        )

    def _around_eviction(self, cgroups: PodCgroups) -> Around:
        settings, table = self.settings, self.table

        def places(worker: PodWorker) -> PodPlaces:
            pod = worker.pod
            assert pod is not None
            volumes = {v.name: self._volumes.path(pod, v) for v in pod.spec.volumes if on_disk(v)}
            return PodPlaces(pod, cgroups.parent(pod), log_folder(settings, pod), volumes, worker.observed.running)

        async def dead() -> None:
            await remove_dead(table.workers.values(), self.runtime, settings.container_logs)

        return Around(
            runtime=self.runtime,
            readings=Readings(cgroups, settings.root, settings.memory),
            events=self.recorder,
            workers=table.living,
            places=places,
            evict=table.evict,
            remove_dead=dead,
            remove_images=self._garbage.remove_unused,
            changed=self.node.wake,
        )

    def _make_shutdown(self) -> NodeShutdown:
        about = self.settings.node_reference
        around = shutdown.Around(
            workers=self.table.living,
            evict=self.table.evict,
            tell=lambda message: self.recorder.event(about, "Normal", "Shutdown", message),
            changed=self.node.wake,
            note=partial(shutdown.note_in, self.settings.root),
        )
        made = NodeShutdown(around, self.settings.config, self._clock)
        self.node.unready = made.unready
        self.table.gates.insert(0, made.gate)
        return made

    def _stale(self, uid: str) -> None:
        self._refresh.mark(uid)

    def _warn(self, pod: core_v1.Pod, reason: str, message: str) -> None:
        self._event(pod, "Warning", reason, message)

    def _event(self, pod: core_v1.Pod, kind: str, reason: str, message: str) -> None:
        self.recorder.event(reference(pod), cast(Literal["Normal", "Warning"], kind), reason, message)

    def _tell_worker(self, worker: PodWorker, reason: str, message: str) -> None:
        self._executor.tell(worker, "", "Warning", reason, message)

    def facts(self) -> Facts:
        """What containers may know of the node."""
        return Facts(self.settings.node_ips, self.node.allocatable())

    def host(self, node: core_v1.Node | None = None) -> Host:
        """The node as admission sees it."""
        node = node or self._nodes.cache.get(Key("", self.settings.node_name)) or self.node.node
        return Host(
            name=self.settings.node_name,
            allocatable=self.node.allocatable(),
            labels=node.metadata.labels if node is not None else node_labels(self.settings),
            taints=node.spec.taints if node is not None else (),
            sysctls=self.settings.config.allowed_unsafe_sysctls,
            strict_groups=self.node.groups_policy,
            pressures=self.eviction.pressures,
            huge_pages=self._huge_pages,
            features=DECLARED,
        )

    async def _fresh_host(self) -> Host:
        try:
            return self.host(await self._client.of(core_v1.Node).get(self.settings.node_name))
        except (ApiError, OSError) as error:
            log.warning("cannot read the node's labels error=%s", error)
            return self.host()

    def read_manifests(self, rules: PodRules) -> None:
        """Static Pods are judged by these rules; to be called before run(). Without them manifests are refused."""
        self._static.reader = reader_of(self.settings.node_name, rules, self._clock)

    async def run(self) -> None:
        """Runs the node's Pods until cancelled."""
        await asyncio.to_thread(_make_root, self.settings.root)
        await asyncio.to_thread(self._allocations.load)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.table.run(), name="kubelet.pods")
                group.create_task(self._run_groups(), name="kubelet.cgroups")
                group.create_task(self._static.run(), name="kubelet.static-pods")
                group.create_task(self._take_up(), name="kubelet.sources")
                group.create_task(self._run_node(), name="kubelet.node")
                if self.settings.standalone:
                    group.create_task(self.recorder.log(), name="kubelet.events")
                else:
                    group.create_task(self.informers.run(), name="kubelet.informers")
                    group.create_task(self.recorder.run(), name="kubelet.events")
                    group.create_task(self._run_lease(), name="kubelet.lease")
                    group.create_task(self._mirrors.run(), name="kubelet.mirrors")
                group.create_task(self._watch.relist(), name="kubelet.relist")
                group.create_task(self._sources.run(), name="kubelet.followed")
                group.create_task(self._refresh.run(), name="kubelet.volumes")
                group.create_task(self._rotation.run(), name="kubelet.logs")
                group.create_task(self.figures.run(), name="kubelet.figures")
                group.create_task(self.eviction.run(), name="kubelet.eviction")
                group.create_task(self._garbage.run(), name="kubelet.images")
                group.create_task(self._resizes.run(), name="kubelet.resizes")
                group.create_task(self.shutdown.run(), name="kubelet.shutdown")
                if self._events is not None:
                    group.create_task(self._watch.follow(self._events), name="kubelet.runtime-events")
        finally:
            await self._puller.close()

    async def _run_node(self) -> None:
        registration = self._registration
        if self.settings.standalone:
            await self.node.watch(self.table.wake_all)
        self._nodes.on_change(self.node.seen)
        await self.node.run(registration.taints, dict(registration.labels), self.table.wake_all)

    async def _run_lease(self) -> None:
        await self.node.registered.wait()
        await self._lease.run()

    async def _run_groups(self) -> None:
        await self._groups.run(self.settings.node_reference, capacity(self.node.machine(), self.settings.config))

    async def _take_up(self) -> None:
        """Takes up Pods once it is known which there are, so that no orphan is made of a Pod that is only late.

        Static Pods wait for nobody: they are there before the API server is, which may be one of them.
        """
        await self._static.complete.wait()
        if not self.settings.standalone:
            await self.informers.synced()
            self._in_api.on_change(self._api_changed)
        self.table.complete.set()

    def _api_changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        """A Pod of the API; a mirror among them only shows what runs already."""
        for pod in (old, new):
            if pod is not None and is_mirror(pod):
                self._mirrors.changed(name_of(pod))
        old, new = (None if pod is None or is_mirror(pod) else pod for pod in (old, new))
        if old is not None or new is not None:
            self.table.changed(old, new)

    # -- for the API on port 10250 -------------------------------------------------------------------------------------

    @property
    def workers(self) -> Mapping[str, PodWorker]:
        """By uid."""
        return self.table.workers

    def pods(self) -> Iterable[core_v1.Pod]:
        """The Pods of this node with their newest status."""
        return self.table.all()

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """The live Pod of that name."""
        return self.table.find(namespace, name, self._mirrors.static_uid(uid) if uid else "")

    def config(self) -> Mapping[str, Any]:
        """The effective configuration, for /configz."""
        return configuration_file.encode(self.settings.config)

    def looked(self) -> float:
        """When the runtime last told all it has, on the clock's monotonic time."""
        return self._watch.looked


def _make_root(root: Path) -> None:
    root.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        mounts.share(root)
    except PermissionError as error:
        log.warning("mounts cannot travel into containers root=%s error=%s", root, error)


def _pull_rules(settings: Settings) -> PullRules:
    config = settings.config
    return PullRules(
        root=settings.root,
        parallel=1 if config.serialize_image_pulls else config.max_parallel_image_pulls,
        rate=float(config.registry_pull_qps),
        burst=config.registry_burst,
        verification=config.image_pull_credentials_verification_policy or PRELOADED,
        allowlist=config.preloaded_images_verification_allowlist,
        providers=settings.credential_providers,
    )
