"""The C library by ctypes: system calls that Python 3.11 has no function for. Used by namespaces and mounts."""

import ctypes
import os
import struct
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: Any, about: str = "") -> int:
    """Calls a libc function; raises OSError with `about` as its file name where it returns -1."""
    result = int(getattr(_libc, name)(*args))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about or None)
    return result


_OPENAT2 = 437
"""The same number on every architecture."""


def openat2(place: int, name: str, flags: int, resolve: int) -> int:
    """openat2(2) of a name at a directory's descriptor; `resolve` says what must not be crossed. Linux 5.6."""
    how = struct.pack("QQQ", flags, 0, resolve)
    encoded = ctypes.c_char_p(os.fsencode(name))
    return call("syscall", ctypes.c_long(_OPENAT2), ctypes.c_int(place), encoded, how, ctypes.c_size_t(len(how)))
