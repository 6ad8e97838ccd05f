"""What commands import before they do anything: a start is mostly that. Budgets instead of times, which no machine keeps."""

import os
import subprocess
import sys

import pytest

_SERVER = (
    "import asyncio, sys\n"
    "from pybernetes.aio.clock import SystemClock\n"
    "from pybernetes.apiserver.config import Config\n"
    "from pybernetes.apiserver.server import ApiServer\n"
    "from pybernetes.cmd import kube_apiserver\n"
    "from pybernetes.store import factory\n"
    "async def start():\n"
    "    server = ApiServer(Config(), await factory('sqlite').open(sys.argv[1]), SystemClock())\n"
    "    running = asyncio.create_task(server.run())\n"
    "    await server.ready.wait()\n"
    "    print(*sys.modules)\n"
    "    running.cancel()\n"
    "asyncio.run(start())\n"
)
_NOT_SERVER = ("pybernetes.apiserver", "pybernetes.controllers", "pybernetes.scheduler", "pybernetes.store")


def modules(script: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", script, *arguments]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"})
    return set(ended.stdout.split())


def of_help(command: str) -> set[str]:
    script = (
        f"import atexit, io, sys; sys.argv = ['{command}', '--help']; out, sys.stdout = sys.stdout, io.StringIO()\n"
        "atexit.register(lambda: print(*sys.modules, file=out))\n"
        f"from pybernetes.cmd.{command} import main\n"
        "main()\n"
    )
    return modules(script)


def ours(found: set[str], *parts: str) -> list[str]:
    return sorted(name for name in found if any(name == part or name.startswith(part + ".") for part in parts))


def test_an_api_server_that_is_ready_has_imported_little_that_it_has_not_used(tmp_path) -> None:
    found = modules(_SERVER, str(tmp_path / "store.db"))
    assert not ours(found, "yaml", "jwt", "grpc", "http.client", "urllib.request", "pybernetes.client.kubeconfig")
    assert not ours(found, "pybernetes.controllers", "pybernetes.scheduler", "pybernetes.kubelet", "pybernetes.kubectl")
    assert not ours(found, "pybernetes.store.etcd", "pybernetes.store.memory", "pybernetes.assembly")
    assert len(found) <= 740


@pytest.mark.parametrize(("command", "most"), [("kubectl", 310), ("pybernetes", 230)])
def test_help_is_said_without_the_server(command: str, most: int) -> None:
    found = of_help(command)
    assert f"pybernetes.cmd.{command}" in found
    assert not ours(found, "uvloop", "cryptography", "yaml", "sqlite3", *_NOT_SERVER)
    assert len(found) <= most
