"""Files inside a folder that others may write into: every link is resolved as if the folder were the root. See openat2(2)."""

import os
import stat
from pathlib import Path

from pybernetes.kernel._libc import openat2

_IN_ROOT = 0x10
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def read_inside(base: Path, relative: str, most: int) -> bytes:
    """The first `most` bytes of a regular file at `relative` inside `base`. Raises OSError."""
    folder = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A FIFO or a device must not be waited for: hence O_NONBLOCK, and the look before the reading.
        found = openat2(folder, relative, _READING, _IN_ROOT)
    finally:
        os.close(folder)
    with open(found, "rb") as opened:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(f"{relative} is not a regular file")
        return opened.read(most)
