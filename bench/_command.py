"""A command of ours in a process of its own, and what the kernel says it has used."""

import asyncio
import atexit
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from bench.apiserver import Files
from pybernetes.wire.client import HttpClient
from pybernetes.wire.http import Headers, Request, read_body
from pybernetes.wire.tls import client_context

_LONGEST = 600.0


@cache
def environment() -> dict[str, str]:
    """Modules are compiled once and kept, as an installed package has them."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    return found | {"PYTHONPYCACHEPREFIX": kept.name}


def memory(pid: int) -> float:
    """Resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def once(arguments: Sequence[str], rounds: int = 5) -> float:
    """Milliseconds of CPU that `python ARGUMENTS` takes from start to end: the least of a few."""
    found = []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000)
    return min(found)


class ApiServerProcess:
    """kube-apiserver, ready. `seconds` and `cpu_seconds`: from its start until then."""

    def __init__(self, process: "subprocess.Popen[bytes]", client: HttpClient, seconds: float) -> None:
        self.pid = process.pid
        self.client = client
        self.seconds = seconds
        self.cpu_seconds = cpu(process.pid)

    async def get(self, target: str) -> bytes:
        """The body of an answer. Raises RuntimeError for any but 200."""
        response = await self.client(Request("GET", target, Headers()))
        body = await read_body(response)
        if response.status != 200:
            raise RuntimeError(f"{target}: {response.status} {body[:200]!r}")
        return body


@asynccontextmanager
async def api_server(folder: Path) -> AsyncIterator[ApiServerProcess]:
    """kube-apiserver on the store `store.db` of a folder, over TLS on the loopback."""
    files = Files(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = {
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": files.server.certificate,
        "tls-private-key-file": files.server.key,
        "client-ca-file": files.ca,
        "storage-path": folder / "store.db",
    }
    command = [sys.executable, "-m", "pybernetes.cmd.kube_apiserver", *(f"--{name}={v}" for name, v in flags.items())]
    began = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = await asyncio.to_thread(subprocess.Popen, command, stderr=log, env=environment())
    client = HttpClient(f"https://127.0.0.1:{port}", ssl=client_context(ca=files.ca, identity=files.client))
    try:
        await _ready(client, process, folder)
        yield ApiServerProcess(process, client, time.perf_counter() - began)
    finally:
        await client.aclose()
        process.terminate()
        await asyncio.to_thread(process.wait, 60)


async def _ready(client: HttpClient, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    async with asyncio.timeout(_LONGEST):
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"kube-apiserver has ended: {(folder / 'log').read_text()[-1000:]}")
            try:
                if (await client(Request("GET", "/readyz", Headers()))).status == 200:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.02)
