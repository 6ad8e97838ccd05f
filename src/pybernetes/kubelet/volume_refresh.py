"""Keeps the files of volumes up to date: soon after a ConfigMap, Secret or the Pod itself has changed, and each minute.

mark() says that a Pod's volumes may be stale; each Pod is refreshed on its own, at most once at a time. What needs no
news to change (tokens become due) is seen by the pass over all. volume_manager.py writes.
"""

import asyncio
from collections.abc import Callable, Mapping

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.client.guard import Guard
from pybernetes.kubelet.pod_actions import Prepare
from pybernetes.kubelet.sources import ApiSources
from pybernetes.kubelet.volume import VolumeError
from pybernetes.kubelet.volume_manager import Volumes
from pybernetes.kubelet.worker import PodWorker

_FIRST = 3.0
"""Seconds after the start: by then it is known which Pods run, and what they use is followed again."""
_EVERY = 60.0


class VolumeRefresh:
    """One node's. `tell(worker, reason, message)` makes an event."""

    def __init__(
        self,
        volumes: Volumes,
        workers: Mapping[str, PodWorker],
        sources: ApiSources,
        tell: Callable[[PodWorker, str, str], None],
        clock: Clock,
    ) -> None:
        self._volumes = volumes
        self._workers = workers
        self._sources = sources
        self._tell = tell
        self._clock = clock
        self._stale: dict[str, None] = {}
        self._busy: set[str] = set()
        self._news = asyncio.Event()

    def mark(self, uid: str) -> None:
        """Something that the Pod's volumes show may have changed."""
        self._stale[uid] = None
        self._news.set()

    def pod_changed(self, worker: PodWorker, old: core_v1.Pod | None, new: core_v1.Pod) -> None:
        """Labels and annotations are in files of the downward API."""
        if old is not None and _shown(old) != _shown(new):
            self.mark(worker.ref.uid)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mark_all(), name="volumes.pass")
            while True:
                await self._news.wait()
                self._news.clear()
                ready = [uid for uid in self._stale if uid not in self._busy]
                for uid in ready:
                    del self._stale[uid]
                    self._busy.add(uid)
                    group.create_task(self._refresh(uid), name=f"volumes.refresh {uid}")

    async def _mark_all(self) -> None:
        await self._clock.sleep(_FIRST)
        while True:
            for uid, worker in tuple(self._workers.items()):
                if worker.observed.running:
                    self.mark(uid)
            self._sources.sweep()
            await self._clock.sleep(_EVERY)

    async def _refresh(self, uid: str) -> None:
        try:
            with Guard(f"refresh of the volumes of {uid}"):
                await self._refresh_now(uid)
        finally:
            self._busy.discard(uid)
            if uid in self._stale:
                self._news.set()

    async def _refresh_now(self, uid: str) -> None:
        worker = self._workers.get(uid)
        pod = worker.pod if worker is not None else None
        if worker is None or pod is None or pod.metadata.deletionTimestamp is not None:
            return
        if worker.retry(Prepare.name):
            return  # its volumes lacked something, and perhaps it is there now
        if not worker.observed.running and not self._volumes.has(uid):
            return
        try:
            await self._volumes.refresh(pod, tuple(ip.ip for ip in pod.status.podIPs))
        except VolumeError as error:
            for message in error.messages:
                self._tell(worker, "FailedMount", message)


def _shown(pod: core_v1.Pod) -> object:
    """What the downward API shows and others may change."""
    return pod.metadata.labels, pod.metadata.annotations
