"""Files that change all at once: a directory of links into a dated one that is swapped by a single rename.

The layout is part of the API's contract with containers: `..data` points to `..<time>`, each first path segment is a
link through `..data`. See "Mounted ConfigMaps are updated automatically".
"""

import contextlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pybernetes.kernel.trees import remove_tree
from pybernetes.kubelet.ownership import Ownership, take_over


class File(NamedTuple):
    """One file: `user` owns it, root where it is None."""

    data: bytes
    mode: int
    user: int | None = None


Content: TypeAlias = Mapping[str, File]
"""By relative path."""

_DATA = "..data"
_NEW = "..data_tmp"
_LONGEST_PATH, _LONGEST_NAME = 4096, 255


def write_atomically(folder: Path, content: Content, now: float, group: int | None = None) -> bool:
    """Makes `folder`, which is there, show exactly `content`; whether it wrote. Blocking. Raises OSError, ValueError."""
    content = {_checked(path): file for path, file in content.items()}
    current = folder / _DATA
    old = os.readlink(current) if current.is_symlink() else ""
    if old and _same(folder / old, content):
        _tidy(folder, content, old)
        return False
    fresh = _fresh(folder, now)
    try:
        for path, file in content.items():
            _write(fresh, path, file)
        take_over(fresh, Ownership(group, read_only=True))
        for name in _visible(content):
            _link(folder / name)
        new = folder / _NEW
        new.unlink(missing_ok=True)
        new.symlink_to(fresh.name)
        new.rename(current)
    except OSError:
        # A full disk above all: what was there before stays whole.
        remove_tree(fresh)
        raise
    _tidy(folder, content, fresh.name)
    return True


def _checked(path: str) -> str:
    """The path without needless parts. Raises ValueError with upstream's words."""
    if not path:
        raise ValueError('invalid path: must not be empty: ""')
    if path.startswith("/"):
        raise ValueError(f"invalid path: must be relative path: {path}")
    if len(path) > _LONGEST_PATH:
        raise ValueError(f"invalid path: must be less than or equal to {_LONGEST_PATH} characters")
    names = path.split("/")
    if ".." in names:
        raise ValueError(f"invalid path: must not contain '..': {path}")
    if any(len(name) > _LONGEST_NAME for name in names):
        raise ValueError(f"invalid path: filenames must be less than or equal to {_LONGEST_NAME} characters")
    if names[0].startswith(".."):
        raise ValueError(f"invalid path: must not start with '..': {path}")
    return os.path.normpath(path)


def _fresh(folder: Path, now: float) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("..%Y_%m_%d_%H_%M_%S.%f")
    for number in range(1000):
        fresh = folder / f"{stamp}{number:03}"
        if not os.path.lexists(fresh):
            fresh.mkdir()
            fresh.chmod(0o755)
            return fresh
    raise FileExistsError(f"{folder}: too many versions at one moment")


def _write(folder: Path, path: str, file: File) -> None:
    place = folder
    for name in path.split("/")[:-1]:
        place /= name
        if not place.is_dir():
            place.mkdir()
            place.chmod(0o755)
    target = folder / path
    target.write_bytes(file.data)
    target.chmod(file.mode)
    if file.user is not None:
        os.chown(target, file.user, -1)


def _link(place: Path) -> None:
    """The link through the data directory. A subPath may have been there before its file, as a directory: where that is not
    empty it stays, and what else there is of the volume is shown all the same."""
    with contextlib.suppress(OSError):
        place.rmdir()
    if not os.path.lexists(place):
        place.symlink_to(f"{_DATA}/{place.name}")


def _is_ours(place: Path) -> bool:
    return place.is_symlink() and os.readlink(place) == f"{_DATA}/{place.name}"


def _same(folder: Path, content: Content) -> bool:
    there = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}
    return there.keys() == content.keys() and all(f.read_bytes() == content[path].data for path, f in there.items())


def _visible(content: Content) -> set[str]:
    return {path.split("/")[0] for path in content}


def _tidy(folder: Path, content: Content, current: str) -> None:
    """Takes away links to what is gone, and versions that are not the current one: also those a killed kubelet left."""
    visible = _visible(content)
    for name in os.listdir(folder):
        if name.startswith("..") and name not in (_DATA, current):
            remove_tree(folder / name)
        elif not name.startswith("..") and name not in visible and _is_ours(folder / name):
            (folder / name).unlink()
