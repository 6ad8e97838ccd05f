"""Directory trees of others, walked by descriptors: no link is followed and no mount is crossed on the way.

Whoever may write into a tree may swap a directory for a link at any moment; a descriptor stays what it was. The kubelet
removes volumes and finds subPaths with it. See openat2(2).
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from pybernetes.kernel._libc import openat2

_NO_XDEV, _NO_SYMLINKS = 1, 4
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64
"""Levels that are entered at once. What lies deeper is moved up first: descriptors and stack stay few, however deep."""


def open_below(base: Path, relative: str) -> int:
    """A descriptor (O_PATH) of what lies at `relative` below `base`. Raises OSError, ELOOP for a link on the way."""
    place = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in _names(relative):
        try:
            below = os.open(name, _PLACE, dir_fd=place)
        finally:
            os.close(place)
        place = below
        if stat.S_ISLNK(os.fstat(place).st_mode):
            os.close(place)
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"{base}/{relative}")
    return place


def make_below(base: Path, relative: str, mode: int) -> None:
    """Makes the directories of `relative` that are missing below `base`, whatever the umask. Raises OSError."""
    place = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in _names(relative):
            made = _make(name, place)
            below = os.open(name, _FOLDER, dir_fd=place)
            os.close(place)
            place = below
            if made:
                os.fchmod(place, mode)
    finally:
        os.close(place)


def remove_tree(folder: Path) -> None:
    """Deletes a directory and all in it. Nothing there is success. Raises OSError: EBUSY where something is mounted."""
    try:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if stat.S_ISDIR(os.stat(folder.name, dir_fd=parent, follow_symlinks=False).st_mode):
            _empty_whole(parent, folder)
            os.rmdir(folder.name, dir_fd=parent)
        else:
            os.unlink(folder.name, dir_fd=parent)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def _empty_whole(parent: int, folder: Path) -> None:
    top = _enter(folder.name, parent, folder.parent)
    try:
        while _empty(top, top, folder, _DEEPEST):
            pass
    finally:
        os.close(top)


def visit(folder: Path, act: Callable[[int, os.stat_result], None]) -> None:
    """Calls `act` with a descriptor (O_PATH) of every file, link and directory, children first, `folder` last.

    What vanishes meanwhile is passed over. Raises OSError, ELOOP for a tree that is deeper than any that is made for use.
    """
    place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        _visit(place, act, folder, 8 * _DEEPEST)
    finally:
        os.close(place)


def _visit(place: int, act: Callable[[int, os.stat_result], None], where: Path, depth: int) -> None:
    found = os.fstat(place)
    if stat.S_ISDIR(found.st_mode):
        if depth == 0:
            raise OSError(errno.ELOOP, "too many levels of directories", str(where))
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
        try:
            for name in os.listdir(listed):
                try:
                    below = os.open(name, _PLACE, dir_fd=listed)
                except FileNotFoundError:
                    continue
                try:
                    _visit(below, act, where, depth - 1)
                finally:
                    os.close(below)
        finally:
            os.close(listed)
    act(place, found)


def _names(relative: str) -> list[str]:
    names = [name for name in relative.split("/") if name not in ("", ".")]
    if ".." in names:
        raise OSError(errno.EINVAL, "no way up", relative)
    return names


def _make(name: str, place: int) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=place)
    except FileExistsError:
        return False
    return True


def _enter(name: str, place: int, where: Path) -> int:
    """Opens a directory that is no link and no mount."""
    try:
        return openat2(place, name, _FOLDER, _NO_XDEV | _NO_SYMLINKS)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EBUSY, "something is mounted there", f"{where}/{name}") from None
        raise


def _empty(place: int, top: int, where: Path, depth: int) -> bool:
    """Empties a directory; whether something was moved up to `top` and is still to be emptied."""
    with os.scandir(place) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    moved = False
    for name, is_folder in entries:
        try:
            if not is_folder:
                os.unlink(name, dir_fd=place)
            elif depth == 0:
                os.rename(name, f".{os.urandom(8).hex()}", src_dir_fd=place, dst_dir_fd=top)
                moved = True
            else:
                below = _enter(name, place, where)
                try:
                    moved = _empty(below, top, where, depth - 1) or moved
                finally:
                    os.close(below)
                os.rmdir(name, dir_fd=place)
        except FileNotFoundError:
            continue
    return moved
