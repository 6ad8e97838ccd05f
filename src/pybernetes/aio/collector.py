"""Python's garbage collector, put off while much is made that stays: walking it again and again finds nothing."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_holders = 0
_enabled = False


@contextmanager
def put_off() -> Iterator[None]:
    """No collection in this process until the end of the block; nested and in several threads, until the last end.

    Afterwards the collector is as it was. For blocks that are short: garbage in cycles waits for it, whoever made it.
    """
    global _holders, _enabled
    with _lock:
        if not _holders:
            _enabled = gc.isenabled()
            gc.disable()
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and _enabled:
                gc.enable()
