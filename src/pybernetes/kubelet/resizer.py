"""Applies what a Pod was allocated to its cgroup and running containers: the action ResizePod. resize.py decides before it.

More is given to the Pod's cgroup before its containers, and less after them, so that no container is ever held to less
than it was promised because its Pod is smaller for a moment.
"""

import asyncio
import logging
from collections.abc import Mapping

from pybernetes.api.types import core_v1
from pybernetes.kubelet.allocation import GROUP, Allocations, resizable
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import Container, PodRuntime, Resources, RuntimeRefused, State
from pybernetes.kubelet.failures import ActionFailed
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.resize import Resizes, shown
from pybernetes.kubelet.resources import Limits, container_resources, cpu_rules, pod_limits
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

_FIRST, _MOST = 2.0, 60.0


class Resizer:
    """One node's."""

    def __init__(
        self, runtime: PodRuntime, cgroups: PodCgroups, allocations: Allocations, resizes: Resizes, settings: Settings
    ) -> None:
        self._runtime = runtime
        self._cgroups = cgroups
        self._allocations = allocations
        self._resizes = resizes
        self._memory = settings.memory
        self._rules = cpu_rules(settings.config)

    async def apply(self, worker: PodWorker, pod: core_v1.Pod) -> None:
        """Makes the Pod have what it was allocated. Raises ActionFailed, RuntimeUnavailable."""
        names = self._allocations.in_place(pod)
        restarting = self._allocations.unapplied(pod.metadata.uid) - names
        if GROUP in names and self._allocations.before(pod).spec.resources != pod.spec.resources:
            # Containers without limits of their own have the Pod's.
            names |= {c.name for c in resizable(pod)} - restarting
        newest: dict[str, Container] = {}
        for run in sorted(worker.observed.containers, key=lambda c: c.attempt):
            newest[run.name] = run
        running = {n: newest[n] for n in names if n in newest and newest[n].state == State.RUNNING}
        wanted = {
            c.name: container_resources(pod, c, self._memory, self._rules)
            for c in containers_of(pod)
            if c.name in running
        }
        old, new = (pod_limits(p, self._rules) for p in (self._allocations.before(pod), pod))
        group = self._cgroups.parent(pod)
        try:
            await asyncio.to_thread(self._check_memory, group, running, wanted, (old, old if restarting else new))
            if GROUP in names:
                await asyncio.to_thread(self._cgroups.resize, group, _larger(old, new))
            for name, run in running.items():
                await self._runtime.update_container(run.id, wanted[name])
            if GROUP in names and restarting:
                # They still have what they had: the Pod is not made smaller than that before they have ended.
                await self.applied(worker, pod, names - {GROUP})
                raise ActionFailed("ResizeWaits", "containers restart for the resize", first=0.5, most=5.0)
            if GROUP in names:
                await asyncio.to_thread(self._cgroups.resize, group, new)
        except (OSError, RuntimeRefused, MemoryInUse) as error:
            message = error.message if isinstance(error, RuntimeRefused) else str(error)
            raise self._failed(worker, pod, message) from None
        for container in containers_of(pod):
            if container.name in running:
                actual = await asyncio.to_thread(self._cgroups.actual, f"{group}/{running[container.name].id}")
                worker.actual[container.name] = shown(container.resources, actual)
            elif container.name in names:
                worker.actual.pop(container.name, None)  # it has ended: what it had says nothing any more
        await self.applied(worker, pod, names)

    async def applied(self, worker: PodWorker, pod: core_v1.Pod, names: frozenset[str]) -> None:
        """Containers (and GROUP) have what the Pod's spec says."""
        if not self._allocations.applied(pod, names):
            return
        try:
            await asyncio.to_thread(self._allocations.save, pod.metadata.uid)
        except OSError as error:
            # A kubelet that comes back would apply it once more, which harms nobody.
            log.warning("cannot write what was applied pod=%s error=%s", worker.ref, error)
        self._resizes.progressed(worker, pod)

    def _failed(self, worker: PodWorker, pod: core_v1.Pod, message: str) -> ActionFailed:
        self._resizes.failed(worker, pod, message)
        return ActionFailed("ResizeError", message, first=_FIRST, most=_MOST)

    def _check_memory(
        self,
        group: str,
        running: Mapping[str, Container],
        wanted: Mapping[str, Resources],
        pods: tuple[Limits, Limits],
    ) -> None:
        """Less memory than is in use would end somebody. Raises MemoryInUse."""
        old, new = pods
        problems = []
        used = self._cgroups.usage(group).memory or 0
        if new.memory is not None and (old.memory is None or new.memory < old.memory) and new.memory <= used:
            problems.append(f"attempting to set pod memory limit ({new.memory}) below current usage ({used})")
        for name, run in running.items():
            path, most = f"{group}/{run.id}", wanted[name].memory_limit
            limit, used = self._cgroups.memory_limit(path), self._cgroups.usage(path).memory or 0
            if most and (limit is None or most < limit) and most <= used:
                problems.append(
                    f'attempting to set container "{name}" memory limit ({most}) below current usage ({used})'
                )
        if problems:
            said = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
            raise MemoryInUse(f"cannot decrease memory limits: {said}")


class MemoryInUse(Exception):
    """A limit would be below what is used now."""


def _larger(one: Limits, other: Limits) -> Limits:
    """What holds both; None is no limit at all."""

    def most(a: int | None, b: int | None) -> int | None:
        if a is None or b is None or min(a, b) < 0:  # below 0: quotas are switched off
            return None
        return max(a, b)

    return Limits(
        cpu_shares=max(one.cpu_shares, other.cpu_shares),
        cpu_quota=most(one.cpu_quota, other.cpu_quota),
        memory=most(one.memory, other.memory),
        huge_pages=other.huge_pages,
    )
