"""DiskMeter: what lies on the node's disks, and whose it is: containers' own files and logs, volumes. summary.py shows it.

File systems and containers are read again after ten seconds, volumes after volumeStatsAggPeriod, and only when somebody asks;
a walk through volumes goes on beside the answer, which then has the figures of the walk before.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.client.guard import Guard
from pybernetes.kubelet.cri.model import Layer, Runtime, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.eviction.ranking import Space
from pybernetes.kubelet.eviction.storage import measure
from pybernetes.kubelet.server.meter import PodUse
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.names import log_folder
from pybernetes.kubelet.usage import Disk, read_disk

log = logging.getLogger(__name__)

_FRESH = 10.0


class VolumeUse(Struct, frozen=True):
    """What a volume holds, and the file system it is on."""

    name: str
    claim: str
    """Name of the PersistentVolumeClaim; empty for volumes that live with their Pod."""
    used: Space
    disk: Disk
    local: bool
    """It lies on the node's own file system, among the kubelet's files."""


class DiskSample(Struct, frozen=True):
    """`layers` by container id, `logs` by container id, `volumes` by uid; `volumes_at` is when those were read."""

    at: float
    taken: float
    node: Disk
    images: Disk
    layers: Mapping[str, Layer]
    logs: Mapping[str, Space]
    volumes: Mapping[str, Sequence[VolumeUse]] = {}
    volumes_at: float = 0.0


class DiskMeter:
    """`sample()` for everybody who asks; `run()` walks through volumes for it. `uses` tells which Pods run."""

    def __init__(
        self, settings: Settings, runtime: Runtime, uses: Callable[[], Sequence[PodUse]], clock: Clock
    ) -> None:
        self._uses = uses
        self._settings = settings
        self._runtime = runtime
        self._clock = clock
        self._last: DiskSample | None = None
        self._volumes: Mapping[str, Sequence[VolumeUse]] = {}
        self._walked_at = 0.0
        self._wanted = asyncio.Event()
        self._walked = asyncio.Event()
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled."""
        period = self._settings.config.volume_stats_agg_period
        while period >= 0:  # below, it is switched off
            await self._wanted.wait()
            self._wanted.clear()
            with Guard("volume figures"):
                uses = tuple(self._uses())
                self._volumes = await asyncio.to_thread(volumes_of, self._settings.root, uses)
                self._walked_at = self._clock.now()
            self._walked.set()
            await self._clock.sleep(period)

    async def sample(self, uses: Sequence[PodUse]) -> DiskSample:
        """The newest figures. Raises OSError."""
        self._wanted.set()
        async with self._lock:
            if self._last is None or self._clock.monotonic() - self._last.taken >= _FRESH:
                self._last = await self._read(uses)
        if self._settings.config.volume_stats_agg_period >= 0:
            await self._walked.wait()  # for the first time only
        return replace(self._last, volumes=self._volumes, volumes_at=self._walked_at)

    async def _read(self, uses: Sequence[PodUse]) -> DiskSample:
        folder, layers = "", dict[str, Layer]()
        try:
            folder = await self._runtime.image_folder()
            layers = dict(await self._runtime.layers(""))
        except (RuntimeUnavailable, RuntimeRefused) as error:
            log.info("the runtime does not tell what containers have on disk error=%s", error)
        root = self._settings.root
        node = await asyncio.to_thread(read_disk, root)
        images = await asyncio.to_thread(read_disk, Path(folder)) if folder else node
        logs = await asyncio.to_thread(self._logs, uses)
        return DiskSample(self._clock.now(), self._clock.monotonic(), node, images, layers, logs)

    def _logs(self, uses: Sequence[PodUse]) -> dict[str, Space]:
        found = {}
        for use in uses:
            folder = log_folder(self._settings, use.pod)
            for run in use.containers:
                found[run.id] = measure(folder / run.name)
        return found


def volumes_of(root: Path, uses: Sequence[PodUse]) -> dict[str, list[VolumeUse]]:
    """By uid. What the kubelet has no folder for (hostPath) is not measured. Blocking."""
    device = root.stat().st_dev
    found: dict[str, list[VolumeUse]] = {}
    for use in uses:
        folders = root / "pods" / use.ref.uid / "volumes"
        for volume in use.pod.spec.volumes:
            claim = volume.persistentVolumeClaim.claimName if volume.persistentVolumeClaim is not None else ""
            if volume.ephemeral is not None:
                claim = f"{use.ref.name}-{volume.name}"
            for folder in folders.glob(f"*/{volume.name}"):
                try:
                    disk, local = read_disk(folder), folder.stat().st_dev == device
                except OSError:
                    continue  # the Pod ends meanwhile
                used = measure(folder) if local else Space(disk.used, disk.inodes - disk.inodes_free)
                found.setdefault(use.ref.uid, []).append(VolumeUse(volume.name, claim, used, disk, local))
    return found
