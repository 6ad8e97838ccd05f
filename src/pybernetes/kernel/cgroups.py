"""Control groups, v1, hybrid and v2: a group of one name in every hierarchy. See cgroups(7).

Used by the node sandbox (a node's group is its whole machine) and by the kubelet (Pods below /kubepods).
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pybernetes.kernel import mounts
from pybernetes.kernel.processes import ProcessRef, kill_and_wait

_NOT_CONTROLLERS = ("rw", "ro", "xattr", "clone_children", "noprefix", "nsdelegate", "memory_recursiveprot")


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy. `controllers` of v2 is empty: a group says itself which it has."""

    root: Path
    version: int
    controllers: tuple[str, ...]

    @property
    def mount_options(self) -> str:
        """What mount(2) wants for the same hierarchy."""
        if any(c.startswith("name=") for c in self.controllers):
            return "none," + ",".join(self.controllers)
        return ",".join(self.controllers)


def hierarchies(table: Iterable[mounts.Mount] | None = None) -> tuple[Hierarchy, ...]:
    """What is mounted below /sys/fs/cgroup, in mount order."""
    found: dict[Path, Hierarchy] = {}
    for entry in mounts.table() if table is None else table:
        if not entry.target.startswith("/sys/fs/cgroup"):
            continue
        if entry.kind == "cgroup2":
            found[Path(entry.target)] = Hierarchy(Path(entry.target), 2, ())
        elif entry.kind == "cgroup":
            names = (o for o in entry.super_options if o not in _NOT_CONTROLLERS and not o.startswith("release_agent"))
            found[Path(entry.target)] = Hierarchy(Path(entry.target), 1, tuple(names))
    return tuple(found.values())


class Cgroup:
    """The group `path` ("pyb-demo/master") in all hierarchies."""

    def __init__(self, path: str, within: tuple[Hierarchy, ...] | None = None) -> None:
        self.path = path.strip("/")
        self._within = hierarchies() if within is None else within

    @property
    def pure_v2(self) -> bool:
        """Whether the machine has v2 alone; then a group has processes or controllers for its children, never both."""
        return all(h.version == 2 for h in self._within)

    def folders(self) -> list[Path]:
        """The group's folder in each hierarchy, there or not."""
        return [h.root / self.path for h in self._within]

    def create(self) -> None:
        """Makes the group and its parents. Raises OSError."""
        for hierarchy in self._within:
            folder = hierarchy.root
            for part in self.path.split("/"):
                if hierarchy.version == 2 and self.pure_v2:
                    enable_controllers(folder)
                parent, folder = folder, folder / part
                folder.mkdir(exist_ok=True)
                if "cpuset" in hierarchy.controllers:
                    _inherit_cpuset(parent, folder)

    def add(self, pid: int = 0) -> None:
        """Moves a process (0: the caller) into the group."""
        for folder in self.folders():
            (folder / "cgroup.procs").write_text(str(pid))

    def limit_memory(self, size: int) -> None:
        """The group's memory in bytes: a node's capacity."""
        for hierarchy in self._within:
            name = "memory.max" if hierarchy.version == 2 else "memory.limit_in_bytes"
            file = hierarchy.root / self.path / name
            if file.exists():
                file.write_text(str(size))

    def processes(self) -> set[int]:
        """Pids in the group and below it."""
        found: set[int] = set()
        for folder in self.folders():
            for group in _tree(folder):
                with suppress(OSError):
                    found.update(int(line) for line in (group / "cgroup.procs").read_text().split())
        return found - {0}

    def kill(self, timeout: float = 10.0) -> bool:
        """SIGKILL to everything in it until nothing is left; whether that was so in `timeout` seconds each."""
        for _ in range(50):
            pids = self.processes()
            if not pids:
                return True
            for pid in pids:
                with suppress(ProcessLookupError):
                    kill_and_wait(ProcessRef.of(pid), timeout)
        return not self.processes()

    def remove(self) -> bool:
        """Removes the group and everything below it; False where a process still holds one of them."""
        clean = True
        for folder in self.folders():
            for group in _tree(folder):
                try:
                    group.rmdir()
                except FileNotFoundError:
                    continue
                except OSError:
                    clean = False
        return clean


def enable_controllers(folder: Path) -> None:
    """v2: gives the children of `folder` every controller that it has."""
    have = (folder / "cgroup.controllers").read_text().split()
    for name in have:
        with suppress(OSError):  # a controller that cannot be given on (threaded groups, cpu with realtime tasks)
            (folder / "cgroup.subtree_control").write_text(f"+{name}")


def _inherit_cpuset(parent: Path, folder: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists() and not (folder / name).read_text().strip():
            (folder / name).write_text((parent / name).read_text())


def _tree(folder: Path) -> Iterator[Path]:
    """The folder and those below it, children first."""
    for path, _, _ in os.walk(folder, topdown=False):
        yield Path(path)
