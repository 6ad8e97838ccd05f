"""fsGroup: a volume's files are given to a group, as far as the volume is the Pod's to change. volume.py says when.

The rules are those of "Configure volume permission and ownership change policy for Pods".
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from pybernetes.kernel.trees import visit

_READ_WRITE, _READ, _ENTER = 0o660, 0o440, 0o110


class Ownership(Struct, frozen=True):
    """What a Pod asks for. Without a group nothing is changed."""

    group: int | None = None
    read_only: bool = False
    on_root_mismatch: bool = False
    """fsGroupChangePolicy: trust the volume's own directory to say how all below it is."""


def take_over(folder: Path, wanted: Ownership, counted: Callable[[], None] = lambda: None) -> None:
    """Gives all below the folder, and it last, to the group; `counted` is called for each. Blocking. Raises OSError."""
    group = wanted.group
    if group is None or (wanted.on_root_mismatch and _settled(folder, group, read_only=wanted.read_only)):
        return
    grants = _READ if wanted.read_only else _READ_WRITE

    def give(place: int, found: os.stat_result) -> None:
        counted()
        # By the descriptor's own path: a link must be changed itself, and nothing that was put in the file's place.
        path = f"/proc/self/fd/{place}"
        os.chown(path, -1, group)
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(path, granted(found.st_mode, grants))

    visit(folder, give)


def own_directory(folder: Path, mode: int, group: int | None) -> None:
    """Gives a new volume's directory its mode, whatever the umask, and the group its part."""
    found = folder.stat()
    if group is None:
        if stat.S_IMODE(found.st_mode) != mode:
            folder.chmod(mode)
    elif not _settled(folder, group, read_only=False):
        folder.chmod(mode)
        os.chown(folder, -1, group)
        folder.chmod(granted(stat.S_IFDIR | mode, _READ_WRITE))


def granted(mode: int, grants: int) -> int:
    """A mode with what the group gets: of directories also to enter, and that new files are the group's."""
    return stat.S_IMODE(mode) | grants | (stat.S_ISGID | _ENTER if stat.S_ISDIR(mode) else 0)


def _settled(folder: Path, group: int, *, read_only: bool) -> bool:
    found = folder.stat()
    if found.st_gid != group or not stat.S_ISDIR(found.st_mode):
        return False
    wanted = granted(found.st_mode, _READ if read_only else _READ_WRITE)
    return stat.S_IMODE(found.st_mode) == wanted
