"""Snapshots that kube-apiserver takes of its SQLite store by itself, the newest of which are kept.

Each is taken by `pybernetes store snapshot save` in a process of its own at low priority: copying and proving a large
store takes seconds of CPU, which would be missing here.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.store import snapshots
from pybernetes.store.protocol import Unavailable

log = logging.getLogger(__name__)

_NICE = 10
_AGAIN_SECONDS = 300.0
"""Until the next try after one that failed."""


class Schedule(Struct, frozen=True):
    """What is copied where, how often, and how many copies are kept."""

    store: Path
    folder: Path
    every: float
    keep: int

    def due(self, now: float) -> float:
        """Seconds until the next one, counted from the newest that is there: restarts do not put it off."""
        try:
            found = snapshots.listed(self.folder)
        except Unavailable as error:
            log.error("snapshots of the store are not found cause=%s", error)
            found = []
        return max(0.0, min(found[0].taken + self.every - now, self.every)) if found else self.every

    def command(self) -> Sequence[str]:
        """The process that takes one."""
        flags = (f"--storage-path={self.store}", f"--storage-snapshot-dir={self.folder}", f"--keep={self.keep}")
        return (sys.executable, "-m", "pybernetes.cmd.pybernetes", "store", "snapshot", "save", *flags)


async def keep_snapshots(schedule: Schedule, clock: Clock) -> None:
    """Runs until cancelled."""
    while True:
        await clock.sleep(schedule.due(clock.now()))
        while not await _take(schedule):
            await clock.sleep(min(_AGAIN_SECONDS, schedule.every))


async def _take(schedule: Schedule) -> bool:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *schedule.command(), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    except OSError as error:
        log.error("no snapshot of the store was taken cause=%s", error)
        return False
    try:
        said, wrong = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        log.error("no snapshot of the store was taken cause=%s", wrong.decode(errors="replace").strip())
        return False
    log.info("snapshot of the store: %s", said.decode(errors="replace").strip().replace("\n", "; "))
    return True
