"""Keeps container logs within bounds: a log that is too large is set aside, the runtime opens a new one, older ones are
compressed, and only so many stay. See containerLogMaxSize, containerLogMaxFiles, containerLogMaxWorkers.

Readers that follow see the change of file (server/logs.py).
"""

import asyncio
import gzip
import logging
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from pybernetes.aio.clock import Clock
from pybernetes.api.quantity import parse
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import Container, RuntimeRefused, RuntimeUnavailable, StreamRuntime

log = logging.getLogger(__name__)

_COMPRESSED, _UNFINISHED = ".gz", ".tmp"


class LogRotation:
    """Rotates the logs of `running()` containers."""

    def __init__(
        self,
        runtime: StreamRuntime,
        running: Callable[[], Iterable[Container]],
        config: Configuration,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._running = running
        self._clock = clock
        self._period = config.container_log_monitor_interval
        self._most = parse(config.container_log_max_size).value()
        self._files = config.container_log_max_files
        self._workers = asyncio.Semaphore(config.container_log_max_workers)

    async def run(self) -> None:
        """Until cancelled. A maximum below nothing switches rotation off."""
        while self._most >= 0:
            await self._clock.sleep(self._period)
            containers = tuple(c for c in self._running() if c.log_path)
            sizes = await asyncio.to_thread(lambda: [_size(Path(c.log_path)) for c in containers])  # noqa: B023
            large = [c for c, size in zip(containers, sizes, strict=True) if size > self._most]
            await asyncio.gather(*(self._rotate(c) for c in large))

    async def check(self, container: Container) -> None:
        """Rotates one log if it has grown too large."""
        file = Path(container.log_path)
        if container.log_path and await asyncio.to_thread(_size, file) > self._most:
            await self._rotate(container)

    async def _rotate(self, container: Container) -> None:
        file = Path(container.log_path)
        stamp = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%d-%H%M%S")
        aside = file.with_name(f"{file.name}.{stamp}")
        async with self._workers:
            try:
                await asyncio.to_thread(_make_place, file, self._files - 2)
                await asyncio.to_thread(file.rename, aside)
                try:
                    await self._runtime.reopen_log(container.id)
                except (RuntimeRefused, RuntimeUnavailable):
                    # The runtime still writes to the old file: it gets its name back, so that nothing is lost.
                    await asyncio.to_thread(aside.rename, file)
                    raise
            except (OSError, RuntimeRefused) as error:
                log.warning("cannot rotate log file=%s error=%s", file, error)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _make_place(file: Path, kept: int) -> None:
    """Compresses what was set aside before, and leaves the newest `kept` of it: with the log itself and the one that is
    set aside next, that makes containerLogMaxFiles."""
    aside = sorted(file.parent.glob(f"{file.name}.*"), reverse=True)
    for old in aside:
        if old.suffix == _UNFINISHED or old.with_name(old.name + _COMPRESSED) in aside:
            old.unlink(missing_ok=True)  # cut off in the middle, or compressed and not yet removed
    aside = [old for old in aside if old.exists()]
    for old in aside[max(0, kept) :]:
        old.unlink(missing_ok=True)
    for old in aside[: max(0, kept)]:
        if old.suffix != _COMPRESSED:
            _compress(old)


def _compress(file: Path) -> None:
    made, unfinished = file.with_name(file.name + _COMPRESSED), file.with_name(file.name + _UNFINISHED)
    with file.open("rb") as source, gzip.open(unfinished, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    unfinished.chmod(file.stat().st_mode & 0o777)
    unfinished.rename(made)
    file.unlink(missing_ok=True)
