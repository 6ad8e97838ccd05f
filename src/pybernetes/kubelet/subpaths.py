"""subPath: one file or directory of a volume, mounted so that nobody can lead the mount out of the volume.

Who writes to a volume may swap any part of it for a link at any moment, also between a check and its use. So the place is
found by descriptors, and what the descriptor holds is bound to pods/<uid>/volume-subpaths/<volume>/<container>/<index>;
only that is given to the runtime. specs/mounts.py asks for it before each start of a container.
"""

import contextlib
import os
import stat
from pathlib import Path

from msgspec import Struct

from pybernetes.kernel import mounts
from pybernetes.kernel.trees import make_below, open_below

FOLDER = "volume-subpaths"


class SubPath(Struct, frozen=True):
    """What a container mounts of a volume: `below` it, as the volumeMount of that index says."""

    volume: Path
    below: str
    target: Path


def target(pod_folder: Path, volume: str, container: str, index: int) -> Path:
    """Where it is bound."""
    return pod_folder / FOLDER / volume / container / str(index)


def make_missing(wanted: SubPath) -> None:
    """Makes the directories that are missing, with the volume's own mode. Blocking. Raises OSError.

    What is missing becomes a directory, also where the Pod means a file: nothing says which it is to be.
    """
    path = wanted.volume / wanted.below
    if path.exists():
        return
    base = Path(os.path.realpath(wanted.volume))
    make_below(base, _inside(base, path), stat.S_IMODE(base.stat().st_mode))


def bind(wanted: SubPath) -> Path:
    """Binds it, and anew where something else is there now; what to mount. Blocking. Raises OSError, ValueError."""
    base = Path(os.path.realpath(wanted.volume))
    place = open_below(base, _inside(base, wanted.volume / wanted.below))
    try:
        found = os.fstat(place)
        if mounts.is_mount(wanted.target):
            there = wanted.target.lstat()
            if (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino):
                return wanted.target
            mounts.unmount(wanted.target, detach=True)
        _make_target(wanted.target, is_folder=stat.S_ISDIR(found.st_mode))
        mounts.bind(f"/proc/self/fd/{place}", wanted.target)
    finally:
        os.close(place)
    return wanted.target


def _inside(base: Path, path: Path) -> str:
    """The path below the volume with all links resolved, as of now. Raises ValueError where they lead out of it."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(base):
        raise ValueError(f"{path} is not within {base}")
    return str(real.relative_to(base))


def _make_target(place: Path, *, is_folder: bool) -> None:
    place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if place.is_dir() != is_folder:
        with contextlib.suppress(FileNotFoundError):
            place.rmdir() if place.is_dir() else place.unlink()
    if is_folder:
        place.mkdir(mode=0o750, exist_ok=True)
    else:
        place.touch(mode=0o640)
