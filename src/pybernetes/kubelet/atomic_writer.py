"""Files that change all at once: a directory of links into a dated one that is swapped by a single rename.

The layout is part of the API's contract with containers: `..data` points to `..<time>`, each first path segment is a
link through `..data`. See "Mounted ConfigMaps are updated automatically".
"""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TypeAlias

Content: TypeAlias = Mapping[str, tuple[bytes, int]]
"""Relative path to bytes and mode."""

_DATA = "..data"
_NEW = "..data_tmp"


def write_atomically(folder: Path, content: Content, now: float, group: int | None = None) -> bool:
    """Makes `folder` show exactly `content`; whether anything changed. Blocking. Raises OSError, ValueError."""
    for path in content:
        _check(path)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o2777 if group is not None else 0o777)
    current = folder / _DATA
    if current.is_symlink() and _same(current.resolve(), content, group):
        return False
    old = current.resolve() if current.is_symlink() else None
    fresh = _fresh(folder, now)
    for path, (data, mode) in content.items():
        file = fresh / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        _permit(file, mode, group)
    new = folder / _NEW
    new.unlink(missing_ok=True)
    new.symlink_to(fresh.name)
    new.rename(current)
    _link(folder, content)
    if old is not None and old != fresh:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ValueError(f"invalid path in volume: {path!r}")


def _fresh(folder: Path, now: float) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("..%Y_%m_%d_%H_%M_%S.%f")
    for number in range(1000):
        fresh = folder / f"{stamp}{number:03}"
        if not fresh.exists():
            fresh.mkdir()
            fresh.chmod(0o755)
            return fresh
    raise FileExistsError(f"{folder}: too many versions at one moment")


def _permit(file: Path, mode: int, group: int | None) -> None:
    if group is not None:
        os.chown(file, -1, group)
        mode |= mode >> 3 & 0o070 | 0o040
    file.chmod(mode)


def _same(folder: Path, content: Content, group: int | None) -> bool:
    there = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}
    if there.keys() != content.keys():
        return False
    for path, file in there.items():
        data, mode = content[path]
        wanted = mode if group is None else mode | mode >> 3 & 0o070 | 0o040
        if file.read_bytes() != data or file.stat().st_mode & 0o7777 != wanted:
            return False
    return True


def _link(folder: Path, content: Content) -> None:
    wanted = {PurePosixPath(path).parts[0] for path in content}
    for name in wanted:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for link in folder.iterdir():
        if not link.name.startswith("..") and link.name not in wanted:
            link.unlink()
