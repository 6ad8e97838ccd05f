"""The groups above those of Pods: all Pods together, each QoS class, and the daemons that something is reserved for.

See "Reserve Compute Resources for System Daemons". cgroups.py writes; kubelet.py runs this.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.configuration import Configuration
from pybernetes.rules.requests import CPU, MEMORY, amounts

log = logging.getLogger(__name__)

_PERIOD = 60.0
_REST = 0.2
"""Seconds between two looks when Pods come one after another."""
_COMPRESSIBLE = "-compressible"
_PIDS = "pid"
_NAMES = (CPU, MEMORY, _PIDS)


def wanted_limits(config: Configuration, capacity: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """By enforceNodeAllocatable's words, what the group may use. What eviction keeps free stays usable: it acts itself."""
    system, kube = amounts(config.system_reserved), amounts(config.kube_reserved)
    found: dict[str, dict[str, int]] = {}
    for word in config.enforce_node_allocatable:
        if word == "pods":
            have = {name: n for name, n in amounts(capacity).items() if name in _NAMES}
            found[word] = {name: max(0, n - system.get(name, 0) - kube.get(name, 0)) for name, n in have.items()}
        elif word.startswith(("system-reserved", "kube-reserved")):
            reserved = system if word.startswith("system") else kube
            names = (CPU,) if word.endswith(_COMPRESSIBLE) else _NAMES
            found[word] = {name: n for name, n in reserved.items() if name in names}
    return found


class NodeGroups:
    """Keeps them. `wake()` when Pods have come or gone."""

    def __init__(
        self,
        cgroups: PodCgroups,
        config: Configuration,
        pods: Callable[[], Iterable[core_v1.Pod]],
        events: EventRecorder,
        clock: Clock,
    ) -> None:
        self._cgroups = cgroups
        self._config = config
        self._pods = pods
        self._events = events
        self._clock = clock
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Pods have come, gone, or want something else."""
        self._changed.set()

    async def run(self, about: core_v1.ObjectReference, capacity: Mapping[str, str]) -> None:
        """Until cancelled. `about` is the node, which events tell of."""
        limits = wanted_limits(self._config, capacity)
        while True:
            with Guard("cgroups of the node"):
                limits = await self._enforce(limits, about)
                await asyncio.to_thread(self._cgroups.update_classes, tuple(self._pods()))
            await self._rest()

    async def _rest(self) -> None:
        await self._clock.sleep(_REST)
        try:
            async with asyncio.timeout(_PERIOD):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _enforce(
        self, limits: Mapping[str, dict[str, int]], about: core_v1.ObjectReference
    ) -> dict[str, dict[str, int]]:
        """Sets limits once; those that could not be set, to be tried again."""
        left = {}
        for word, most in limits.items():
            try:
                await asyncio.to_thread(self._set, word, most)
            except OSError as error:
                message = f"Failed to {self._what(word)}: {error}"
                log.warning("%s", message)
                self._events.event(about, "Warning", "FailedNodeAllocatableEnforcement", message)
                left[word] = most
            else:
                done = "Node Allocatable limit across pods"
                if word != "pods":
                    done = f"limits on {word.removesuffix(_COMPRESSIBLE).replace('-', ' ')} cgroup {self._group(word)}"
                self._events.event(about, "Normal", "NodeAllocatableEnforced", f"Updated {done}")
        return left

    def _what(self, word: str) -> str:
        """Upstream's words: a group is told as Go prints its path."""
        if word == "pods":
            path = " ".join(f'"{part}"' for part in self._cgroups.root.split("/") if part)
            return f"update Node Allocatable Limits [{path}]"
        return f'enforce {word.replace("-", " ").title()} Cgroup Limits on "{self._group(word)}"'

    def _set(self, word: str, most: Mapping[str, int]) -> None:
        if word == "pods":
            self._cgroups.enforce(most)
        else:
            self._cgroups.enforce_on(self._group(word), most)

    def _group(self, word: str) -> str:
        config = self._config
        return config.system_reserved_cgroup if word.startswith("system") else config.kube_reserved_cgroup
