"""The garbage collector in commands: seldom, and never over what a server has loaded."""

import asyncio
import gc
import subprocess
import sys
from types import SimpleNamespace

import uvloop

from pybernetes.cmd import GC_THRESHOLDS, kube_apiserver, pybernetes


def test_it_is_seldom_as_soon_as_a_command_is_imported() -> None:
    script = "import gc, pybernetes.cmd.kubectl; print(*gc.get_threshold())"
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == [str(number) for number in GC_THRESHOLDS]


async def _ready() -> int:
    server = SimpleNamespace(ready=asyncio.Event())
    waiting = asyncio.create_task(kube_apiserver._settle(server))
    await asyncio.sleep(0)
    assert not waiting.done()
    server.ready.set()
    await waiting
    return gc.get_freeze_count()


def test_what_a_server_has_loaded_is_frozen_once_it_is_ready() -> None:
    gc.unfreeze()
    try:
        assert asyncio.run(_ready()) > 0
    finally:
        gc.unfreeze()


def test_a_cluster_in_this_process_runs_on_the_servers_loop() -> None:
    parse = pybernetes._parser().parse_args
    assert pybernetes._runner(parse(["serve", "--folder", "x"])) is uvloop.run
    assert pybernetes._runner(parse(["status"])) is asyncio.run
