"""What it costs to start: kube-apiserver to the first 200 of /readyz, and what a user waits for: `kubectl --help`.

CPU of the whole process; the floor of the server is an interpreter that imports the libraries it is made of, that of the
others an interpreter that does nothing.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench import Benchmark, Row
from bench._command import api_server, once

ROUNDS = 3
_LIBRARIES = "import asyncio, ssl, sqlite3, uvloop, orjson, msgspec, httptools; from cryptography import x509"


async def _server(folder: Path) -> float:
    found = []
    for _ in range(ROUNDS):
        async with api_server(folder) as started:
            found.append(started.cpu_seconds)
    return min(found) * 1000


async def _empty() -> float:
    found = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            async with api_server(Path(name)) as started:
                found.append(started.cpu_seconds)
    return min(found) * 1000


async def _rows() -> Sequence[Row]:
    libraries, nothing = once(["-c", _LIBRARIES]), once(["-c", "pass"])
    with tempfile.TemporaryDirectory() as name:
        again = await _server(Path(name))
    return [
        Row("kube-apiserver, empty store, to /readyz", await _empty(), libraries, "ms"),
        Row("kube-apiserver, the same store again", again, libraries, "ms"),
        Row("kubectl --help", once(["-m", "pybernetes.cmd.kubectl", "--help"]), nothing, "ms"),
        Row("pybernetes --help", once(["-m", "pybernetes.cmd.pybernetes", "--help"]), nothing, "ms"),
    ]


def run() -> Sequence[Row]:
    """A row a command."""
    return uvloop.run(_rows())


BENCHMARK = Benchmark(
    "start", "CPU of a start; floor: the libraries imported, or an interpreter that does nothing", run
)
