"""What the runtime has to say: its event stream, a relist as the net below it, and what is left of Pods nobody knows.

pods.py has the workers that are woken. kubelet.py runs it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from pybernetes.aio.clock import Clock
from pybernetes.client.guard import Guard
from pybernetes.kubelet import metrics
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.events import RuntimeEvent
from pybernetes.kubelet.cri.model import PodRef, PodRuntime, RuntimeRefused, RuntimeUnavailable, State
from pybernetes.kubelet.log_links import remove_dead
from pybernetes.kubelet.pods import Pods
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

_RELIST = 5.0
"""Seconds between looks at all of the runtime: the event stream tells sooner, this catches what it lost."""
_RECONNECT = 1.0


class EventSource(Protocol):
    """The runtime's own events: cri.events.EventSource."""

    def stream(self) -> AsyncIterator[RuntimeEvent]:
        """Until the runtime goes away. Raises RuntimeUnavailable, RuntimeRefused."""


class RuntimeWatch:
    """Wakes workers, and finds orphans once the table is complete."""

    def __init__(self, pods: Pods, runtime: PodRuntime, cgroups: PodCgroups, settings: Settings, clock: Clock) -> None:
        self._pods = pods
        self._runtime = runtime
        self._cgroups = cgroups
        self._settings = settings
        self._clock = clock
        self._owners: dict[str, PodRef] = {}
        self._looked = False
        self.looked = clock.monotonic()
        """When the runtime last told all it has; /healthz goes by it."""

    async def follow(self, source: EventSource) -> None:
        """Wakes the worker of each container that containerd tells of."""
        while True:
            try:
                async for event in source.stream():
                    for worker in self._concerned(event.container):
                        if event.exit is not None:
                            worker.ended(event.container, event.exit)
                        else:
                            worker.wake()
            except RuntimeRefused as refused:
                log.warning("no event stream, relisting only error=%s", refused.message)
                return
            except RuntimeUnavailable as away:
                log.info("lost the event stream error=%s", away)
            await self._clock.sleep(_RECONNECT)
            self._pods.wake_all()

    def _concerned(self, container: str) -> list[PodWorker]:
        """The worker of a container or sandbox; its own observation knows what no relist has shown yet."""
        owner = self._worker(container)
        if owner is not None:
            return [owner]
        every = list(self._pods.workers.values())
        found = [w for w in every if w.knows(container)]
        return found or [w for w in every if w.starting]

    def _worker(self, id: str) -> PodWorker | None:
        owner = self._owners.get(id)
        return None if owner is None else self._pods.workers.get(owner.uid)

    async def relist(self) -> None:
        """Finds what the events did not tell, and, as soon as all sources have told of theirs, Pods that nobody knows."""
        async with asyncio.TaskGroup() as group:
            looks = group.create_task(self._repeat(self._look), name="kubelet.relist.early")
            await self._pods.complete.wait()
            looks.cancel()
            await self._repeat(self._look_and_sweep)

    async def _repeat(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            with Guard("relist") as guard:
                await look()
            await self._clock.sleep(_RELIST if guard.error is None else _RECONNECT)

    async def _look_and_sweep(self) -> None:
        await self._look()
        for ref in self._owners.values():
            self._pods.orphan(ref)
        await self._sweep()

    async def _look(self) -> None:
        began, before = self._clock.monotonic(), self.looked
        sandboxes, containers = await self._runtime.sandboxes(), await self._runtime.containers()
        self.looked = self._clock.monotonic()
        metrics.RELIST_SECONDS.observe(self.looked - began)
        metrics.RELIST_INTERVAL.observe(self.looked - before)
        states: dict[str, dict[str, State]] = {}
        for sandbox in sandboxes:
            states.setdefault(sandbox.pod.uid, {})[sandbox.id] = State.RUNNING if sandbox.ready else State.EXITED
        for container in containers:
            states.setdefault(container.pod.uid, {})[container.id] = container.state
        self._owners = {s.id: s.pod for s in sandboxes if s.pod.uid} | {c.id: c.pod for c in containers if c.pod.uid}
        self._looked = True
        for uid, worker in self._pods.workers.items():
            if worker.states() != states.get(uid, {}):
                worker.wake()

    def may_have(self, uid: str) -> bool:
        """Whether there may be something of a Pod in the runtime."""
        return not self._looked or any(ref.uid == uid for ref in self._owners.values())

    async def _sweep(self) -> None:
        """Cgroups, volumes and logs of Pods that neither the runtime nor a source knows. With every relist: a start that
        was called off (this process or containerd killed) may leave something seconds after the first look."""
        for uid in await asyncio.to_thread(self._leftovers):
            # Asked after the look at the disk: a Pod that came meanwhile has a worker.
            if not self._pods.knows(uid):
                self._pods.orphan(PodRef("", "", uid))

    def _leftovers(self) -> set[str]:
        """UIDs of Pods that still have a cgroup, a folder or logs. Dead links to logs go at once."""
        remove_dead(self._settings.container_logs)
        folders = {folder.name for folder in (self._settings.root / "pods").glob("*")}
        logs = {folder.name.rpartition("_")[2] for folder in self._settings.logs.glob("*_*_*")}
        return self._cgroups.known() | folders | logs
