"""Graceful node shutdown: before the machine goes, its Pods are ended by priority, the lowest first (KEP-2000, KEP-2712).

cmd/_kubelet.py calls `begin()` on SIGPWR and `cancel()` on SIGUSR1; `graceful_node_shutdown_state` in the kubelet's root says
when it began and that it is over, for whoever waits to switch the machine off. plan() is pure.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from msgspec import Struct

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api.types import core_v1
from pybernetes.client.guard import Guard
from pybernetes.kubelet.configuration import Configuration, PriorityGracePeriod
from pybernetes.kubelet.metrics import SHUTDOWN_BEGAN, SHUTDOWN_ENDED
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

SHUTTING_DOWN = "node is shutting down"
REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
REFUSED = Verdict("NodeShutdown", "Pod was rejected as the node is shutting down.")
STATE = "graceful_node_shutdown_state"
_CRITICAL = 2_000_000_000


class Group(Struct, frozen=True):
    """Pods that are ended together, and the seconds they have for it."""

    priority: int
    seconds: int
    pods: tuple[core_v1.Pod, ...]

    def grace_of(self, pod: core_v1.Pod) -> float:
        """The shorter of the Pod's own and the group's."""
        own = pod.spec.terminationGracePeriodSeconds
        return self.seconds if own is None else min(own, self.seconds)


def periods(config: Configuration) -> tuple[PriorityGracePeriod, ...]:
    """By priority, the lowest first. Nothing where no time is given to a shutdown."""
    said = config.shutdown_grace_period_by_pod_priority
    if not said and config.shutdown_grace_period > 0:
        critical = int(config.shutdown_grace_period_critical_pods)
        said = (
            PriorityGracePeriod(0, int(config.shutdown_grace_period) - critical),
            PriorityGracePeriod(_CRITICAL, critical),
        )
    return tuple(sorted(said, key=lambda period: period.priority))


def plan(given: Sequence[PriorityGracePeriod], pods: Iterable[core_v1.Pod]) -> tuple[Group, ...]:
    """Who is ended in which order. A Pod belongs to the highest period that is not above it, or to the lowest there is."""
    groups: list[list[core_v1.Pod]] = [[] for _ in given]
    for pod in pods:
        below = [at for at, period in enumerate(given) if period.priority <= (pod.spec.priority or 0)]
        groups[below[-1] if below else 0].append(pod)
    return tuple(
        Group(period.priority, period.shutdown_grace_period_seconds, tuple(members))
        for period, members in zip(given, groups, strict=True)
        if members
    )


@dataclass(frozen=True)
class Around:
    """Whom a shutdown works with."""

    workers: Callable[[], Iterable[PodWorker]]
    """Of Pods that live."""
    evict: Callable[[str, Verdict], bool]
    tell: Callable[[str], None]
    """An event about the node."""
    changed: Callable[[], None]
    """The node's status says so now."""
    note: Callable[[float, float | None], Awaitable[None]]
    """Writes down when it began and ended: note_in()."""


async def note_in(root: Path, began: float, ended: float | None) -> None:
    """Writes the state of a shutdown for those who wait for its end."""
    state = {"startTime": rfc3339(began), "endTime": rfc3339(ended) if ended is not None else None}
    try:
        await asyncio.to_thread((root / STATE).write_bytes, orjson.dumps(state))
    except OSError as error:
        log.warning("cannot write the state of the shutdown error=%s", error)


class NodeShutdown:
    """`begin()` and `cancel()` never wait; run() ends the Pods."""

    def __init__(self, around: Around, config: Configuration, clock: Clock) -> None:
        self.periods = periods(config)
        self._around = around
        self._clock = clock
        self._on = False
        self._asked = asyncio.Event()
        self._off = asyncio.Event()

    def begin(self) -> None:
        """The machine is about to go. Without a grace period nothing is done."""
        if not self.periods:
            log.warning("told to shut down, but there is no shutdownGracePeriod; Pods are left alone")
            return
        if self._on:
            return
        log.info("the node is shutting down")
        self._on = True
        self._off.clear()
        self._asked.set()
        self._around.tell("Shutdown manager detected shutdown event")
        self._around.changed()

    def cancel(self) -> None:
        """It stays after all: Pods are taken again. What was told to end does end."""
        if not self._on:
            return
        log.info("the shutdown of the node is cancelled")
        self._on = False
        self._asked.clear()
        self._off.set()
        self._around.tell("Shutdown manager detected shutdown cancellation")
        self._around.changed()

    def unready(self) -> str:
        """Why the node is not ready; empty where it stays."""
        return SHUTTING_DOWN if self._on else ""

    def gate(self, pod: core_v1.Pod, others: Sequence[core_v1.Pod]) -> Verdict | None:
        """Refuses new Pods."""
        return REFUSED if self._on else None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            with Guard("node shutdown"):
                await self._end_pods()

    async def _end_pods(self) -> None:
        began = self._clock.now()
        SHUTDOWN_BEGAN.set(began)
        SHUTDOWN_ENDED.set(0.0)
        await self._around.note(began, None)
        workers = {w.ref.uid: w for w in self._around.workers()}
        for group in plan(self.periods, [w.pod for w in workers.values() if w.pod is not None]):
            if not self._on:
                return
            await self._end(group, workers)
        if self._on:
            ended = self._clock.now()
            SHUTDOWN_ENDED.set(ended)
            await self._around.note(began, ended)
            log.info("the node's Pods have ended, it may go")

    async def _cancelled(self) -> None:
        await self._off.wait()

    async def _end(self, group: Group, workers: dict[str, PodWorker]) -> None:
        members = [workers[pod.metadata.uid] for pod in group.pods]
        log.info("ending Pods priority=%d pods=%d seconds=%d", group.priority, len(members), group.seconds)
        for pod in group.pods:
            verdict = Verdict(REASON, MESSAGE, group.grace_of(pod), disruption=MESSAGE)
            self._around.evict(pod.metadata.uid, verdict)
        # Volumes, too: what serves them may be in a group that is ended later.
        ended = asyncio.ensure_future(_all_clean(members))
        over = asyncio.ensure_future(self._clock.sleep(group.seconds))
        off = asyncio.ensure_future(self._cancelled())
        try:
            await asyncio.wait({ended, over, off}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                late = [str(w.ref) for w in members if not w.still.is_set()]
                log.warning("time is over or the shutdown cancelled priority=%d running=%s", group.priority, late)
        finally:
            for waiting in (ended, over, off):
                waiting.cancel()


async def _all_clean(workers: Sequence[PodWorker]) -> None:
    for worker in workers:
        await worker.clean.wait()
