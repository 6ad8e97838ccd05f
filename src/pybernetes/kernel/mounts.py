"""Mounts: mount(2), binds, pivot_root(2), the mount table of a process. For the node sandbox and the kubelet."""

import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pybernetes.kernel._libc import call

RDONLY = 1
REMOUNT = 32
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18
SHARED = 1 << 20
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


@dataclass(frozen=True)
class Mount:
    """One line of /proc/<pid>/mountinfo, see proc(5)."""

    target: str
    kind: str
    source: str
    super_options: tuple[str, ...]
    root: str


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError that names the target."""
    data = options.encode() or None
    call("mount", str(source).encode(), str(target).encode(), kind.encode() or None, ctypes.c_ulong(flags), data,
         about=str(target))  # fmt: skip


def bind(source: str | Path, target: str | Path, *, recursive: bool = False) -> None:
    """Shows `source` at `target` too; both exist."""
    mount(source, target, flags=BIND | (RECURSIVE if recursive else 0))


def propagate(target: str | Path, flag: int) -> None:
    """Sets the propagation (PRIVATE or SHARED) of a mount and of all below it; see mount_namespaces(7)."""
    mount("none", target, flags=RECURSIVE | flag)


def unmount(target: str | Path, *, detach: bool = False) -> None:
    """umount2(2). `detach` takes the whole tree away at once and cleans up when it is no longer busy."""
    call("umount2", str(target).encode(), _DETACH if detach else 0, about=str(target))


def unmount_below(folder: Path) -> None:
    """Takes away every mount at the folder and below it, the innermost first. Raises OSError."""
    below = [m.target for m in table() if Path(m.target).is_relative_to(folder)]
    for target in sorted(below, key=len, reverse=True):
        unmount(target, detach=True)


def pivot_root(new_root: str | Path) -> None:
    """Makes `new_root` (a mount) the root of this mount namespace and takes the old one away."""
    os.chdir(new_root)
    # Both arguments "." stack the old root on top of the new one: no folder for it is needed (pivot_root(2), NOTES).
    call("syscall", ctypes.c_long(_PIVOT_ROOT[platform.machine()]), b".", b".", about=str(new_root))
    unmount(".", detach=True)
    os.chdir("/")


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The mounts of a mountinfo file, in the order of mounting."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        yield Mount(_unescape(fields[4]), tail[0], _unescape(tail[1]), tuple(tail[2].split(",")), _unescape(fields[3]))


def table(pid: int | str = "self") -> tuple[Mount, ...]:
    """The mounts that a process sees."""
    return tuple(parse_mountinfo(Path(f"/proc/{pid}/mountinfo").read_text()))


def is_mount(target: str | Path) -> bool:
    """Whether something is mounted exactly here (binds of files too, unlike os.path.ismount)."""
    return any(m.target == str(target) for m in table())


def filesystem_of(path: Path) -> str:
    """Kind of the file system that holds `path` ("ext4", "overlay"); of its nearest parent that exists."""
    resolved = path.resolve()
    best = Mount("", "", "", (), "")
    for entry in table():
        if resolved.is_relative_to(entry.target) and len(entry.target) >= len(best.target):
            best = entry
    return best.kind


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
