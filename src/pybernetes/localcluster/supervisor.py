"""Keeps a node's services running: starts, restarts with back-off, restarts what changed, stops what is gone.

The job of systemd on a real machine. init.py runs it as the node's first process.
"""

import logging
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pybernetes.aio.clock import Clock
from pybernetes.localcluster.services import Service

log = logging.getLogger(__name__)

POLL = 0.1
"""Seconds between two looks at the folders."""
FIRST_BACKOFF, LAST_BACKOFF = 0.25, 10.0
GOOD_RUN = 20.0
"""A service that ran this long starts over with the first back-off."""
TERM_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""


class ServiceWatcher(Protocol):
    """Says what should run."""

    def scan(self) -> Mapping[str, Service]:
        """The wanted services by name."""


class Processes(Protocol):
    """Starts and signals processes."""

    def start(self, service: Service) -> int:
        """Starts the service and returns its pid. Raises OSError."""

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Signals a child that has not been reaped."""

    def reap(self) -> list[tuple[int, int]]:
        """Children that have ended since the last call: (pid, exit code, negative for a signal); orphans too."""


@dataclass
class _Running:
    service: Service
    pid: int = 0
    started: float = 0.0
    backoff: float = FIRST_BACKOFF
    not_before: float = 0.0
    kill_at: float | None = None


class Supervisor:
    """`tick` does everything; it is called each POLL seconds and after each SIGCHLD."""

    def __init__(self, watcher: ServiceWatcher, processes: Processes, clock: Clock) -> None:
        self._watcher = watcher
        self._processes = processes
        self._clock = clock
        self._table: dict[str, _Running] = {}
        self._stopping = False

    async def run(self) -> None:
        """Supervises until cancelled, or until everything has ended after stop()."""
        while not (self._stopping and not self._table):
            self.tick()
            await self._clock.sleep(POLL)

    def stop(self) -> None:
        """Nothing is wanted any more: everything is asked to end."""
        self._stopping = True
        self.tick()

    @property
    def pids(self) -> dict[str, int]:
        """Running services by name."""
        return {name: entry.pid for name, entry in self._table.items() if entry.pid}

    def tick(self) -> None:
        """Reaps, reads what is wanted, starts and stops."""
        self._reap()
        wanted = {} if self._stopping else self._watcher.scan()
        for name, entry in list(self._table.items()):
            service = wanted.get(name)
            if service == entry.service:
                continue
            if entry.pid:
                self._end(entry)
            elif service is None:
                del self._table[name]
            else:
                self._table[name] = _Running(service)
        for name, service in wanted.items():
            entry = self._table.setdefault(name, _Running(service))
            if not entry.pid and entry.service == service and self._clock.monotonic() >= entry.not_before:
                self._start(entry)

    def _start(self, entry: _Running) -> None:
        entry.started = self._clock.monotonic()
        entry.kill_at = None
        try:
            entry.pid = self._processes.start(entry.service)
        except OSError as error:
            log.warning(
                "cannot start service=%s command=%s error=%s", entry.service.name, entry.service.command[0], error
            )
            self._back_off(entry)
            return
        log.info("started service=%s pid=%d", entry.service.name, entry.pid)

    def _end(self, entry: _Running) -> None:
        now = self._clock.monotonic()
        if entry.kill_at is None:
            entry.kill_at = now + TERM_GRACE
            self._processes.signal(entry.pid, signal.SIGTERM)
        elif now >= entry.kill_at:
            self._processes.signal(entry.pid, signal.SIGKILL)

    def _reap(self) -> None:
        ended = dict(self._processes.reap())
        for entry in self._table.values():
            if entry.pid not in ended:
                continue
            log.info("ended service=%s pid=%d code=%d", entry.service.name, entry.pid, ended[entry.pid])
            asked = entry.kill_at is not None
            entry.pid, entry.kill_at = 0, None
            if not asked:
                self._back_off(entry)

    def _back_off(self, entry: _Running) -> None:
        now = self._clock.monotonic()
        if now - entry.started >= GOOD_RUN:
            entry.backoff = FIRST_BACKOFF
        entry.not_before = now + entry.backoff
        entry.backoff = min(entry.backoff * 2, LAST_BACKOFF)
