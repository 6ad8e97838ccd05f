"""Processes by pid and start time: pids wrap around within an hour, so a bare pid is never signalled.

See pidfd_open(2).
"""

import asyncio
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessRef:
    """One process and no other: its pid and the kernel's start time (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "ProcessRef":
        """The process that has this pid now. Raises ProcessLookupError."""
        started = _start_time(pid)
        if started is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, started)

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _start_time(self.pid) == self.started

    def open(self) -> int | None:
        """A pidfd of it (the caller closes it), or None where it has ended."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if not self.alive():  # after opening: the fd cannot change its process any more
            os.close(fd)
            return None
        return fd


def kill(process: ProcessRef, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signals exactly this process; False where it has ended."""
    fd = process.open()
    if fd is None:
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


async def wait_ended(process: ProcessRef, timeout: float) -> bool:
    """Waits until the process has ended, `timeout` seconds at most; whether it has."""
    fd = process.open()
    if fd is None:
        return True
    try:
        # poll in a thread: a pidfd is readable as soon as its process has ended, even before it is reaped
        return await asyncio.to_thread(_poll, fd, timeout)
    finally:
        os.close(fd)


def kill_and_wait(process: ProcessRef, timeout: float) -> bool:
    """SIGKILL, then waits (blocking) until it has ended; whether it has."""
    fd = process.open()
    if fd is None:
        return True
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return _poll(fd, timeout)
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)


def _poll(fd: int, timeout: float) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(timeout * 1000))


def _start_time(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return None if fields[0] in "ZX" else int(fields[19])
