"""Watches the node and ends Pods when something runs short, or when one has taken more local storage than it may.

kubelet.py runs it. What is short is decided in signals.py, who goes in ranking.py and storage.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.kubelet.cri.model import RuntimeRefused, RuntimeUnavailable, StorageRuntime
from pybernetes.kubelet.eviction import ranking, signals, storage
from pybernetes.kubelet.eviction.ranking import PodUsage, Space
from pybernetes.kubelet.eviction.readings import PodPlaces, Readings
from pybernetes.kubelet.metrics import EVICTIONS
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.resources import is_critical
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.thresholds import Threshold, thresholds
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

_PERIOD = 10.0
_VOLUMES_PERIOD = 60.0
_CLEANED = 30.0
"""Seconds that an evicted Pod gets to be gone before the next look."""
_AT_ONCE = 1.0
"""Grace of what goes because of a hard threshold or of its own limit."""


@dataclass(frozen=True)
class Around:
    """Whom the manager works with."""

    runtime: StorageRuntime
    readings: Readings
    events: EventRecorder
    workers: Callable[[], Sequence[PodWorker]]
    places: Callable[[PodWorker], PodPlaces]
    evict: Callable[[str, Verdict], bool]
    remove_dead: Callable[[], Awaitable[object]]
    """Frees disk without harm to any Pod: dead containers and their logs."""
    remove_images: Callable[[], Awaitable[object]]
    """The same: images that nobody uses."""
    changed: Callable[[], None]
    """The node's conditions have changed."""


class EvictionManager:
    """`pressures` are the conditions of the node that hold now."""

    def __init__(self, around: Around, settings: Settings, clock: Clock) -> None:
        self.pressures: frozenset[str] = frozenset()
        self._around = around
        self._config = settings.config
        self._about = settings.node_reference
        self._clock = clock
        self._state = signals.Pressure()
        self._images: str | None = None
        self._dedicated = False
        self._thresholds: tuple[Threshold, ...] = ()
        period = settings.config.volume_stats_agg_period
        self._volume_period = period if period > 0 else _VOLUMES_PERIOD
        self._volumes: dict[str, tuple[float, Mapping[str, Space]]] = {}
        """What Pods with limits had in their volumes, and when that was measured."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="eviction.pressure")
            if self._config.local_storage_capacity_isolation:
                group.create_task(self._hold_to_limits(), name="eviction.limits")

    async def _watch(self) -> None:
        while True:
            went = None
            with Guard("eviction"):
                went = await self.look()
            if went is None:
                await self._clock.sleep(_PERIOD)
                continue
            try:
                async with asyncio.timeout(_CLEANED):
                    await went.clean.wait()
            except TimeoutError:
                log.warning("an evicted Pod is not gone yet pod=%s", went.ref)

    async def _layout(self) -> str:
        """Finds out once where images are, and so which thresholds there are."""
        if self._images is None:
            try:
                images = await self._around.runtime.image_folder()
            except (RuntimeRefused, RuntimeUnavailable) as error:
                log.warning("cannot ask where images are error=%s", error)
                images = ""
            self._dedicated = await asyncio.to_thread(self._around.readings.dedicated, images)
            enforced = self._config.enforce_node_allocatable
            self._thresholds = signals.complete(thresholds(self._config), enforced, self._dedicated)
            self._images = images or None
        return self._images or ""

    async def _observe(self) -> dict[str, signals.Observation]:
        images = await self._layout()
        return await asyncio.to_thread(self._around.readings.signals, images, self._clock.now())

    async def look(self) -> PodWorker | None:
        """One pass; the Pod that it has ended, at most one."""
        observed = await self._observe()
        now = self._clock.now()
        self._state = signals.look(self._state, self._thresholds, observed, now)
        holding = self._state.conditions(now, self._config.eviction_pressure_transition_period)
        if holding != self.pressures:
            log.warning("node conditions are now pressures=%s", sorted(holding))
            self.pressures = holding
            self._around.changed()
        if not self._state.act:
            return None
        threshold = self._state.act[0]
        short = signals.resource(threshold.signal)
        log.warning("short of resource=%s signal=%s", short, threshold.signal)
        self._around.events.event(self._about, "Warning", "EvictionThresholdMet", f"Attempting to reclaim {short}")
        if await self._reclaimed(threshold):
            return None
        return await self._evict_one(threshold, short)

    async def _reclaimed(self, threshold: Threshold) -> bool:
        """Whether enough could be freed without ending a Pod."""
        if signals.condition(threshold.signal) != signals.DISK_PRESSURE:
            return False
        with Guard("removal of dead containers"):
            await self._around.remove_dead()
        if not self._dedicated or not threshold.signal.startswith("nodefs."):  # else images are elsewhere
            with Guard("removal of unused images"):
                await self._around.remove_images()
        return not signals.met(self._thresholds, await self._observe(), reclaim=True)

    async def _evict_one(self, threshold: Threshold, short: str) -> PodWorker | None:
        # After a restart of the kubelet, what has not been looked at yet only seems to use nothing.
        workers = {w.ref.uid: w for w in self._around.workers() if w.observed.started is not None}
        pods = {uid: w.pod for uid, w in workers.items() if w.pod is not None}
        uses = {}
        for uid in pods:
            use = await self._use(workers[uid], disk=signals.condition(threshold.signal) == signals.DISK_PRESSURE)
            if use is not None:
                uses[uid] = use
        grace: float | None = _AT_ONCE
        if threshold.grace is not None:
            grace = self._config.eviction_max_pod_grace_period or None
        for pod in ranking.order(tuple(pods.values()), uses, threshold, dedicated=self._dedicated):
            uid = pod.metadata.uid
            said, notes = ranking.message(pod, uses.get(uid), self._state.act, self._state.observed, short)
            if self._end(pod, Verdict(ranking.REASON, said, grace, disruption=said), threshold.signal, notes):
                return workers[uid]
        log.error("short of %s, and no Pod may be evicted", short)
        return None

    async def _use(
        self, worker: PodWorker, *, disk: bool, volumes: Mapping[str, Space] | None = None
    ) -> PodUsage | None:
        """None of a Pod of which nothing runs. `volumes`: what is known of them already."""
        if not any(s.ready for s in worker.observed.sandboxes):
            return None
        places, readings = self._around.places(worker), self._around.readings
        if not disk:
            return await asyncio.to_thread(readings.memory, places)
        layers = await self._around.runtime.layers(worker.ref.uid)
        return await asyncio.to_thread(readings.disk, places, layers, volumes)

    def _end(self, pod: core_v1.Pod, verdict: Verdict, signal: str, notes: dict[str, str]) -> bool:
        if is_critical(pod):
            log.error("cannot evict a critical pod=%s/%s", pod.metadata.namespace, pod.metadata.name)
            return False
        if not self._around.evict(pod.metadata.uid, verdict):
            return False
        log.warning("evicting pod=%s/%s message=%s", pod.metadata.namespace, pod.metadata.name, verdict.message)
        self._around.events.event(pod, "Warning", verdict.reason, verdict.message, annotations=notes)
        EVICTIONS.add(signal)
        return True

    # -- limits of single Pods -----------------------------------------------------------------------------------------

    async def _hold_to_limits(self) -> None:
        """Measures Pods whose local storage is limited, and no others: it costs a walk through their folders. Those of
        volumes may be large: they are measured once in volumeStatsAggPeriod."""
        while True:
            await self._clock.sleep(min(_PERIOD, self._volume_period))
            workers = self._around.workers()
            for worker in workers:
                with Guard(f"local storage of {worker.ref}", quiet=_away):
                    await self.check(worker)
            there = {worker.ref.uid for worker in workers}
            self._volumes = {uid: seen for uid, seen in self._volumes.items() if uid in there}

    async def check(self, worker: PodWorker) -> None:
        """Ends the Pod if it is over a limit of its own. Raises RuntimeRefused, RuntimeUnavailable."""
        pod = worker.pod
        if pod is None or not storage.limited(pod) or not worker.observed.running:
            return
        await self._layout()
        at, volumes = self._volumes.get(worker.ref.uid, (0.0, None))
        now = self._clock.monotonic()
        fresh = volumes is None or now - at >= self._volume_period
        use = await self._use(worker, disk=True, volumes=None if fresh else volumes)
        if use is not None and fresh:
            self._volumes[worker.ref.uid] = now, use.volumes
        over = storage.excess(pod, use, dedicated=self._dedicated) if use is not None else None
        if over is not None:
            signal, said = over
            self._end(pod, Verdict(ranking.REASON, said, _AT_ONCE), signal, {})


def _away(error: Exception) -> bool:
    """The runtime is away or busy: the next round measures again."""
    return isinstance(error, RuntimeRefused | RuntimeUnavailable)
