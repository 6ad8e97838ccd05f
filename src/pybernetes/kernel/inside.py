"""Files inside a folder that others may write into: every link is resolved as if the folder were the root. See openat2(2)."""

import ctypes
import os
import stat
import struct
from pathlib import Path

from pybernetes.kernel._libc import call

_OPENAT2 = 437
"""The same number on every architecture."""
_IN_ROOT = 0x10
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def read_inside(base: Path, relative: str, most: int) -> bytes:
    """The first `most` bytes of a regular file at `relative` inside `base`. Raises OSError."""
    folder = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("QQQ", _READING, 0, _IN_ROOT)
        # A FIFO or a device must not be waited for: hence O_NONBLOCK, and the look before the reading.
        name = ctypes.c_char_p(os.fsencode(relative))
        found = call("syscall", ctypes.c_long(_OPENAT2), folder, name, how, ctypes.c_size_t(len(how)))
    finally:
        os.close(folder)
    with open(found, "rb") as opened:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(f"{relative} is not a regular file")
        return opened.read(most)
