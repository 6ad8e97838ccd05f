"""Pods' start and stop through the kubelet, beside the same CRI calls made by hand.

Start: created in the API to Ready in the API. The floor does what the kubelet must do with the runtime and nothing else:
RunPodSandbox, CreateContainer, StartContainer, one after another; for many Pods, so many at once as the kubelet begins.
Stop: deleted in the API to gone from it; the floor is StopContainer, StopPodSandbox. Both run on one containerd, in turns.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from msgspec import Struct

from bench import Benchmark, Row, SkipBenchmark
from bench._containerd import OwnContainerd, missing
from bench._node import NodeUnderTest, node, raw_pod, running
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.informer import Informers
from pybernetes.kubelet.settings import Settings

COUNTS = {1: 7, 10: 5, 50: 3}
"""Pods at once, and how many rounds of them."""
COMMAND = ("sh", "-c", "trap exit TERM; sleep 1000 & wait")
GRACE = 1
"""Seconds; the container ends at once on TERM, as Pods do that can be stopped."""


class Times(Struct, frozen=True):
    """Seconds."""

    start: float
    stop: float


async def _by_hand(made: NodeUnderTest, name: str) -> str:
    """One Pod by raw CRI calls; its sandbox."""
    sandbox, container = raw_pod(made, name, COMMAND)
    id = await made.runtime.run_sandbox(sandbox)
    await made.runtime.start_container(await made.runtime.create_container(id, container, sandbox))
    return id


async def _raw(made: NodeUnderTest, count: int) -> Times:
    """So many Pods at once; the runtime gets no more of them at a time than the kubelet gives it."""
    gate = asyncio.Semaphore(Settings(node_name="", node_ips=()).max_parallel_starts)

    async def bounded(name: str) -> str:
        async with gate:
            return await _by_hand(made, name)

    began = time.perf_counter()
    sandboxes = await asyncio.gather(*(bounded(f"raw-{n}") for n in range(count)))
    started = time.perf_counter()

    async def stop(sandbox: str) -> None:
        containers = [c for c in await made.runtime.containers() if c.sandbox == sandbox]
        await asyncio.gather(*(made.runtime.stop_container(c.id, GRACE) for c in containers))
        await made.runtime.stop_sandbox(sandbox)

    await asyncio.gather(*(stop(id) for id in sandboxes))
    stopped = time.perf_counter()
    await asyncio.gather(*(made.runtime.remove_sandbox(id) for id in sandboxes))
    return Times(started - began, stopped - started)


class Eyes:
    """Sees through a watch which Pods are Ready: asking over and over would take the kubelet's CPU."""

    def __init__(self, made: NodeUnderTest) -> None:
        self.ready: set[str] = set()
        self.there: set[str] = set()
        self._news = asyncio.Event()
        self.informers = Informers(made.client)
        self.informers.of(core_v1.Pod).on_change(self._changed)

    def _changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        pod = new or old
        assert pod is not None
        name = pod.metadata.name
        (self.there.discard if new is None else self.there.add)(name)
        (self.ready.add if running(new) else self.ready.discard)(name)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for something to hold of the Pods."""
        async with asyncio.timeout(120):
            while not holds():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watched(made: NodeUnderTest) -> AsyncIterator[Eyes]:
    """Eyes that are open."""
    eyes = Eyes(made)
    task = asyncio.create_task(eyes.informers.run(), name="eyes")
    try:
        await eyes.informers.synced()
        yield eyes
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _through(made: NodeUnderTest, eyes: Eyes, count: int) -> Times:
    names = {f"pod-{n}" for n in range(count)}
    began = time.perf_counter()
    for name in names:
        await made.create(name, *COMMAND)
    await eyes.until(lambda: names <= eyes.ready)
    started = time.perf_counter()
    for name in names:
        await made.pods.delete(Key("default", name), grace=GRACE)
    await eyes.until(lambda: not names & eyes.there)
    stopped = time.perf_counter()
    await made.emptied()  # what is removed after the Pod has gone must not slow the next round
    return Times(started - began, stopped - started)


def _median(values: Iterable[float]) -> float:
    found = sorted(values)
    return found[len(found) // 2] * 1000


async def _measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="pybernetes-bench-") as folder:
        containerd = OwnContainerd(Path(folder) / "containerd", f"pybernetes-bench-{os.getpid()}")
        containerd.start()
        try:
            async with node(Path(folder), containerd) as made, watched(made) as eyes:
                await _raw(made, 1)
                await _through(made, eyes, 1)
                for count, rounds in COUNTS.items():
                    pairs = [(await _raw(made, count), await _through(made, eyes, count)) for _ in range(rounds)]
                    what = "one Pod" if count == 1 else f"{count} Pods at once"
                    floors, figures = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
                    for part in ("start", "stop"):
                        floor = _median(getattr(times, part) for times in floors)
                        rows.append(Row(f"{what}, {part}", _median(getattr(t, part) for t in figures), floor, "ms"))
        finally:
            containerd.close()
    return rows


def run() -> Sequence[Row]:
    """Needs root and a node's packages."""
    lacking = missing()
    if lacking:
        raise SkipBenchmark(lacking)
    return asyncio.run(_measure())


BENCHMARK = Benchmark("pod_start", "start and stop of Pods through the kubelet, beside raw CRI calls", run)
