"""What the kernel says of this machine: its sizes and its names. capacity.py makes a node's capacity of it."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pybernetes import KUBERNETES_VERSION
from pybernetes.api.quantity import BINARY, of_int
from pybernetes.api.types import core_v1
from pybernetes.kubelet.status.labels import architecture

_HUGE = Path("/sys/kernel/mm/hugepages")


class Machine(Struct, frozen=True):
    """Sizes are bytes."""

    info: core_v1.NodeSystemInfo
    cpus: int
    memory: int
    disk: int
    """Of the file system that holds the kubelet's root."""
    huge_pages: Mapping[str, int] = {}
    """Resource name (`hugepages-2Mi`) -> bytes that are set aside."""


def read_machine(root: Path) -> Machine:
    """Reads the machine. A memory limit of the node's own cgroup counts as its memory. Blocking."""
    identity = _text("/etc/machine-id").strip()
    kernel = _meminfo()
    swap = kernel.get("SwapTotal", 0)
    info = core_v1.NodeSystemInfo(
        machineID=identity,
        systemUUID=_text("/sys/class/dmi/id/product_uuid").strip() or identity,
        bootID=_text("/proc/sys/kernel/random/boot_id").strip(),
        kernelVersion=platform.release(),
        osImage=_os_image(),
        kubeletVersion=KUBERNETES_VERSION,
        operatingSystem="linux",
        architecture=architecture(),
        swap=core_v1.NodeSwapStatus(capacity=swap) if swap else None,
    )
    memory = kernel.get("MemTotal", 0)
    for file in ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"):
        limit = _text(file).strip()
        if limit.isdigit():
            memory = min(memory, int(limit))
    while not root.exists():
        root = root.parent
    disk = os.statvfs(root)
    return Machine(info, len(os.sched_getaffinity(0)), memory, disk.f_blocks * disk.f_frsize, huge_pages())


def huge_pages(folder: Path = _HUGE) -> dict[str, int]:
    """By resource name, for each page size that the kernel has."""
    found = {}
    for size in sorted(folder.glob("hugepages-*kB")):
        page = int(size.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        number = _text(str(size / "nr_hugepages")).strip()
        found[f"hugepages-{of_int(page, BINARY)}"] = page * int(number or 0)
    return found


def _meminfo() -> dict[str, int]:
    lines = (line.partition(":") for line in _text("/proc/meminfo").splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if rest.strip().endswith("kB")}


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"
