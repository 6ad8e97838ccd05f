"""The cgroup tree of Pods: /kubepods[/burstable|/besteffort]/pod<uid>, in every hierarchy. Runtimes put containers below.

The Pod's group is made before its sandbox and removed after it: runc leaves it behind in all hierarchies.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kernel.cgroups import Cgroup, Hierarchy, hierarchies
from pybernetes.kubelet import resources
from pybernetes.kubelet.cgroup_details import Details, read_details
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.usage import Usage, read_usage
from pybernetes.rules.qos import qos_class
from pybernetes.rules.requests import CPU, MEMORY, pod_requests

log = logging.getLogger(__name__)

_PARENTS = {resources.BURSTABLE: "/burstable", resources.BEST_EFFORT: "/besteffort", resources.GUARANTEED: ""}
_KILL_TIMEOUT = 2.0
_COUNTING = {"cpuacct", "memory", "pids"}
_UNLIMITED_V2 = "max"
_ABSURD = 1 << 60


class TreeRules(Struct, frozen=True):
    """What the configuration says of every Pod's group. `pids` below 1 is no limit (podPidsLimit)."""

    cpu: resources.CpuRules = resources.CpuRules()
    pids: int = -1


def tree_rules(config: Configuration) -> TreeRules:
    """What the configuration says."""
    return TreeRules(resources.cpu_rules(config), config.pod_pids_limit)


class PodCgroups:
    """The tree below `root` ("/" on a machine of its own). Blocking: call it in a thread."""

    def __init__(
        self,
        root: str = "/",
        within: tuple[Hierarchy, ...] | None = None,
        rules: TreeRules = TreeRules(),  # noqa: B008  # a frozen value
    ) -> None:
        self._base = "/" + root.strip("/")
        self._root = self._base.rstrip("/") + "/kubepods"
        self._within = hierarchies() if within is None else within
        # A hybrid machine has a dozen: what counts something is read from three.
        counting = tuple(h for h in self._within if h.version == 2 or {*h.controllers} & _COUNTING)
        self._counting = counting or self._within
        self._rules = rules

    @property
    def root(self) -> str:
        """The group of all Pods."""
        return self._root

    @property
    def limits_huge_pages(self) -> bool:
        """Whether the hugetlb controller holds Pods to their huge pages."""
        if any("hugetlb" in h.controllers for h in self._within):
            return True
        if any(h.version == 1 for h in self._within):
            return False  # hybrid: Pods' groups of v2 have no controllers
        files = (h.root / "cgroup.controllers" for h in self._within)
        return any(file.exists() and "hugetlb" in file.read_text().split() for file in files)

    def parent(self, pod: core_v1.Pod) -> str:
        """The Pod's group: what the sandbox gets as its cgroup parent."""
        # The class never changes, not even when requests and limits do.
        return f"{self._root}{_PARENTS[pod.status.qosClass or qos_class(pod)]}/pod{pod.metadata.uid}"

    def create(self, pod: core_v1.Pod) -> None:
        """Makes the Pod's group with its limits. Raises OSError."""
        group = Cgroup(self.parent(pod), self._within)
        group.create()
        folders = group.folders()
        _set(folders, resources.pod_limits(pod, self._rules.cpu), self._rules.cpu.period)
        if self._rules.pids > 0:
            _write_all(folders, "pids.max", self._rules.pids)

    def resize(self, path: str, limits: resources.Limits) -> None:
        """Sets a Pod's group anew; what has no limit any more loses it. Raises OSError."""
        folders = Cgroup(path, self._within).folders()
        _set(folders, limits, self._rules.cpu.period)
        if limits.cpu_quota is None:
            _set_quota(folders, resources.UNLIMITED, self._rules.cpu.period)
        if limits.memory is None:
            for folder in folders:
                _write(folder / "memory.limit_in_bytes", resources.UNLIMITED)
                _write(folder / "memory.max", _UNLIMITED_V2)

    def actual(self, path: str) -> resources.Actual:
        """The limits of a container's group, as the kernel has them."""
        quota, period = (self._read(path, "cpu.cfs_quota_us"), self._read(path, "cpu.cfs_period_us"))
        if not quota:
            quota, _, period = self._read(path, "cpu.max").partition(" ")
        shares = self._read(path, "cpu.shares")
        return resources.Actual(
            cpu_shares=int(shares) if shares else 0,
            cpu_quota=max(0, int(quota)) if quota.removeprefix("-").isdigit() else 0,
            cpu_period=int(period or 0),
            memory=_limit(self.memory_limit(path)),
        )

    def update_classes(self, pods: Iterable[core_v1.Pod]) -> None:
        """Gives burstable Pods together the CPU shares that they request, and the others of best effort the least there is.

        `pods` are all that run. Raises OSError.
        """
        milli = sum(pod_requests(pod).get(CPU, 0) for pod in pods if qos_class(pod) == resources.BURSTABLE)
        for name, cpu_shares in (("burstable", resources.shares(milli)), ("besteffort", resources.LEAST_SHARES)):
            group = Cgroup(f"{self._root}/{name}", self._within)
            group.create()
            _set_shares(group.folders(), cpu_shares)

    def enforce(self, amounts: Mapping[str, int]) -> None:
        """Holds all Pods together to what the node has for them (enforceNodeAllocatable: pods). Raises OSError."""
        group = Cgroup(self._root, self._within)
        group.create()
        _reserve(group.folders(), amounts)

    def enforce_on(self, path: str, amounts: Mapping[str, int]) -> None:
        """Holds the daemons of an existing group to what is reserved for them. Raises OSError."""
        group = Cgroup(f"{self._base}/{path.strip('/')}", self._within)
        if not any(folder.is_dir() for folder in group.folders()):
            raise FileNotFoundError(f"cgroup {path!r} does not exist")
        _reserve(group.folders(), amounts)

    def remove(self, uid: str) -> bool:
        """Removes the group of a Pod whose sandboxes have ended, whatever its QoS was; False while a process holds it.

        What still runs in it is of a start that was called off in the middle, and the runtime does not know it: killed.
        """
        clean = True
        for parent in _PARENTS.values():
            group = Cgroup(f"{self._root}{parent}/pod{uid}", self._within)
            for pid in group.processes():
                log.warning("killing what is left of a Pod uid=%s pid=%s", uid, pid)
            clean &= group.kill(_KILL_TIMEOUT) and group.remove()
        return clean

    def usage(self, path: str) -> Usage:
        """What the group of that path uses."""
        return read_usage(Cgroup(path, self._counting).folders())

    def details(self, path: str) -> Details:
        """What dashboards show of the group of that path besides."""
        return read_details(Cgroup(path, self._within).folders(), processes=path != "/")

    def some_process(self, path: str) -> int | None:
        """A process of the group of that path; None where it has none."""
        first = self._read(path, "cgroup.procs").split("\n", 1)[0]
        return int(first) if first.isdecimal() else None

    def processes(self, path: str) -> int:
        """How many threads the group and those below it have, as its pids controller counts; 0 where there is none."""
        return int(self._read(path, "pids.current") or 0)

    def memory_limit(self, path: str) -> int | None:
        """Bytes that the group may use; None without a limit."""
        text = self._read(path, "memory.limit_in_bytes") or self._read(path, "memory.max")
        return int(text) if text.isdigit() else None

    def _read(self, path: str, name: str) -> str:
        for folder in Cgroup(path, self._counting).folders():
            with suppress(OSError):
                return (folder / name).read_text().strip()
        return ""

    def node_folders(self) -> list[Path]:
        """The node's own group, which holds everything, in each hierarchy."""
        return [hierarchy.root for hierarchy in self._counting]

    def known(self) -> set[str]:
        """UIDs of the Pods that have a group."""
        found: set[str] = set()
        for hierarchy in self._within:
            for parent in _PARENTS.values():
                folder = Path(hierarchy.root, f"{self._root}{parent}".strip("/"))
                with suppress(FileNotFoundError):
                    found.update(f.name.removeprefix("pod") for f in folder.iterdir() if f.name.startswith("pod"))
        return found


def _limit(memory: int | None) -> int:
    """v1 writes a number of about 2^63 where there is no limit."""
    return 0 if memory is None or memory > _ABSURD else memory


def _set(folders: Iterable[Path], limits: resources.Limits, period: int) -> None:
    folders = list(folders)
    _set_shares(folders, limits.cpu_shares)
    if limits.cpu_quota is not None:
        _set_quota(folders, limits.cpu_quota, period)
    if limits.memory is not None:
        _set_memory(folders, limits.memory)
    for size, most in limits.huge_pages.items():
        _write_all(folders, f"hugetlb.{size}.limit_in_bytes", most)
        _write_all(folders, f"hugetlb.{size}.max", most)


def _set_shares(folders: Iterable[Path], cpu_shares: int) -> None:
    for folder in folders:
        _write(folder / "cpu.shares", cpu_shares)
        _write(folder / "cpu.weight", resources.weight(cpu_shares))


def _set_quota(folders: Iterable[Path], quota: int, period: int) -> None:
    for folder in folders:
        _write(folder / "cpu.cfs_period_us", period)
        _write(folder / "cpu.cfs_quota_us", quota)
        _write(folder / "cpu.max", f"{_UNLIMITED_V2 if quota < 0 else quota} {period}")


def _set_memory(folders: Iterable[Path], most: int) -> None:
    for folder in folders:
        _write(folder / "memory.limit_in_bytes", most)
        _write(folder / "memory.max", most)


def _reserve(folders: Iterable[Path], amounts: Mapping[str, int]) -> None:
    """Limits of a group of many: CPU is shared by weight, never cut."""
    folders = list(folders)
    if amounts.get(CPU):
        _set_shares(folders, resources.shares(amounts[CPU]))
    if amounts.get(MEMORY):
        _set_memory(folders, amounts[MEMORY])
    if amounts.get("pid"):
        _write_all(folders, "pids.max", amounts["pid"])


def _write_all(folders: Iterable[Path], name: str, value: int | str) -> None:
    for folder in folders:
        _write(folder / name, value)


def _write(file: Path, value: int | str) -> None:
    if file.exists():
        file.write_text(str(value))
