"""Mounts: mount(2), binds, pivot_root(2), the mount table of a process. For the node sandbox and the kubelet."""

import ctypes
import errno
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybernetes.kernel._libc import call

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REMOUNT = 32
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18
SHARED = 1 << 20
_DETACH, _NO_LINK = 2, 8
_AT_FDCWD, _AT_NO_LINK, _MOUNT_ROOT = -100, 0x900, 0x2000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


@dataclass(frozen=True)
class Mount:
    """One line of /proc/<pid>/mountinfo, see proc(5)."""

    target: str
    kind: str
    source: str
    super_options: tuple[str, ...]
    root: str
    shared: bool = False


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
    call("umount2", str(target).encode(), (_DETACH if detach else 0) | _NO_LINK, about=str(target))


def unmount_below(folder: Path) -> None:
    """Takes away every mount at the folder and below it, the innermost first. What is gone is no fault. Raises OSError."""
    real = os.path.realpath(folder.parent) + f"/{folder.name}"
    below = [m.target for m in table() if m.target == real or m.target.startswith(f"{real}/")]
    for target in below:
        # What is bound here from elsewhere must keep its own mounts there.
        _unless_gone(mount, "none", target, flags=PRIVATE)
    for target in sorted(below, key=len, reverse=True):
        _unless_gone(unmount, target, detach=True)


def _unless_gone(act: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    try:
        act(*args, **kwargs)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def tmpfs(target: Path, options: str) -> None:
    """A file system in memory, kept out of swap where the kernel can."""
    try:
        mount("tmpfs", target, "tmpfs", options=f"{options},noswap" if options else "noswap")
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux before 6.3 does not know the option
            raise
        mount("tmpfs", target, "tmpfs", options=options)


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
        shared = any(field.startswith("shared:") for field in fields[6:])
        options = tuple(tail[2].split(","))
        yield Mount(_unescape(fields[4]), tail[0], _unescape(tail[1]), options, _unescape(fields[3]), shared)


def table(pid: int | str = "self") -> tuple[Mount, ...]:
    """The mounts that a process sees."""
    return tuple(parse_mountinfo(Path(f"/proc/{pid}/mountinfo").read_text()))


def is_mount(target: str | Path) -> bool:
    """Whether something is mounted exactly here (binds of files too, unlike os.path.ismount). See statx(2)."""
    found = ctypes.create_string_buffer(256)
    try:
        call("statx", ctypes.c_int(_AT_FDCWD), os.fsencode(target), ctypes.c_int(_AT_NO_LINK), ctypes.c_uint(0), found,
             about=str(target))  # fmt: skip
    except FileNotFoundError:
        return False
    attributes = int.from_bytes(found.raw[8:16], "little")
    return bool(attributes & _MOUNT_ROOT)


def filesystem_of(path: Path) -> str:
    """Kind of the file system that holds `path` ("ext4", "overlay"); of its nearest parent that exists."""
    return _holding(path).kind


def share(folder: Path) -> None:
    """Lets mounts below the folder travel to whoever has it mounted and asks for them: the folder becomes a mount of its
    own where what holds it is private. See mount_namespaces(7)."""
    if not _holding(folder).shared:
        bind(folder, folder, recursive=True)
        propagate(folder, SHARED)


def _holding(path: Path) -> Mount:
    """The mount that a path lies in."""
    resolved = path.resolve()
    best = Mount("", "", "", (), "")
    for entry in table():
        if resolved.is_relative_to(entry.target) and len(entry.target) >= len(best.target):
            best = entry
    return best


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
