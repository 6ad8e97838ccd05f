"""The table of a node's Pods: one worker each, wherever a Pod comes from (the API, files, what the runtime still has).

kubelet.py feeds it and asks it; runtime_watch.py tells it what the runtime says. Ending a Pod from outside (eviction,
shutdown, preemption) is `evict()`. Next stop: worker.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.admission import NODE_AFFINITY, PREEMPTED, Decision, Host, admit, ended_before
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.cri.model import Container, PodRef, PodRuntime
from pybernetes.kubelet.executor import Executor
from pybernetes.kubelet.metrics import PREEMPTIONS, REJECTIONS
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.server.lookup import named
from pybernetes.kubelet.server.meter import PodUse
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.names import pod_ref
from pybernetes.kubelet.status.reporter import Reports
from pybernetes.kubelet.worker import PodWorker
from pybernetes.rules.readiness import is_finished

log = logging.getLogger(__name__)

GONE_GRACE = 2.0
"""Of Pods that were taken away by force: TERM, then KILL soon after."""

Gate: TypeAlias = Callable[[core_v1.Pod, Sequence[core_v1.Pod]], Verdict | None]
"""Asked once for each new Pod, with the Pods that were admitted and have not ended: None, or why it is Failed."""
Listener: TypeAlias = Callable[[PodWorker, core_v1.Pod | None, core_v1.Pod], None]
"""Told of each new or changed Pod: its worker, the Pod as it was, the Pod as it is."""


@dataclass(frozen=True)
class Parts:
    """Whom the table works with."""

    runtime: PodRuntime
    executor: Executor
    reporter: Reports
    cgroups: PodCgroups
    allocations: Allocations
    host: Callable[[], Host]
    fresh_host: Callable[[], Awaitable[Host]]
    """The same with the labels that the API has now."""


class Pods:
    """Workers by uid. `run()` holds their tasks; nothing here waits for a Pod."""

    def __init__(self, parts: Parts, settings: Settings, clock: Clock) -> None:
        self.workers: dict[str, PodWorker] = {}
        self.gates: list[Gate] = []
        """Asked before it is counted whether the Pod fits; the first that says no decides."""
        self.listeners: list[Listener] = []
        self.gone: list[Callable[[str], None]] = []
        """Told of each uid of which nothing is left here."""
        self.in_runtime: Callable[[str], bool] = lambda uid: True
        """Whether the runtime may have something of a Pod already."""
        self.complete = asyncio.Event()
        """Every source of Pods has told all it has: what the runtime has beyond that is an orphan."""
        self._parts = parts
        self._settings = settings
        self._clock = clock
        self._known: dict[str, core_v1.Pod] = {}
        self._admitted: set[str] = set()
        self._held: set[str] = set()
        """Pods about which it is not decided yet, and critical ones for which room is being made."""
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Until cancelled; Pods go on running after it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    # -- sources -------------------------------------------------------------------------------------------------------

    def changed(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        """A source has a new Pod, another version of one, or one less."""
        if new is not None:
            worker = self._worker(pod_ref(new))
            if new.metadata.uid not in self._admitted:
                self._admit(new, worker)
                self._parts.allocations.take_up(new)
            self._known[new.metadata.uid] = new
            if new.metadata.uid not in self._held or new.metadata.deletionTimestamp is not None:
                worker.update(new)
            for listener in self.listeners:
                listener(worker, old, new)
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._known.pop(old.metadata.uid, None)
            self._admitted.discard(old.metadata.uid)
            worker_of_old = self.workers.get(old.metadata.uid)
            if worker_of_old is not None:
                worker_of_old.removed(GONE_GRACE)

    def taken_up(self, uid: str) -> None:
        """The reporter has heard what an earlier kubelet reported of a Pod."""
        worker = self.workers.get(uid)
        if worker is not None:
            worker.took_up()

    def orphan(self, ref: PodRef) -> None:
        """Something of a Pod is on this machine that no source knows: it is ended and cleaned."""
        if ref.uid not in self._known and ref.uid not in self.workers:
            if ref.name:
                log.info("found a Pod that nobody knows pod=%s uid=%s", ref, ref.uid)
            self._worker(ref).removed(GONE_GRACE)

    def evict(self, uid: str, verdict: Verdict) -> bool:
        """Ends a Pod as Failed with the verdict's reason; False where it is unknown or ending already."""
        worker = self.workers.get(uid)
        if worker is None or worker.pod is None or worker.verdict is not None:
            return False
        worker.verdict = verdict
        worker.wake(look=False)
        return True

    def _admit(self, pod: core_v1.Pod, worker: PodWorker) -> None:
        uid = pod.metadata.uid
        self._admitted.add(uid)
        if pod.metadata.deletionTimestamp or is_finished(pod):
            return
        if pod.status.startTime:
            # Taken up before, by this process or the one before it; so may be its end.
            worker.verdict = ended_before(pod) or worker.verdict
            return
        decision = self._decide(pod, self._parts.host())
        if decision.refused is not None and decision.refused.reason == NODE_AFFINITY:
            # The node may just have got the label that the Pod asks for: before it is refused, the API is asked.
            self._held.add(uid)
            self.later(self._look_again(pod), f"labels for {worker.ref}")
        else:
            self._settle(pod, worker, decision)

    async def _look_again(self, pod: core_v1.Pod) -> None:
        host = await self._parts.fresh_host()
        uid = pod.metadata.uid
        self._held.discard(uid)
        if uid in self._known:
            pod = self._known[uid]
            worker = self._worker(pod_ref(pod))
            self._settle(pod, worker, self._decide(pod, host))
            if uid not in self._held:
                worker.update(pod)

    def _decide(self, pod: core_v1.Pod, host: Host) -> Decision:
        others = self.admitted(pod.metadata.uid)
        refused = next((v for gate in self.gates if (v := gate(pod, others)) is not None), None)
        return Decision(refused) if refused is not None else admit(pod, others, host)

    def _settle(self, pod: core_v1.Pod, worker: PodWorker, decision: Decision) -> None:
        if decision.refused is not None:
            self._refuse(pod, worker, decision.refused)
        elif decision.preempted:
            self._make_room(pod, worker, decision)

    def _refuse(self, pod: core_v1.Pod, worker: PodWorker, verdict: Verdict) -> None:
        log.warning("refused pod=%s reason=%s message=%s", worker.ref, verdict.reason, verdict.message)
        REJECTIONS.add(verdict.reason)
        worker.verdict = verdict
        worker.last = pod
        self._parts.executor.tell(worker, "", "Warning", verdict.reason, verdict.message)

    def _make_room(self, pod: core_v1.Pod, worker: PodWorker, decision: Decision) -> None:
        """Ends Pods so that a critical one can start; it starts when nothing of them runs any more."""
        leaving = []
        for other in decision.preempted:
            victim = self.workers.get(other.metadata.uid)
            if victim is not None and self.evict(victim.ref.uid, PREEMPTED):
                self._parts.executor.tell(victim, "", "Warning", PREEMPTED.reason, PREEMPTED.message)
                PREEMPTIONS.add(decision.short)
                leaving.append(victim)
        self._held.add(pod.metadata.uid)
        self.later(self._after(pod.metadata.uid, leaving), f"room for {worker.ref}")

    async def _after(self, uid: str, leaving: Sequence[PodWorker]) -> None:
        for victim in leaving:
            await victim.still.wait()
        self._held.discard(uid)
        pod = self._known.get(uid)
        if pod is not None:
            self._worker(pod_ref(pod)).update(pod)

    def admitted(self, besides: str = "") -> tuple[core_v1.Pod, ...]:
        """The Pods that take part of the node, without the one of a uid."""
        given = self._parts.allocations.of
        return tuple(given(p) for p in self._known.values() if p.metadata.uid != besides and self._counts(p))

    def _counts(self, pod: core_v1.Pod) -> bool:
        """Whether a Pod takes part of the node: admitted, and not ended."""
        worker = self.workers.get(pod.metadata.uid)
        refused = worker is not None and worker.verdict is not None
        ended = is_finished(self._parts.reporter.known(pod))
        return pod.metadata.uid in self._admitted and not refused and not ended

    # -- workers -------------------------------------------------------------------------------------------------------

    def _worker(self, ref: PodRef) -> PodWorker:
        worker = self.workers.get(ref.uid)
        if worker is None:
            parts = self._parts
            worker = PodWorker(ref, parts.runtime, parts.executor, parts.reporter, self._clock)
            worker.host_ips = self._settings.node_ips
            worker.allocations = parts.allocations
            worker.longest_delay = self._settings.config.crash_loop_back_off.max_container_restart_period
            if not self.in_runtime(ref.uid):
                worker.is_new()
            self.workers[ref.uid] = worker
            self.later(self._work(worker), f"pod {ref}")
        return worker

    async def _work(self, worker: PodWorker) -> None:
        await worker.run()
        self.workers.pop(worker.ref.uid, None)
        for listener in self.gone:
            listener(worker.ref.uid)
        log.info("nothing is left of pod=%s uid=%s", worker.ref, worker.ref.uid)

    def later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs something beside the workers, for as long as they run."""
        assert self._group is not None
        try:
            self._group.create_task(work, name=name)
        except RuntimeError:  # the group is ending: so says TaskGroup, and there is no other way to ask it
            work.close()

    def wake_all(self) -> None:
        """Something changed that may concern every Pod."""
        for worker in self.workers.values():
            worker.wake()

    # -- questions -----------------------------------------------------------------------------------------------------

    def living(self) -> tuple[PodWorker, ...]:
        """Those of Pods that have not ended and are not told to."""
        workers = tuple(self.workers.values())
        return tuple(w for w in workers if w.pod is not None and w.verdict is None and not is_finished(w.pod))

    def asked(self, uid: str) -> core_v1.Pod | None:
        """The Pod as its source has it, whatever it was given."""
        return self._known.get(uid)

    def knows(self, uid: str) -> bool:
        """Whether some source has the Pod, or something of it is still here."""
        return uid in self._known or uid in self.workers

    def all(self) -> Iterable[core_v1.Pod]:
        """The Pods of this node with their newest status."""
        for worker in self.workers.values():
            if worker.pod is not None:
                yield self._parts.reporter.known(worker.pod)

    def find(self, namespace: str, name: str, uid: str = "") -> PodWorker | None:
        """The Pod of that name; of namesakes the one that a source knows."""
        return named(self.workers.values(), namespace, name, uid)

    def running_containers(self) -> Iterable[Container]:
        """Every container that runs, as last observed."""
        return [c for w in self.workers.values() for c in w.observed.running]

    def uses(self) -> Sequence[PodUse]:
        """Running Pods, for what they use."""
        found = []
        for worker in self.workers.values():
            runs = worker.observed.running
            if worker.pod is not None and runs:
                pod = self._parts.reporter.known(worker.pod)
                found.append(PodUse(worker.ref, self._parts.cgroups.parent(pod), pod, runs))
        return found
