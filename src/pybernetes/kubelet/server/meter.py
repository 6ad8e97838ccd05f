"""Meter: samples what the node, its Pods and their containers use, every two seconds at most. summary.py and exposition.py show it.

Nobody asks most of the time: then nothing is read. What lies on disks is disk_meter.py's.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import Container, PodRef
from pybernetes.kubelet.usage import (
    Interface,
    Usage,
    default_interface,
    read_machine_usage,
    read_network,
    read_process_usage,
    read_processes,
    swap_capacity,
)

_FRESH = 2.0
"""Seconds for which a sample is taken again; two that are so far apart make a rate."""
_STALE = 120.0
"""Seconds after which a sample tells nothing of the rate now."""
_NODE = "node"
KUBELET, RUNTIME, PODS = "kubelet", "runtime", "pods"
"""The system containers, as upstream calls them."""


class PodUse(Struct, frozen=True):
    """One running Pod, as it is asked about. `containers` are those that run."""

    ref: PodRef
    group: str
    """Its cgroup."""
    pod: core_v1.Pod
    containers: tuple[Container, ...]


class Sample(Struct, frozen=True):
    """All figures of one moment. `containers` by id; `pods` and `networks` by uid; `system` by name."""

    at: float
    taken: float
    """The same on a clock that nobody sets."""
    node: Usage
    system: Mapping[str, Usage]
    pods: Mapping[str, Usage]
    containers: Mapping[str, Usage]
    network: tuple[Interface, ...]
    networks: Mapping[str, tuple[Interface, ...]]
    default_interface: str
    processes: tuple[int, int]
    """Most there may be, and how many there are."""
    swap_capacity: int
    uses: Sequence[PodUse]
    rates: Mapping[str, int]
    """Nanoseconds of CPU a second, by `node`, name of a system container, uid or container id."""


class Meter:
    """`sample()` for everybody who asks; `uses` tells which Pods run."""

    def __init__(
        self,
        cgroups: PodCgroups,
        uses: Callable[[], Sequence[PodUse]],
        clock: Clock,
        runtime_pid: Callable[[], int | None],
        proc: Path = Path("/proc"),
    ) -> None:
        self._cgroups = cgroups
        self._uses = uses
        self._clock = clock
        self._runtime_pid = runtime_pid
        self._proc = proc
        self._last: Sample | None = None
        self._lock = asyncio.Lock()

    async def sample(self) -> Sample:
        """The newest figures. Whoever asks while they are read waits for the same ones."""
        async with self._lock:
            last, now = self._last, self._clock.monotonic()
            if last is None or now - last.taken >= _FRESH:
                before = last if last is not None and now - last.taken < _STALE else None
                last = await asyncio.to_thread(self._read, tuple(self._uses()), now, before)
                self._last = last
            return last

    def _read(self, uses: Sequence[PodUse], taken: float, before: Sample | None) -> Sample:
        cgroups, proc = self._cgroups, self._proc
        runtime = self._runtime_pid()
        node = read_machine_usage(cgroups.node_folders(), proc)
        system = {
            KUBELET: read_process_usage(os.getpid(), proc),
            RUNTIME: Usage() if runtime is None else read_process_usage(runtime, proc),
            PODS: cgroups.usage(cgroups.root),
        }
        pods = {use.ref.uid: cgroups.usage(use.group) for use in uses}
        containers = {run.id: cgroups.usage(f"{use.group}/{run.id}") for use in uses for run in use.containers}
        now = {_NODE: node, **system, **pods, **containers}
        old = {} if before is None else {_NODE: before.node, **before.system, **before.pods, **before.containers}
        seconds = taken - before.taken if before is not None else 0.0
        return Sample(
            at=self._clock.now(),
            taken=taken,
            node=node,
            system=system,
            pods=pods,
            containers=containers,
            network=read_network(proc=proc),
            networks={use.ref.uid: self._network(use) for use in uses},
            default_interface=default_interface(proc),
            processes=read_processes(proc),
            swap_capacity=swap_capacity(proc),
            uses=uses,
            rates=_rates(old, now, seconds),
        )

    def _network(self, use: PodUse) -> tuple[Interface, ...]:
        """Of a Pod with a network of its own: as any of its processes sees it."""
        if use.pod.spec.hostNetwork:
            return ()
        for run in use.containers:
            pid = self._cgroups.some_process(f"{use.group}/{run.id}")
            if pid is not None:
                return read_network(pid, self._proc)
        return ()


def _rates(old: Mapping[str, Usage], now: Mapping[str, Usage], seconds: float) -> dict[str, int]:
    found = {}
    for name, usage in now.items():
        before = old.get(name)
        if seconds > 0 and before is not None and before.cpu is not None and usage.cpu is not None:
            found[name] = max(0, round((usage.cpu - before.cpu) / seconds))
    return found
