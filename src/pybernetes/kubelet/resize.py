"""In-place resize of Pods: whether what a Pod's spec asks for now can be given, and the conditions that say so (KEP-1287).

allocation.py remembers what was given. The Pod machine applies it by the action ResizePod, or by a restart where the
container's resizePolicy wants one. See "Resize CPU and Memory Resources assigned to Containers".
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec import Struct

from pybernetes.aio.clock import Clock
from pybernetes.api.quantity import of_int, of_milli
from pybernetes.api.types import core_v1
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.kubelet import resources
from pybernetes.kubelet.admission import Host, shortages
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cri.model import PodRef
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.rules.qos import qos_class
from pybernetes.rules.requests import CPU, MEMORY, amount, pod_requests

log = logging.getLogger(__name__)

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
DEFERRED, INFEASIBLE, ERROR = "Deferred", "Infeasible", "Error"
_RETRY = 180.0


class Answer(Struct, frozen=True):
    """Why a resize cannot be done: DEFERRED is not now, INFEASIBLE is never on this node."""

    reason: str
    message: str


def answer(pod: core_v1.Pod, others: Sequence[core_v1.Pod], allocatable: Mapping[str, str]) -> Answer | None:
    """None where the Pod may have what it asks for. `others` with what they were given."""
    wanted = pod_requests(_without_status(pod))
    for name in (MEMORY, CPU):
        have = amount(name, allocatable.get(name, "0"))
        if wanted.get(name, 0) > have:
            numbers = f"{name}, requested: {wanted[name]}, capacity: {have}"
            return Answer(INFEASIBLE, f"Node didn't have enough capacity: {numbers}")
    short = shortages(_without_status(pod), others, allocatable)
    if short:
        first = short[0]
        numbers = f"requested: {first.wanted}, used: {first.used}, capacity: {first.capacity}"
        return Answer(DEFERRED, f"Node didn't have enough resource: {first.name}, {numbers}")
    return None


def _without_status(pod: core_v1.Pod) -> core_v1.Pod:
    """What a Pod has must not be counted on top of what it asks for: it is given up with it."""
    return msgspec.structs.replace(pod, status=core_v1.PodStatus())


class _Resources(Struct, frozen=True, omit_defaults=True):
    limits: Mapping[str, str] = {}
    requests: Mapping[str, str] = {}


class _Container(Struct, frozen=True):
    name: str
    resources: _Resources


class _Summary(Struct, frozen=True, rename="camel", omit_defaults=True):
    init_containers: tuple[_Container, ...] = ()
    containers: tuple[_Container, ...] = ()
    generation: int | None = None
    error: str = ""


def told(prefix: str, pod: core_v1.Pod, error: str = "") -> str:
    """Message of an event about a resize: with what the Pod asks for, as JSON."""

    def summary(containers: Sequence[core_v1.Container]) -> tuple[_Container, ...]:
        return tuple(_Container(c.name, _Resources(c.resources.limits, c.resources.requests)) for c in containers)

    made = _Summary(summary(pod.spec.initContainers), summary(pod.spec.containers), pod.metadata.generation, error)
    return f"{prefix}: {msgspec.json.encode(made).decode()}"


class Resized(Protocol):
    """What a resize needs of a Pod that runs here: worker.PodWorker."""

    ref: PodRef
    verdict: Verdict | None

    @property
    def conditions(self) -> dict[str, core_v1.PodCondition | None]:
        """Those that others than the status itself have something to say of."""

    def wake(self, *, look: bool = True) -> None: ...


@dataclass(frozen=True)
class Around:
    """Whom resizes need."""

    allocations: Allocations
    host: Callable[[], Host]
    admitted: Callable[[str], Sequence[core_v1.Pod]]
    """The Pods of the node with what they were given, without the one of a uid."""
    workers: Callable[[], Sequence[Resized]]
    asked: Callable[[str], core_v1.Pod | None]
    """The Pod of a uid, as the API has it."""
    events: EventRecorder
    later: Callable[[str], None]
    """Writes a Pod's record, some time soon."""
    given: Callable[[], None]
    """Somebody has more or less than before."""


class Resizes:
    """Those of one node. `changed` is told of every Pod; `wake()` when there may be more room."""

    def __init__(self, around: Around, clock: Clock) -> None:
        self._around = around
        self._clock = clock
        self._waiting: dict[str, float] = {}
        """Uids of deferred resizes, and since when."""
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Tries again what was deferred, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_RETRY):
                    await self._room.wait()
            except TimeoutError:
                pass
            self._room.clear()
            with Guard("resizes"):
                for worker, pod in self._in_order():
                    self._consider(worker, pod)
            await self._clock.sleep(0.1)

    def wake(self) -> None:
        """A Pod has gone, ended, or has been made smaller."""
        if self._waiting:
            self._room.set()

    def changed(self, worker: Resized, old: core_v1.Pod | None, new: core_v1.Pod) -> None:
        """A Pod, as the API has it now."""
        if worker.verdict is not None or new.metadata.deletionTimestamp is not None:
            self._waiting.pop(worker.ref.uid, None)
            self.wake()
            return
        if new.status.phase in ("Succeeded", "Failed"):
            self.wake()
        elif old is None or old.metadata.generation != new.metadata.generation:
            self._consider(worker, new)

    def gone(self, uid: str) -> None:
        """Nothing is left of a Pod."""
        self._waiting.pop(uid, None)
        self._around.allocations.forget(uid)
        self.wake()

    def _in_order(self) -> list[tuple[Resized, core_v1.Pod]]:
        """What needs no more first, then by priority and class, then who waits longest."""
        allocations, found = self._around.allocations, []
        for worker in self._around.workers():
            pod = self._around.asked(worker.ref.uid) if worker.ref.uid in self._waiting else None
            if pod is not None:
                found.append((worker, pod))

        def place(entry: tuple[Resized, core_v1.Pod]) -> tuple[bool, int, bool, float]:
            worker, pod = entry
            now, then = pod_requests(_without_status(pod)), pod_requests(_without_status(allocations.of(pod)))
            more = any(now.get(name, 0) > then.get(name, 0) for name in (CPU, MEMORY))
            return more, -(pod.spec.priority or 0), qos_class(pod) != "Guaranteed", self._waiting[worker.ref.uid]

        return sorted(found, key=place)

    def _consider(self, worker: Resized, pod: core_v1.Pod) -> None:
        allocations, uid = self._around.allocations, worker.ref.uid
        if not allocations.asks_for_more(pod):
            self._waiting.pop(uid, None)
            self._clear(worker, pod, PENDING)
            if not allocations.unapplied(uid):
                self._clear(worker, pod, IN_PROGRESS)
            return
        no = answer(pod, self._around.admitted(uid), self._around.host().allocatable)
        if no is None:
            self._give(worker, pod)
            return
        if no.reason == DEFERRED:
            self._waiting.setdefault(uid, self._clock.now())
        else:
            self._waiting.pop(uid, None)
        condition = _condition(PENDING, pod, no.reason, no.message)
        if worker.conditions.get(PENDING) != condition:
            worker.conditions[PENDING] = condition
            message = told(f"Pod resize {no.reason}", pod, no.message)
            self._around.events.event(pod, "Warning", f"Resize{no.reason}", message)
            worker.wake(look=False)

    def _give(self, worker: Resized, pod: core_v1.Pod) -> None:
        uid = worker.ref.uid
        self._around.allocations.allocate(pod)
        self._around.later(uid)
        self._waiting.pop(uid, None)
        worker.conditions[PENDING] = None
        worker.conditions[IN_PROGRESS] = _condition(IN_PROGRESS, pod)
        self._around.events.event(pod, "Normal", "ResizeStarted", told("Pod resize started", pod))
        self._around.given()
        worker.wake(look=False)

    def _clear(self, worker: Resized, pod: core_v1.Pod, kind: str) -> None:
        if worker.conditions.get(kind) is not None or any(c.type == kind for c in pod.status.conditions):
            worker.conditions[kind] = None
            worker.wake(look=False)

    # -- what the executor reports -------------------------------------------------------------------------------------

    def failed(self, worker: Resized, pod: core_v1.Pod, message: str) -> None:
        """What was allocated could not be applied; it is tried again."""
        condition = _condition(IN_PROGRESS, pod, ERROR, message)
        if worker.conditions.get(IN_PROGRESS) != condition:
            worker.conditions[IN_PROGRESS] = condition
            self._around.events.event(pod, "Warning", "ResizeError", told("Pod resize error", pod, message))

    def progressed(self, worker: Resized, pod: core_v1.Pod) -> None:
        """Something of it has been applied."""
        if self._around.allocations.unapplied(worker.ref.uid) or worker.conditions.get(IN_PROGRESS) is None:
            return
        worker.conditions[IN_PROGRESS] = None
        self._around.events.event(pod, "Normal", "ResizeCompleted", told("Pod resize completed", pod))
        self._around.given()
        self.wake()


def _condition(kind: str, pod: core_v1.Pod, reason: str = "", message: str = "") -> core_v1.PodCondition:
    generation = pod.metadata.generation
    return core_v1.PodCondition(type=kind, status="True", reason=reason, message=message, observedGeneration=generation)


def shown(asked: core_v1.ResourceRequirements, actual: resources.Actual) -> core_v1.ResourceRequirements:
    """What the status says a running container has: the kernel's figures, in the words of the spec where they agree."""
    requests, limits = dict(asked.requests), dict(asked.limits)
    milli = amount(CPU, requests.get(CPU, limits.get(CPU, "0")))
    if CPU in requests and actual.cpu_shares and resources.shares(milli) != actual.cpu_shares:
        requests[CPU] = str(of_milli(actual.cpu_shares * 1000 // 1024))
    rules = resources.CpuRules(period=actual.cpu_period or resources.PERIOD)
    if actual.cpu_quota > 0 and not (
        CPU in limits and resources.quota(amount(CPU, limits[CPU]), rules) == actual.cpu_quota
    ):
        limits[CPU] = str(of_milli(actual.cpu_quota * 1000 // rules.period))
    if actual.memory and not (MEMORY in limits and amount(MEMORY, limits[MEMORY]) == actual.memory):
        limits[MEMORY] = str(of_int(actual.memory, "BinarySI"))
    return msgspec.structs.replace(asked, requests=requests, limits=limits)
