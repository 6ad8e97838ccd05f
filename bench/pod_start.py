"""Pod start: created in the API to Ready in the API, through the kubelet, beside the same CRI calls made by hand.

The floor does what the kubelet must do with the runtime and nothing else: RunPodSandbox, CreateContainer,
StartContainer, one after another; for many Pods, all at once. Both run on one containerd, in turns.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import Benchmark, Row, SkipBenchmark
from bench._containerd import IMAGE, OwnContainerd, missing
from bench._node import NodeUnderTest, gone, node, running
from pybernetes.api.objects import Key
from pybernetes.kubelet.cri import model as m

ROUNDS = 5
MANY = 10


async def _by_hand(made: NodeUnderTest, name: str) -> str:
    """One Pod by raw CRI calls; its sandbox."""
    ref = m.PodRef("raw", name, f"{name}-uid")
    labels = {m.POD_NAME: name, m.POD_NAMESPACE: "raw"}
    logs = made.folder / "raw" / name
    (logs / "c").mkdir(parents=True, exist_ok=True)
    sandbox = m.SandboxSpec(
        pod=ref,
        attempt=0,
        hostname=name,
        log_directory=str(logs),
        cgroup_parent=f"/{made.containerd.cgroup.path}/raw/{name}",
        labels=labels,
        annotations={},
        host_network=True,
    )
    container = m.ContainerSpec(
        name="c",
        attempt=0,
        image=IMAGE,
        command=("sleep", "1000"),
        args=(),
        working_dir="",
        envs=(),
        mounts=(),
        labels=labels,
        annotations={},
        log_path="c/0.log",
        stdin=False,
        stdin_once=False,
        tty=False,
        resources=m.Resources(),
        security=m.Security(),
    )
    id = await made.runtime.run_sandbox(sandbox)
    await made.runtime.start_container(await made.runtime.create_container(id, container, sandbox))
    return id


async def _raw(made: NodeUnderTest, count: int) -> float:
    began = time.perf_counter()
    sandboxes = await asyncio.gather(*(_by_hand(made, f"raw-{n}") for n in range(count)))
    took = time.perf_counter() - began
    for id in sandboxes:
        await made.runtime.stop_sandbox(id)
        await made.runtime.remove_sandbox(id)
    return took


async def _through(made: NodeUnderTest, count: int) -> float:
    names = [f"pod-{n}" for n in range(count)]
    began = time.perf_counter()
    for name in names:
        await made.create(name)
    await asyncio.gather(*(made.until(name, running, 120) for name in names))
    took = time.perf_counter() - began
    for name in names:
        await made.pods.delete(Key("default", name), grace=1)
    await asyncio.gather(*(made.until(name, gone, 120) for name in names))
    await asyncio.sleep(0.3)  # what is removed after the Pod has gone must not slow the next round
    return took


async def _measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="pybernetes-bench-") as folder:
        containerd = OwnContainerd(Path(folder) / "containerd", f"pybernetes-bench-{os.getpid()}")
        containerd.start()
        try:
            async with node(Path(folder), containerd) as made:
                await _raw(made, 1)
                await _through(made, 1)
                for count in (1, MANY):
                    pairs = [(await _raw(made, count), await _through(made, count)) for _ in range(ROUNDS)]
                    floor, figure = (sorted(column)[ROUNDS // 2] for column in zip(*pairs, strict=True))
                    what = "one Pod, API to Ready" if count == 1 else f"{count} Pods at once, API to Ready"
                    rows.append(Row(what, figure * 1000, floor * 1000, "ms"))
        finally:
            containerd.close()
    return rows


def run() -> Sequence[Row]:
    """Needs root and a node's packages."""
    lacking = missing()
    if lacking:
        raise SkipBenchmark(lacking)
    return asyncio.run(_measure())


BENCHMARK = Benchmark("pod_start", "start of Pods through the kubelet, beside raw CRI calls", run)
