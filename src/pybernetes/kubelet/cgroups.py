"""The cgroup tree of Pods: /kubepods[/burstable|/besteffort]/pod<uid>, in every hierarchy. Runtimes put containers below.

The Pod's group is made before its sandbox and removed after it: runc leaves it behind in all hierarchies.
"""

import logging
from contextlib import suppress
from pathlib import Path

from pybernetes.api.types import core_v1
from pybernetes.kernel.cgroups import Cgroup, Hierarchy, hierarchies
from pybernetes.kubelet import resources
from pybernetes.kubelet.usage import Usage, read_usage
from pybernetes.rules.qos import qos_class

log = logging.getLogger(__name__)

_PARENTS = {resources.BURSTABLE: "/burstable", resources.BEST_EFFORT: "/besteffort", resources.GUARANTEED: ""}
_PERIOD = 100_000
_KILL_TIMEOUT = 2.0


class PodCgroups:
    """The tree below `root` ("/" on a machine of its own). Blocking: call it in a thread."""

    def __init__(self, root: str = "/", within: tuple[Hierarchy, ...] | None = None) -> None:
        self._root = "/" + "/".join(part for part in (root.strip("/"), "kubepods") if part)
        self._within = hierarchies() if within is None else within

    def parent(self, pod: core_v1.Pod) -> str:
        """The Pod's group: what the sandbox gets as its cgroup parent."""
        return f"{self._root}{_PARENTS[qos_class(pod)]}/pod{pod.metadata.uid}"

    def create(self, pod: core_v1.Pod) -> None:
        """Makes the Pod's group with its limits. Raises OSError."""
        path = self.parent(pod)
        group = Cgroup(path, self._within)
        group.create()
        limits = resources.pod_limits(pod)
        for folder in group.folders():
            _write(folder / "cpu.shares", limits.cpu_shares)
            _write(folder / "cpu.weight", 1 + (limits.cpu_shares - 2) * 9999 // 262_142)
            if limits.cpu_quota is not None:
                _write(folder / "cpu.cfs_period_us", _PERIOD)
                _write(folder / "cpu.cfs_quota_us", limits.cpu_quota)
                _write(folder / "cpu.max", f"{limits.cpu_quota} {_PERIOD}")
            if limits.memory is not None:
                _write(folder / "memory.limit_in_bytes", limits.memory)
                _write(folder / "memory.max", limits.memory)

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
        return read_usage(Cgroup(path, self._within).folders())

    def node_folders(self) -> list[Path]:
        """The node's own group, which holds everything, in each hierarchy."""
        return [hierarchy.root for hierarchy in self._within]

    def known(self) -> set[str]:
        """UIDs of the Pods that have a group."""
        found: set[str] = set()
        for hierarchy in self._within:
            for parent in _PARENTS.values():
                folder = Path(hierarchy.root, f"{self._root}{parent}".strip("/"))
                with suppress(FileNotFoundError):
                    found.update(f.name.removeprefix("pod") for f in folder.iterdir() if f.name.startswith("pod"))
        return found


def _write(file: Path, value: int | str) -> None:
    if file.exists():
        file.write_text(str(value))
