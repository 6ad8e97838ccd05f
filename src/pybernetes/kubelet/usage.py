"""What a cgroup and a file system use, from the kernel's files of v1 and v2. server/stats.py shows it. Blocking."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

_NANO = 1_000_000_000


class Usage(Struct, frozen=True):
    """Of a group and all below it; bytes. None where the machine does not count it."""

    cpu: int | None = None
    """Nanoseconds of all CPUs, since the group was made."""
    memory: int | None = None
    working_set: int | None = None
    """Memory without what the kernel could drop at once: what eviction and autoscaling go by."""
    rss: int | None = None
    faults: int | None = None
    major_faults: int | None = None


class Disk(Struct, frozen=True):
    """A file system, bytes and inodes."""

    capacity: int
    available: int
    used: int
    inodes: int
    inodes_free: int


def read_usage(folders: Iterable[Path]) -> Usage:
    """Usage of the group whose folders in each hierarchy are given."""
    cpu = memory = None
    stat: Mapping[str, int] = {}
    for folder in folders:
        if cpu is None:
            cpu = _number(folder / "cpuacct.usage")
        if cpu is None:
            spent = _table(folder / "cpu.stat").get("usage_usec")
            cpu = None if spent is None else spent * 1000
        for name in ("memory.usage_in_bytes", "memory.current"):
            found = _number(folder / name)
            if memory is None and found is not None:
                memory, stat = found, _table(folder / "memory.stat")
    droppable = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return Usage(
        cpu=cpu,
        memory=memory,
        working_set=None if memory is None else max(0, memory - droppable),
        rss=stat.get("total_rss", stat.get("anon")),
        faults=stat.get("total_pgfault", stat.get("pgfault")),
        major_faults=stat.get("total_pgmajfault", stat.get("pgmajfault")),
    )


def read_machine_usage(folders: Iterable[Path], proc: Path = Path("/proc")) -> Usage:
    """Usage of the whole node: its root cgroup; what that does not count (v2), from /proc."""
    found = read_usage(folders)
    known = _meminfo(proc)
    total, free = known.get("MemTotal", 0), known.get("MemFree", 0)
    return Usage(
        cpu=_all_cpus(proc) if found.cpu is None else found.cpu,
        memory=total - free if found.memory is None else found.memory,
        working_set=total - known.get("MemAvailable", free) if found.working_set is None else found.working_set,
        rss=found.rss,
        faults=found.faults,
        major_faults=found.major_faults,
    )


def read_disk(path: Path) -> Disk:
    """The file system that holds `path`. Raises OSError."""
    found = os.statvfs(path)
    size = found.f_frsize
    return Disk(
        capacity=found.f_blocks * size,
        available=found.f_bavail * size,
        used=(found.f_blocks - found.f_bfree) * size,
        inodes=found.f_files,
        inodes_free=found.f_ffree,
    )


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _table(file: Path) -> dict[str, int]:
    """A file of lines `name number`."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _meminfo(proc: Path) -> dict[str, int]:
    lines = (proc / "meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def _all_cpus(proc: Path) -> int:
    """User, nice, system, irq, softirq and steal of all CPUs, see proc_stat(5)."""
    fields = [int(field) for field in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) * _NANO // os.sysconf("SC_CLK_TCK")
