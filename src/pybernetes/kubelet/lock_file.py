"""--lock-file: one kubelet at a time works on a machine. With --exit-on-lock-contention the one that has the lock goes
as soon as another comes, as when a machine's first kubelet is replaced by one that runs as a Pod.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pybernetes.aio.clock import Clock
from pybernetes.kernel.inotify import OPENED, FolderWatch

log = logging.getLogger(__name__)

_RETRY = 0.5


@asynccontextmanager
async def locked(file: Path, clock: Clock) -> AsyncIterator[None]:
    """Has the lock (flock(2)) once nobody else has it. Raises OSError where there can be no such file."""
    fd = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        log.info("acquiring file lock path=%s", file)
        while not _tried(fd):
            await clock.sleep(_RETRY)
        yield
    finally:
        os.close(fd)


def _tried(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def until_contended(file: Path, work: "asyncio.Future[None]") -> None:
    """Waits for the work's end; ends it when somebody else opens the file, or deletes it. Raises OSError."""
    watch = FolderWatch(file, OPENED)
    contention = asyncio.ensure_future(watch.changed.wait())
    both: set[asyncio.Future[Any]] = {work, contention}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if contention.done():
            log.info("somebody else wants the lock, ending path=%s", file)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)
        watch.close()
    if not work.cancelled():
        work.result()
