"""Keeps container logs within bounds: a log of 10 MiB is set aside and the runtime opens a new one; five files stay.

See containerLogMaxSize and containerLogMaxFiles. Readers that follow see the change of file (server/logs.py).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from pybernetes.aio.clock import Clock
from pybernetes.kubelet.cri.model import Container, RuntimeRefused, RuntimeUnavailable, StreamRuntime

log = logging.getLogger(__name__)

MAX_SIZE = 10 * 1024 * 1024
MAX_FILES = 5
_PERIOD = 10.0


class LogRotation:
    """Rotates the logs of `running()` containers."""

    def __init__(self, runtime: StreamRuntime, running: Callable[[], Iterable[Container]], clock: Clock) -> None:
        self._runtime = runtime
        self._running = running
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(_PERIOD)
            for container in list(self._running()):
                await self.check(container)

    async def check(self, container: Container) -> None:
        """Rotates one log that has grown too large."""
        file = Path(container.log_path)
        if not container.log_path or await asyncio.to_thread(_size, file) <= MAX_SIZE:
            return
        stamp = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%d-%H%M%S")
        aside = file.with_name(f"{file.name}.{stamp}")
        try:
            await asyncio.to_thread(file.rename, aside)
            try:
                await self._runtime.reopen_log(container.id)
            except (RuntimeRefused, RuntimeUnavailable):
                # The runtime still writes to the old file: it gets its name back, so that nothing is lost.
                await asyncio.to_thread(aside.rename, file)
                raise
            await asyncio.to_thread(_prune, file)
        except (OSError, RuntimeRefused) as error:
            log.warning("cannot rotate log file=%s error=%s", file, error)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _prune(file: Path) -> None:
    """Beside the one that is written, the newest MAX_FILES - 1 stay."""
    aside = sorted(file.parent.glob(f"{file.name}.*"), reverse=True)
    for old in aside[MAX_FILES - 1 :]:
        old.unlink(missing_ok=True)
