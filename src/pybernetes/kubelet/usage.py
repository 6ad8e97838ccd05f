"""What a cgroup, a process, a network and a file system use, from the kernel's files (cgroups v1 and v2). Blocking.

server/meter.py samples it, server/summary.py shows it.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

_NANO = 1_000_000_000
NO_LIMIT = 1 << 62
"""From here on a limit of memory is none."""


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
    cache: int | None = None
    swap: int | None = None
    limit: int | None = None
    """Of memory; None: none."""
    processes: int | None = None


class Interface(Struct, frozen=True):
    """One network interface: bytes, packets, errors and dropped packets since it was made."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Disk(Struct, frozen=True):
    """A file system, bytes and inodes."""

    capacity: int
    available: int
    used: int
    inodes: int
    inodes_free: int


def read_usage(folders: Iterable[Path]) -> Usage:
    """Usage of the group whose folders in each hierarchy are given."""
    cpu = memory = swap = limit = processes = None
    stat: Mapping[str, int] = {}
    for folder in folders:
        if cpu is None:
            cpu = _number(folder / "cpuacct.usage")
        if cpu is None:
            spent = _table(folder / "cpu.stat").get("usage_usec")
            cpu = None if spent is None else spent * 1000
        for usage, most in (("memory.usage_in_bytes", "memory.limit_in_bytes"), ("memory.current", "memory.max")):
            if memory is None and (memory := _number(folder / usage)) is not None:
                stat, limit = _table(folder / "memory.stat"), _number(folder / most)
                swap = _number(folder / "memory.swap.current")
        if processes is None:
            processes = _number(folder / "pids.current")
    droppable = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return Usage(
        cpu=cpu,
        memory=memory,
        working_set=None if memory is None else max(0, memory - droppable),
        rss=stat.get("total_rss", stat.get("anon")),
        faults=stat.get("total_pgfault", stat.get("pgfault")),
        major_faults=stat.get("total_pgmajfault", stat.get("pgmajfault")),
        cache=stat.get("total_cache", stat.get("file")),
        swap=stat.get("total_swap", swap),
        limit=None if limit is None or limit >= NO_LIMIT else limit,
        processes=processes,
    )


def read_process_usage(pid: int, proc: Path = Path("/proc")) -> Usage:
    """Usage of one process; nothing is known of one that has ended."""
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        resident, shared = (int(field) for field in (proc / str(pid) / "statm").read_text().split()[1:3])
    except OSError:
        return Usage()
    page = os.sysconf("SC_PAGE_SIZE")
    ticks = int(fields[11]) + int(fields[12])
    return Usage(
        cpu=ticks * _NANO // os.sysconf("SC_CLK_TCK"),
        memory=resident * page,
        working_set=resident * page,
        rss=(resident - shared) * page,
        faults=int(fields[7]),
        major_faults=int(fields[9]),
    )


def read_network(pid: int | str = "self", proc: Path = Path("/proc")) -> tuple[Interface, ...]:
    """The interfaces that a process sees, without the loopback; none of one that has ended."""
    try:
        lines = (proc / str(pid) / "net/dev").read_text().splitlines()[2:]
    except OSError:
        return ()
    found = []
    for line in lines:
        name, _, numbers = line.partition(":")
        fields = [int(field) for field in numbers.split()]
        if name.strip() != "lo":
            found.append(Interface(name.strip(), *fields[:4], *fields[8:12]))
    return tuple(found)


def default_interface(proc: Path = Path("/proc")) -> str:
    """The interface of the default route; empty where there is none."""
    for line in (proc / "net/route").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000":
            return fields[0]
    return ""


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
        cache=known.get("Cached") if found.cache is None else found.cache,
        swap=known.get("SwapTotal", 0) - known.get("SwapFree", 0),
        limit=total,
    )


def swap_capacity(proc: Path = Path("/proc")) -> int:
    """Bytes of swap that the machine has."""
    return _meminfo(proc).get("SwapTotal", 0)


def read_processes(proc: Path = Path("/proc")) -> tuple[int, int]:
    """(most processes there may be, how many there are): threads count, as the kernel counts them."""
    most = min(int((proc / "sys/kernel" / name).read_text()) for name in ("pid_max", "threads-max"))
    return most, int((proc / "loadavg").read_text().split()[3].partition("/")[2])


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
