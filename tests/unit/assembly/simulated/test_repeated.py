"""A run on virtual time is the same in another process, whatever Python's hashes are there."""

import os
import subprocess
import sys

STORY = """
import asyncio, hashlib
from tests.unit.assembly.simulated.worlds import world
from pybernetes.aio.simulation import run_simulated
from pybernetes.api.types import core_v1

async def story():
    async with world(["one", "two", "three"]) as w:
        for number in range(12):
            rules = [{}, {"exit-code": "1"}, {"run-seconds": "7"}, {"ready-after-seconds": "4"}][number % 4]
            beside = [{"name": "beside", "image": "b", "restartPolicy": "Always"}]
            await w.pod(f"p{number}", rules=rules, initContainers=beside, nodeName=["one", "two", "three"][number % 3])
        await w.clock.sleep(50)
        await w.nodes.agents["one"].fail()
        for number in range(0, 12, 2):
            await w.delete(f"p{number}")
        await w.clock.sleep(50)
        await w.nodes.agents["one"].recover()
        await w.clock.sleep(50)
        events = (await w.client.of(core_v1.Event).list()).items
        history = w.writes + [f"{e.metadata.name} {e.count} {e.reason} {e.message}" for e in events]
        print(len(history), hashlib.sha256(repr(history).encode()).hexdigest())

run_simulated(story())
"""


def told(seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
    return subprocess.run(
        [sys.executable, "-c", STORY], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_two_processes_tell_the_same_story() -> None:
    first = told("1")
    assert int(first.split()[0]) > 200
    assert told("2") == first
