"""A control plane at rest, all in one process: API server, controllers, scheduler. CPU and memory; and what the controllers
add to an API server.

The floor of the first is a process that has imported the same libraries and waits in the same event loop; the floor of the
controllers is the API server alone.
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
_PLANE = """
import asyncio, sys, uvloop
from pathlib import Path
from pybernetes.aio.clock import SystemClock
from pybernetes.store import factory
async def serve(marker, *controllers):
    store = await factory("memory").open("")
    if controllers:
        from pybernetes.assembly.controlplane import ControlPlane, Settings
        part = ControlPlane(store, SystemClock(), Settings(controllers=controllers, scheduler=False))
    else:
        from pybernetes.apiserver.config import Config
        from pybernetes.apiserver.server import ApiServer
        part = ApiServer(Config(), store, SystemClock())
    async def mark():
        await part.ready.wait()
        Path(marker).touch()
    await asyncio.gather(part.run(), mark())
uvloop.run(serve(*sys.argv[1:]))
"""
"""An API server on the memory store; with controllers where some are named."""


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
        folder = Path(name)
        serve = ["-m", "pybernetes.cmd.pybernetes", "serve", "--nodes", "0", "--folder", name]
        found = await asyncio.gather(_rest(serve, folder / "admin.conf"), _rest(["-c", _FLOOR]))
        # Each beside the other: what disturbs one disturbs both.
        added = await asyncio.gather(
            _rest(["-c", _PLANE, str(folder / "all"), "*", "bootstrapsigner", "tokencleaner"], folder / "all"),
            _rest(["-c", _PLANE, str(folder / "none")], folder / "none"),
        )
    (used, resident), (used_floor, resident_floor) = found
    (used_all, resident_all), (used_none, resident_none) = added
    return [
        Row("CPU at rest, thousandths of a core", used, used_floor, "‰"),
        Row("memory", resident, resident_floor, "MB"),
        Row("API server and all controllers: CPU at rest, thousandths of a core", used_all, used_none, "‰"),
        Row("API server and all controllers: memory", resident_all, resident_none, "MB"),
    ]


def run() -> Sequence[Row]:
    """CPU and memory."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark("idle", "a control plane at rest; floor: its libraries in an event loop that waits", run)
