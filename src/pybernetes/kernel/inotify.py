"""Changes of a folder as the kernel tells them: inotify(7). Used by the kubelet.

It follows the folder of static Pods and that of the pod network's configuration.
"""

import asyncio
import os
import struct
from pathlib import Path

from pybernetes.kernel._libc import call

_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF, _ONLYDIR = 0x100, 0x200, 0x400, 0x800, 0x0100_0000
_WANTED = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_IGNORED = 0x8000
OPENED = 0x20 | _DELETE_SELF
"""Of a file: somebody opens it, or it is deleted."""
_BATCH = 1 << 16
_HEAD = struct.Struct("iIII")


class FolderWatch:
    """Sets `changed` whenever something in the folder changes. Belongs to the running event loop; close it."""

    def __init__(self, folder: Path, wanted: int = _WANTED) -> None:
        """`wanted` is inotify's mask. Raises OSError: no such folder, or too many watches."""
        self.changed = asyncio.Event()
        self.gone = False
        """The folder itself was removed or moved: there is nothing to follow any more."""
        self._loop = asyncio.get_running_loop()
        self._fd = call("inotify_init1", _NONBLOCK | _CLOEXEC)
        try:
            call("inotify_add_watch", self._fd, os.fsencode(folder), wanted, about=str(folder))
        except OSError:
            os.close(self._fd)
            raise
        self._loop.add_reader(self._fd, self._drain)

    def _drain(self) -> None:
        # What changed in it does not matter: the folder is read again.
        data, at = os.read(self._fd, _BATCH), 0
        while at < len(data):
            _, mask, _, length = _HEAD.unpack_from(data, at)
            self.gone = self.gone or bool(mask & (_DELETE_SELF | _MOVE_SELF | _IGNORED))
            at += _HEAD.size + length
        self.changed.set()

    def close(self) -> None:
        """Ends the watch."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
