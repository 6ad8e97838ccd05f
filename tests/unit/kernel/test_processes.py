"""Processes are signalled by pid and start time, never by pid alone."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from pybernetes.kernel.processes import ProcessRef, kill, kill_and_wait, wait_ended


def test_a_reused_pid_is_not_signalled() -> None:
    me = ProcessRef.of(os.getpid())
    other = replace(me, started=me.started - 1)
    assert me.alive()
    assert not other.alive()
    assert not kill(other, signal.SIGKILL)


def test_a_killed_process_ends_and_is_known_to_have_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = ProcessRef.of(child.pid)
        assert not asyncio.run(wait_ended(process, 0.0))
        assert kill_and_wait(process, 10)
        assert not process.alive()
        assert asyncio.run(wait_ended(process, 0.0))


def test_a_pid_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ProcessLookupError):
        ProcessRef.of(2**22)
