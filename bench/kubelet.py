"""The kubelet with a full node: what it costs at rest, how soon it tells, how soon a new one is at work.

A kubelet of its own process (_process.py) with 110 Pods on one containerd. The floors are the same kubelet without Pods; for
the event, containerd's own stream.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import Benchmark, Row, SkipBenchmark
from bench._containerd import OwnContainerd, missing
from bench._node import gone, running
from bench._process import ProcessNode, process_node
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.events import EventSource

PODS = 110
REST = 40.0
"""Seconds over which rest is measured."""
EVENTS = 9


async def _rest(made: ProcessNode) -> tuple[float, float]:
    """Thousandths of a core, and resident megabytes."""
    assert made.process is not None
    await asyncio.sleep(5)
    before, began = _cpu(made.process.pid), time.monotonic()
    await asyncio.sleep(REST)
    used = (_cpu(made.process.pid) - before) / (time.monotonic() - began)
    return used * 1000, _memory(made.process.pid)


def _memory(pid: int) -> float:
    """Resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _restart(made: ProcessNode, name: str) -> float:
    """From the start of a kubelet's process until a Pod that waits for it is Ready."""
    await made.stop_kubelet()
    await made.create(name)
    began = time.perf_counter()
    await made.start_kubelet()
    await made.until(name, running, 60)
    took = time.perf_counter() - began
    await made.pods.delete(Key("default", name), grace=1)
    await made.until(name, gone, 60)
    return took * 1000


async def _told(made: ProcessNode, name: str) -> tuple[float, float]:
    """From the end of a container's process until containerd says so, and until the API does. Milliseconds."""
    await made.create(name, "sleep", "1000", restartPolicy="Never")
    pod = await made.until(name, running)
    id = pod.status.containerStatuses[0].containerID.rpartition("/")[2]
    pid = next(int(p) for p in made.containerd.ctr("tasks", "ls").split("\n") for p in _pid_of(p, id))
    heard = asyncio.create_task(_hear(made, id))
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    await made.until(name, _ended)
    told = time.perf_counter() - began
    floor = await heard - began
    await made.pods.delete(Key("default", name), grace=1)
    await made.until(name, gone)
    return floor * 1000, told * 1000


def _pid_of(line: str, id: str) -> Sequence[str]:
    return line.split()[1:2] if line.startswith(id) else ()


async def _hear(made: ProcessNode, id: str) -> float:
    async for event in EventSource(made.containerd.endpoint).stream():
        if event.container == id and event.exit is not None:
            return time.perf_counter()
    raise AssertionError("the stream has ended")


def _ended(pod: core_v1.Pod | None) -> bool:
    return bool(pod and pod.status.containerStatuses and pod.status.containerStatuses[0].state.terminated)


async def _measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="pybernetes-bench-") as folder:
        containerd = OwnContainerd(Path(folder) / "containerd", f"pybernetes-bench-{os.getpid()}")
        containerd.start()
        try:
            async with process_node(Path(folder) / "n", containerd, maxPods=PODS + 10) as made:
                return await _of(made)
        finally:
            containerd.close()


async def _of(made: ProcessNode) -> list[Row]:
    cpu_floor, memory_floor = await _rest(made)
    restart_floor = await _restart(made, "first")
    names = [f"p-{number}" for number in range(PODS)]
    for name in names:
        await made.create(name)
    for name in names:
        await made.until(name, running, 120)
    cpu, memory = await _rest(made)
    restart = await _restart(made, "late")
    heard, told = zip(*[await _told(made, f"e-{number}") for number in range(EVENTS)], strict=True)
    for name in names:
        await made.pods.delete(Key("default", name), grace=1)
    for name in names:
        await made.until(name, gone, 120)
    return [
        Row(f"CPU at rest with {PODS} Pods, of a core", cpu, cpu_floor, "/1000"),
        Row(f"memory with {PODS} Pods", memory, memory_floor, "MB"),
        Row(f"restart with {PODS} Pods until a new one is Ready", restart, restart_floor, "ms"),
        Row("end of a container until the API says so", sorted(told)[EVENTS // 2], sorted(heard)[EVENTS // 2], "ms"),
    ]


def run() -> Sequence[Row]:
    """Needs root and a node's packages."""
    lacking = missing()
    if lacking:
        raise SkipBenchmark(lacking)
    return asyncio.run(_measure())


BENCHMARK = Benchmark("kubelet", "a kubelet with 110 Pods: at rest, after a restart, and when something happens", run)
