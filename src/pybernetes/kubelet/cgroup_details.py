"""What dashboards show of a cgroup beyond its usage, from the kernel's files (cgroups v1 and v2). Blocking.

Read only where somebody asks for /metrics/cadvisor (server/cadvisor.py); usage.py has what everybody asks for.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from pybernetes.kubelet.usage import NO_LIMIT

_NANO = 1_000_000_000
_NO_QUOTA = ("max", "-1")


class DeviceIo(Struct, frozen=True):
    """What a group has read from and written to one disk, below the page cache."""

    device: str
    """`8:0`."""
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


class Details(Struct, frozen=True):
    """Of a group and all below it. None where the machine does not count it; times in nanoseconds, memory in bytes."""

    user: int | None = None
    system: int | None = None
    periods: int | None = None
    """Periods of its CPU quota; None without a quota."""
    throttled: int | None = None
    throttled_time: int | None = None
    shares: int | None = None
    quota: int | None = None
    """Microseconds of CPU in each period, as `period`."""
    period: int | None = None
    most_memory: int | None = None
    failures: int | None = None
    """How often the limit of memory was hit."""
    mapped: int | None = None
    oom_kills: int | None = None
    reservation: int | None = None
    swap_limit: int | None = None
    threads_max: int | None = None
    descriptors: int | None = None
    """Open files of its processes, of which `sockets` are sockets; None of a group that has no process itself."""
    sockets: int | None = None
    open_files: int | None = None
    """How many its first process may open; -1: without limit."""
    own_processes: int | None = None
    io: tuple[DeviceIo, ...] = ()


def read_details(folders: Iterable[Path], *, processes: bool = True, proc: Path = Path("/proc")) -> Details:
    """Details of the group whose folders in each hierarchy are given; of its `processes` only where they are wanted."""
    files = _index(folders)
    pids = _read(files, "cgroup.procs").split() if processes else []
    opened = [_files(proc / pid) for pid in pids]

    def number(*names: str) -> int | None:
        found = (int(text) for name in names if (text := _read(files, name).strip()).isdigit())
        return next(found, None)

    def table(*names: str) -> Mapping[str, int]:
        lines = (line.split() for name in names for line in _read(files, name).splitlines())
        return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}

    spent, memory = table("cpuacct.stat", "cpu.stat"), table("memory.stat")
    hits = table("memory.oom_control", "memory.events")
    quota, period = _quota(files)
    limited = quota is not None
    return Details(
        user=_time(spent, "user", "user_usec"),
        system=_time(spent, "system", "system_usec"),
        periods=spent.get("nr_periods") if limited else None,
        throttled=spent.get("nr_throttled") if limited else None,
        throttled_time=_throttled(spent) if limited else None,
        shares=_shares(number("cpu.shares"), number("cpu.weight")),
        quota=quota,
        period=period,
        most_memory=number("memory.max_usage_in_bytes", "memory.peak"),
        failures=hits.get("max", number("memory.failcnt")),
        mapped=memory.get("total_mapped_file", memory.get("file_mapped")),
        oom_kills=hits.get("oom_kill"),
        reservation=_bound(number("memory.soft_limit_in_bytes", "memory.low")),
        swap_limit=_bound(number("memory.memsw.limit_in_bytes", "memory.swap.max")),
        threads_max=number("pids.max"),
        descriptors=sum(count for count, _ in opened) if opened else None,
        sockets=sum(count for _, count in opened) if opened else None,
        open_files=_open_files(proc / pids[0]) if pids else None,
        own_processes=len(pids) or None,
        io=tuple(_io(files)),
    )


def _index(folders: Iterable[Path]) -> Mapping[str, str]:
    """Which file is where: nine hierarchies of v1 have one place for each, and asking all of them for all takes long."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            for name in os.listdir(folder):
                found.setdefault(name, f"{folder}/{name}")
        except OSError:
            continue
    return found


def _read(files: Mapping[str, str], name: str) -> str:
    """The text of a file; empty where there is none."""
    try:
        return Path(files[name]).read_text()
    except (OSError, KeyError):
        return ""


def _files(process: Path) -> tuple[int, int]:
    """How many files a process has open, and how many of them are sockets; nothing of one that has ended."""
    count = sockets = 0
    try:
        for descriptor in os.scandir(process / "fd"):
            count += 1
            sockets += os.readlink(descriptor).startswith("socket:")
    except OSError:
        pass  # it ends now, or a file was closed meanwhile
    return count, sockets


def _open_files(process: Path) -> int | None:
    try:
        lines = (process / "limits").read_text().splitlines()
    except OSError:
        return None
    soft = next((line.split()[3] for line in lines if line.startswith("Max open files")), None)
    return None if soft is None else int(soft) if soft.isdigit() else -1


def _time(spent: Mapping[str, int], ticks: str, micros: str) -> int | None:
    if micros in spent:
        return spent[micros] * 1000
    return spent[ticks] * _NANO // os.sysconf("SC_CLK_TCK") if ticks in spent else None


def _throttled(spent: Mapping[str, int]) -> int | None:
    micros = spent.get("throttled_usec")
    return spent.get("throttled_time") if micros is None else micros * 1000


def _shares(shares: int | None, weight: int | None) -> int | None:
    """v2 weighs from 1 to 10000 what v1 counts from 2 to 262144."""
    return shares if weight is None or shares is not None else 2 + (weight - 1) * 262142 // 9999


def _quota(files: Mapping[str, str]) -> tuple[int | None, int | None]:
    words = _read(files, "cpu.max").split() or [
        *_read(files, "cpu.cfs_quota_us").split(),
        *_read(files, "cpu.cfs_period_us").split(),
    ]
    if len(words) != 2:
        return None, None
    return None if words[0] in _NO_QUOTA else int(words[0]), int(words[1])


def _bound(value: int | None) -> int:
    return 0 if value is None or value >= NO_LIMIT else value


def _io(files: Mapping[str, str]) -> Iterable[DeviceIo]:
    """blkio (`8:0 Read 4096`) or io.stat (`8:0 rbytes=4096 ...`)."""
    found: dict[str, dict[str, int]] = {}
    for name, unit in (("io_service_bytes", "bytes"), ("io_serviced", "count")):
        for line in _read(files, f"blkio.throttle.{name}_recursive").splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in ("Read", "Write"):
                found.setdefault(words[0], {})[f"{words[1]}{unit}"] = int(words[2])
    names = {"rbytes": "Readbytes", "wbytes": "Writebytes", "rios": "Readcount", "wios": "Writecount"}
    for line in _read(files, "io.stat").splitlines():
        device, *pairs = line.split()
        fields = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        found.setdefault(device, {}).update({names[k]: int(v) for k, v in fields.items() if k in names})
    for device, counts in found.items():
        yield DeviceIo(
            device,
            counts.get("Readbytes", 0),
            counts.get("Writebytes", 0),
            counts.get("Readcount", 0),
            counts.get("Writecount", 0),
        )


@cache
def name_of(device: str) -> str:
    """`/dev/sda` for `8:0`; its numbers where it has no name."""
    block = Path("/sys/dev/block", device)
    return f"/dev/{block.resolve().name}" if block.exists() else device


def device_of(folder: Path) -> str:
    """The numbers of the device that a folder lies on. Raises OSError."""
    found = folder.stat().st_dev
    return f"{os.major(found)}:{os.minor(found)}"
