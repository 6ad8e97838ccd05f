"""Reads what eviction goes by from the kernel: the node's memory, file systems and processes, and what Pods use. Blocking."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import Container, Layer
from pybernetes.kubelet.eviction.ranking import ContainerUse, PodUsage, Space
from pybernetes.kubelet.eviction.signals import ALLOCATABLE, MEMORY_AVAILABLE, PID_AVAILABLE, Observation
from pybernetes.kubelet.eviction.storage import measure, on_disk
from pybernetes.kubelet.usage import read_disk, read_machine_usage


class PodPlaces(Struct, frozen=True):
    """Where things of one Pod are. `containers` are those that run."""

    pod: core_v1.Pod
    group: str
    logs: Path
    volumes: Mapping[str, Path]
    containers: tuple[Container, ...]


class Readings:
    """Of one node. `memory` is its capacity in bytes, `root` the kubelet's folder."""

    def __init__(self, cgroups: PodCgroups, root: Path, memory: int, proc: Path = Path("/proc")) -> None:
        self._cgroups = cgroups
        self._root = root
        self._memory = memory
        self._proc = proc

    def dedicated(self, images: str) -> bool:
        """Whether images have a file system of their own."""
        return bool(images) and Path(images).stat().st_dev != self._root.stat().st_dev

    def signals(self, images: str, now: float) -> dict[str, Observation]:
        """Every signal that this machine has. `images` is a folder of the images' file system."""
        found = {}
        used = read_machine_usage(self._cgroups.node_folders(), self._proc).working_set or 0
        found[MEMORY_AVAILABLE] = Observation(max(0, self._memory - used), self._memory, now)
        limit = self._cgroups.memory_limit(self._cgroups.root)
        if limit is not None and limit <= self._memory:
            pods = self._cgroups.usage(self._cgroups.root).working_set or 0
            found[ALLOCATABLE] = Observation(max(0, limit - pods), limit, now)
        for name, folder in (("nodefs", self._root), ("imagefs", Path(images)), ("containerfs", Path(images))):
            if folder == Path():
                folder = self._root
            disk = read_disk(folder)
            found[f"{name}.available"] = Observation(disk.available, disk.capacity, now)
            if disk.inodes:  # some file systems make inodes as they need them
                found[f"{name}.inodesFree"] = Observation(disk.inodes_free, disk.inodes, now)
        most = min(self._number("sys/kernel/pid_max"), self._number("sys/kernel/threads-max"))
        running = int((self._proc / "loadavg").read_text().split()[3].partition("/")[2])
        found[PID_AVAILABLE] = Observation(most - running, most, now)
        return found

    def _number(self, name: str) -> int:
        return int((self._proc / name).read_text())

    def memory(self, places: PodPlaces) -> PodUsage:
        """What a Pod's processes have."""
        group = places.group
        uses = {
            run.name: ContainerUse(memory=self._cgroups.usage(f"{group}/{run.id}").working_set or 0)
            for run in places.containers
        }
        whole = self._cgroups.usage(group).working_set or 0
        return PodUsage(memory=whole, processes=self._cgroups.processes(group), containers=uses)

    def disk(
        self, places: PodPlaces, layers: Mapping[str, Layer], volumes: Mapping[str, Space] | None = None
    ) -> PodUsage:
        """What a Pod has on disk; `layers` by container id, `volumes` where they are known."""
        uses = {}
        for run in places.containers:
            layer = layers.get(run.id, Layer(0, 0))
            uses[run.name] = ContainerUse(root=Space(layer.size, layer.inodes), logs=measure(places.logs / run.name))
        if volumes is None:
            volumes = {v.name: measure(places.volumes[v.name]) for v in places.pod.spec.volumes if on_disk(v)}
        return PodUsage(containers=uses, volumes=volumes)
