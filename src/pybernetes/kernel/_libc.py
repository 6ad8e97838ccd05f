"""The C library by ctypes: system calls that Python 3.11 has no function for. Used by namespaces and mounts."""

import ctypes
import os
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: Any, about: str = "") -> int:
    """Calls a libc function; raises OSError with `about` as its file name where it returns -1."""
    result = int(getattr(_libc, name)(*args))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about or None)
    return result
