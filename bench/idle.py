"""A control plane at rest, all in one process: API server, controllers, scheduler. CPU and memory.

The floor is a process that has imported the same libraries and waits in the same event loop.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import Benchmark, Row
from bench._command import cpu, environment, memory

SETTLE = 20.0
REST = 60.0
"""Seconds over which rest is measured."""
_FLOOR = """
import asyncio, sqlite3, ssl, uvloop, orjson, msgspec, httptools
from cryptography import x509
async def wait():
    while True:
        await asyncio.sleep(0.5)
uvloop.run(wait())
"""


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )


async def _rest(command: Sequence[str], marker: Path | None = None) -> tuple[float, float]:
    """Thousandths of a core, and resident megabytes."""
    process = await asyncio.to_thread(_start, command)
    try:
        while marker is not None and not await asyncio.to_thread(marker.exists):
            if process.poll() is not None:
                raise RuntimeError("the control plane has ended")
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLE)
        before, began = cpu(process.pid), time.monotonic()
        await asyncio.sleep(REST)
        return (cpu(process.pid) - before) / (time.monotonic() - began) * 1000, memory(process.pid)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)


async def _rows() -> Sequence[Row]:
    with tempfile.TemporaryDirectory() as name:
        serve = ["-m", "pybernetes.cmd.pybernetes", "serve", "--nodes", "0", "--folder", name]
        found = await asyncio.gather(_rest(serve, Path(name) / "admin.conf"), _rest(["-c", _FLOOR]))
    (used, resident), (used_floor, resident_floor) = found
    return [
        Row("CPU at rest, thousandths of a core", used, used_floor, "‰"),
        Row("memory", resident, resident_floor, "MB"),
    ]


def run() -> Sequence[Row]:
    """CPU and memory."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark("idle", "a control plane at rest; floor: its libraries in an event loop that waits", run)
