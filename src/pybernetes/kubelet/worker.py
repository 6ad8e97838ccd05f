"""One Pod's worker: observes, asks pod_machine.decide() what to do, begins it, reports. Never waits inside a pass.

Every action is a task of its own, known by its key; when it ends, the worker looks again. A newer Pod simply replaces
the one before; probes, back-off and retries are timers of this worker alone. executor.py performs the actions.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from pybernetes.aio.clock import Clock, parse_time
from pybernetes.api.types import core_v1
from pybernetes.client.guard import Guard
from pybernetes.kubelet import metrics
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cri.events import Exit
from pybernetes.kubelet.cri.model import (
    Container,
    PodRef,
    PodRuntime,
    RuntimeRefused,
    RuntimeUnavailable,
    Sandbox,
    State,
)
from pybernetes.kubelet.exits import Exits, unsure
from pybernetes.kubelet.failures import ActionFailed, Failures
from pybernetes.kubelet.pod_actions import Action, Health, Observed
from pybernetes.kubelet.pod_events import PodEvents
from pybernetes.kubelet.restarts import next_delay
from pybernetes.kubelet.status.pod_status import Surroundings, pod_status
from pybernetes.kubelet.status.report import PodReport
from pybernetes.kubelet.status.reporter import Reports

log = logging.getLogger(__name__)

_RUNTIME_RETRY = 1.0
_ENDING_LOOK = 0.03
T = TypeVar("T")
_OOM_LOOK = 0.1
_ELSEWHERE = (act.Prepare, act.PullImage, act.TearDown, act.FinalDelete)
"""Actions that change nothing in the runtime."""
_TRACELESS = (act.Prepare, act.PullImage, act.StopSandbox, act.TearDown)


class Performer(Protocol):
    """Carries out one action. Raises ActionFailed, RuntimeUnavailable."""

    async def perform(self, worker: "PodWorker", action: Action) -> None: ...
    async def termination_message(self, worker: "PodWorker", run: Container) -> str: ...
    def tell(self, worker: "PodWorker", container: str, kind: str, reason: str, message: str) -> None: ...
    def probes(self, worker: "PodWorker", run: Container) -> Awaitable[None] | None: ...


class PodWorker:
    """What the kubelet remembers of one Pod, and the loop over it."""

    pod: core_v1.Pod | None = None
    """With the resources that it was given, which may be others than its spec in the API asks for."""
    last: core_v1.Pod | None = None
    """The Pod as it was last seen, also after it has gone."""
    allocations: Allocations | None = None
    grace: float | None = None
    verdict: act.Verdict | None = None
    host_ips: tuple[str, ...] = ()
    longest_delay = 300.0
    _replaced: frozenset[str] = frozenset()
    """Containers that were stopped for a new spec. A kubelet that comes back takes those that ended meanwhile for ended."""

    def __init__(self, ref: PodRef, runtime: PodRuntime, performer: Performer, reporter: Reports, clock: Clock) -> None:
        self.ref = ref
        self.actual: dict[str, core_v1.ResourceRequirements] = {}
        """By container name, what the kernel says of those that were resized."""
        self.images: dict[str, str] = {}
        """Image id by the key of the pull that brought it."""
        self.volume_images: dict[str, str] = {}
        """Image id by the volume that shows it."""
        self.health: dict[str, Health] = {}
        self.observed = Observed(now=clock.now())
        self.ending = asyncio.Event()
        """Set once the Pod must end: whatever waits on its behalf gives up."""
        self.conditions: dict[str, core_v1.PodCondition | None] = {}
        """Conditions that other parts of the kubelet have something to say of, by type; None takes one away."""
        self.hooked: set[str] = set()
        """Containers whose preStop hook has been begun: a second, shorter stop does not begin it again."""
        self.clock = clock
        self._runtime = runtime
        self._performer = performer
        self._reporter = reporter
        self.still = asyncio.Event()
        """Nothing of the Pod runs or can start any more."""
        self.clean = asyncio.Event()
        """What it had is given back, too: volumes, memory, its cgroup."""
        self._begun = asyncio.Event()
        """It is known what is to become of the Pod: before that it may still be refused."""
        self._wake = asyncio.Event()
        self._look = True
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._done: set[str] = set()
        self._failures = Failures(ref, clock)
        self._restarts: dict[str, int] = {}
        self._messages: dict[str, str] = {}
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._events = PodEvents(ref, partial(performer.tell, self))
        self._started: float | None = None
        self._exits = Exits()
        self._learned = 0
        self._coming_delays: dict[str, float] = {}
        self._ended: dict[str, Container] = {}
        self._news = asyncio.Event()
        self._forgotten = False
        self._statuses = PodReport(reporter, clock)

    def __repr__(self) -> str:
        return f"PodWorker({self.ref}, {self.ref.uid})"

    def update(self, pod: core_v1.Pod) -> None:
        """The Pod as the API has it now."""
        self._begun.set()
        self.pod = self.last = self._given(pod)
        self._remember(pod.status)
        self.wake(look=False)

    def _remember(self, said: core_v1.PodStatus) -> None:
        for status in (*said.initContainerStatuses, *said.containerStatuses, *said.ephemeralContainerStatuses):
            if status.containerID or status.lastState.terminated:
                self._restarts[status.name] = max(status.restartCount, self._restarts.get(status.name, 0))
        if said.startTime:
            self._started = parse_time(said.startTime)

    def took_up(self) -> None:
        """The reporter knows now what an earlier kubelet has reported: all goes on from there that nothing is known of yet."""
        if self.pod is None:
            return
        self.pod = self.last = self._given(self._reporter.known(self.pod))  # also for a pass that is under way
        self._remember(self.pod.status)
        self._statuses.forget()
        for id in [id for id in self._probing if not self.health[id].answered]:
            self._probing.pop(id).cancel()
        self.wake(look=False)

    def _given(self, pod: core_v1.Pod) -> core_v1.Pod:
        return pod if self.allocations is None else self.allocations.of(pod)

    def removed(self, grace: float | None = None) -> None:
        """The API knows the Pod no more."""
        self._begun.set()
        self.pod = None
        self.grace = grace
        self.wake()

    def wake(self, *, look: bool = True) -> None:
        """Something may have changed; in the runtime too, where `look` is set."""
        self._look = self._look or look
        self._wake.set()

    @property
    def starting(self) -> bool:
        """Whether an action is under way that makes something whose id is not known yet."""
        return any(key.startswith(("sandbox", "create/", "start/")) for key in self._busy)

    def knows(self, id: str) -> bool:
        """Whether a sandbox or container is of this Pod, as last observed."""
        seen = self.observed
        return any(s.id == id for s in seen.sandboxes) or any(c.id == id for c in seen.containers)

    def ended(self, container: str, exit: Exit) -> None:
        """The runtime's events say that a container has ended: look until its state says so, too."""
        self._exits.announce(container, exit, self.clock.monotonic())
        self.wake(look=not self.knows(container))

    def states(self) -> dict[str, State]:
        """Of all sandboxes and containers by id, as last observed."""
        seen = self.observed
        sandboxes = {s.id: State.RUNNING if s.ready else State.EXITED for s in seen.sandboxes}
        return sandboxes | {c.id: c.state for c in seen.containers}

    def is_new(self) -> None:
        """Nothing of the Pod is in the runtime yet: there is no need to look."""
        self._look = False

    def learn(self, news: Sandbox | Container | None, id: str = "") -> None:
        """What an action has made of one sandbox or container; None where nothing is left of the one with that id."""
        self._learned += 1
        seen, id = self.observed, id if news is None else news.id
        sandboxes = [s for s in seen.sandboxes if s.id != id]
        containers = [c for c in seen.containers if id not in (c.id, c.sandbox if news is None else "")]
        if isinstance(news, Sandbox):
            sandboxes.append(news)
        elif news is not None:
            containers.append(news)
            if news.state != State.RUNNING:
                self._exits.shown(id)
        sandboxes.sort(key=lambda s: -s.created)
        containers.sort(key=lambda c: (c.name, -c.attempt, -c.created))
        self.observed = replace(seen, sandboxes=tuple(sandboxes), containers=tuple(containers))

    def took_number(self, container: str, attempt: int) -> None:
        """A run's number is used up before it starts, so that a run that ends at once is counted too."""
        self._restarts[container] = max(attempt, self._restarts.get(container, 0))

    def gave_back(self, container: str, attempt: int) -> None:
        """No container was made with that number."""
        if self._restarts.get(container) == attempt:
            del self._restarts[container]
            if attempt > 0:
                self._restarts[container] = attempt - 1

    async def all_ended(self, names: tuple[str, ...], seconds: float) -> None:
        """Until none of these containers runs any more, or so many seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(c.name in names and c.lives for c in self.observed.containers):
                    await self._news.wait()

    async def has_ended(self, id: str) -> None:
        """Until a container has ended: somebody else, or it itself, was quicker."""
        while not any(c.id == id and c.state == State.EXITED for c in self.observed.containers):
            await self._news.wait()

    async def unless_ending(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something that is of no use to a Pod that ends. Raises ActionFailed when it was given up."""
        task, end = asyncio.ensure_future(work), asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
            if not task.done():
                task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise ActionFailed("PodEnding", "the Pod is being stopped")
        return task.result()

    async def run(self) -> None:
        """Works until nothing is left of the Pod here and the API does not know it."""
        await self._begun.wait()
        async with asyncio.TaskGroup() as group:
            while not self._forgotten:
                self._wake.clear()
                began, kind = self.clock.monotonic(), "sync" if self.pod is not None else "terminating"
                delay = await self._pass(group)
                metrics.WORKER_SECONDS.observe(self.clock.monotonic() - began, kind)
                if not self._forgotten:
                    await self._rest(group, delay)
            self.still.set()
            self.clean.set()
            for task in (*self._busy.values(), *self._probing.values()):
                task.cancel()
        self._reporter.forget(self.ref.uid)
        metrics.forget_probes(self.ref.uid)

    async def _rest(self, group: asyncio.TaskGroup, delay: float | None) -> None:
        """Until something wakes the worker, or `delay` seconds are over."""
        alarm = group.create_task(self._alarm(delay), name=f"{self.ref} alarm") if delay is not None else None
        try:
            await self._wake.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _alarm(self, delay: float) -> None:
        await self.clock.sleep(delay)
        self.wake()

    async def _pass(self, group: asyncio.TaskGroup) -> float | None:
        """One look; seconds until the next one is due anyway, None when only an event can bring news."""
        with Guard(f"observation of {self.ref}", quiet=_expected) as guard:
            self.observed = await self._observe()
        if guard.error is not None:
            self._look = True
            return _RUNTIME_RETRY
        _show(self.still, machine.at_rest(self.pod, self.observed))
        _show(self.clean, machine.torn_down(self.pod, self.observed))
        _show(self.ending, self.pod is None or machine.terminating(self.pod, self.observed))
        self._news.set()
        self._news = asyncio.Event()
        self._probe(group)  # before anything is decided or told: what is probed is not ready before its probe says so
        self.observed = replace(self.observed, health=self._health_of(self.observed.containers))
        actions = machine.decide(self.pod, self.observed)
        delays = [a.when - self.observed.now for a in actions if isinstance(a, act.WakeAt)]
        for action in actions:
            if not isinstance(action, act.WakeAt):
                self._begin(group, action)
        status = self.status()
        if self.pod is not None and status is not None:
            self._events.tell(self.pod, status, self.observed)
        delays += self._failures.notices(self.observed.now) + self._endings() + self._report(group, status)
        return max(0.0, min(delays)) if delays else None

    async def _observe(self) -> Observed:
        if self.pod is not None:
            self.pod = self.last = self._given(self._reporter.known(self.pod))
            if self._started is None:
                self._started = self.clock.now()
        # Before the runtime is asked: an action that ends while it answers must not look as if it had never been.
        busy, done, failures = frozenset(self._busy), frozenset(self._done), self._failures.all()
        sandboxes, containers = await self._in_runtime()
        containers = tuple(replace(run, replaced=run.id in self._replaced) for run in containers)
        for run in reversed(containers):  # of each name the newest last
            self._coming_delays[run.name] = next_delay(run, self.longest_delay)
            if run.state == State.EXITED:
                self._ended[run.name] = run
        return Observed(
            now=self.clock.now(),
            sandboxes=sandboxes,
            containers=containers,
            busy=busy,
            done=done,
            failures=failures,
            health=self._health_of(containers),
            restarts=dict(self._restarts),
            in_place=self.allocations.in_place(self.pod) if self.allocations and self.pod else frozenset(),
            verdict=self.verdict,
            started=self._started,
            grace=self.grace,
            late=self._exits.late(containers),
            delays=dict(self._coming_delays),
            longest_delay=self.longest_delay,
        )

    async def _in_runtime(self) -> tuple[tuple[Sandbox, ...], tuple[Container, ...]]:
        """What there is. Asking the runtime costs more than deciding: news of the API alone is no reason for it."""
        while True:
            learned, looked = self._learned, self._look
            sandboxes, containers = self.observed.sandboxes, self.observed.containers
            if looked:
                self._look = False
                uid = self.ref.uid
                found = await asyncio.gather(self._runtime.sandboxes(uid), self._runtime.containers(uid))
                sandboxes, containers = tuple(found[0]), tuple(found[1])
                self._exits.compare(containers, self.clock.monotonic())
            containers = self._exits.applied(containers, self.last)
            for run in containers:
                if run.state == State.EXITED and run.id not in self._messages:
                    self._messages[run.id] = await self._performer.termination_message(self, run)
            if learned == self._learned:
                return sandboxes, containers
            # An action has ended meanwhile: what it has learned may be newer than what the runtime's list said.
            self._look = self._look or looked

    # -- actions ---------------------------------------------------------------------------------------------------

    def _begin(self, group: asyncio.TaskGroup, action: Action) -> None:
        key = action.key
        log.debug("begin pod=%s action=%s", self.ref, key)
        if isinstance(action, act.StopContainer) and action.replaced:
            self._replaced |= {action.id}
        self._busy[key] = group.create_task(self._perform(action), name=f"{self.ref} {key}")

    async def _perform(self, action: Action) -> None:
        key, learned = action.key, self._learned
        look = True
        try:
            with Guard(f"{self.ref} {key}", quiet=_expected) as guard:
                await self._performer.perform(self, action)
            if guard.error is None:
                self._succeeded(action)
                look = learned == self._learned and not isinstance(action, _ELSEWHERE)
            elif isinstance(guard.error, RuntimeUnavailable):
                # Not the action's fault: no back-off, and what the status says of the container stays.
                log.warning("runtime is away pod=%s action=%s error=%s", self.ref, key, guard.error)
                await self.clock.sleep(_RUNTIME_RETRY)
            elif isinstance(guard.error, ActionFailed):
                self._failures.add(key, guard.error)
            else:
                self._failures.add(key, ActionFailed("InternalError", str(guard.error)))
        finally:
            self._busy.pop(key, None)
            self.wake(look=look)

    def _succeeded(self, action: Action) -> None:
        key = action.key
        self._failures.forget(key)
        if isinstance(action, _TRACELESS):
            self._done.add(key)
        if isinstance(action, act.FinalDelete):
            self.removed()
        if isinstance(action, act.Forget):
            self._forgotten = self.pod is None
        if isinstance(action, act.RunSandbox):
            self._done.discard(act.TearDown.name)

    def retry(self, key: str) -> bool:
        """Forgets that an action has failed, so that it is tried again at once; False where it has not."""
        failed = self._failures.forget(key)
        if failed:
            self.wake(look=False)
        return failed

    def _health_of(self, containers: Sequence[Container]) -> dict[str, act.Health]:
        return {run.id: self.health[run.id] for run in containers if run.id in self.health}

    # -- what follows from an observation ----------------------------------------------------------------------------

    def _probe(self, group: asyncio.TaskGroup) -> None:
        """Probes exactly the containers that run, to their end: the prober knows what goes on while the Pod ends."""
        gone = self.pod is None
        running = {} if gone else {r.id: r for r in self.observed.running}
        for id in [id for id in self._probing if id not in running]:
            self._probing.pop(id).cancel()
            self.health.pop(id, None)
        for id, run in running.items():
            if id not in self._probing:
                work = self._performer.probes(self, run)
                if work is not None:
                    self._probing[id] = group.create_task(_finish(work), name=f"{self.ref} probes {run.name}")

    def _endings(self) -> list[float]:
        """When to look again at containers whose end was announced, where the runtime's word is waited for."""
        stopping = {key.split("/")[1] for key in self._busy if key.startswith("stop/")}  # these will say so themselves
        over = (
            self.pod is None
            or machine.terminating(self.pod, self.observed)
            or machine.finished(self.pod, self.observed)
        )
        awaited = self._exits.awaited(self.clock.monotonic()) - stopping
        if awaited if over else awaited - self.observed.late:
            self._look = True
            return [_ENDING_LOOK]
        if over and self.observed.late - stopping:
            # However long ago it was announced: a Pod that ends waits for the runtime's list, which nobody asked since.
            self._look = True
            return [_ENDING_LOOK]
        if unsure(self.observed.containers, self.last, self.clock.now()):
            self._look = True
            return [_OOM_LOOK]
        return []

    def _around(self) -> Surroundings:
        resources = {**self.allocations.running(self.ref.uid), **self.actual} if self.allocations else {}
        return Surroundings(
            host_ips=self.host_ips,
            messages=self._messages,
            ended=self._ended,
            conditions=self.conditions,
            resources=resources,
            applied=self.allocations.before(self.pod) if self.allocations and self.pod else None,
            volume_images=self.volume_images,
        )

    def status(self) -> core_v1.PodStatus | None:
        """The Pod's status as of the last observation; None of a Pod that has gone."""
        return (
            None if self.pod is None else pod_status(self._statuses.remembered(self.pod), self.observed, self._around())
        )

    def _report(self, group: asyncio.TaskGroup, status: core_v1.PodStatus | None) -> list[float]:
        """Sends the status where it differs from the API's; when to look again where it must wait."""
        if status is None or self.pod is None or status == self.pod.status or "report" in self._busy:
            return []
        wait = self._statuses.wait(status, starting=self.starting and not self._failures)
        if wait > 0:
            return [wait]
        work = self._send(self.pod, status, self._statuses.memory)
        self._busy["report"] = group.create_task(work, name=f"{self.ref} report")
        return []

    async def _send(self, pod: core_v1.Pod, status: core_v1.PodStatus, memory: int) -> None:
        try:
            await self._statuses.send(pod, status, memory)
        finally:
            self._busy.pop("report", None)
            self.wake(look=False)

    async def last_words(self) -> None:
        """Reports the final status before the final DELETE. Raises ActionFailed when the API does not take it."""
        if self.pod is None:
            return
        pod = self._reporter.known(self.pod)
        observed = replace(self.observed, now=self.clock.now())
        status = pod_status(self._statuses.remembered(pod), observed, self._around())
        if status != pod.status and not await self._reporter.report(pod, status):
            raise ActionFailed("StatusNotSent", "the API server did not take the final status", most=10.0)


def _show(event: asyncio.Event, holds: bool) -> None:
    if holds:
        event.set()
    else:
        event.clear()


def _expected(error: Exception) -> bool:
    """What its caller reports itself."""
    return isinstance(error, ActionFailed | RuntimeRefused | RuntimeUnavailable)


async def _finish(work: Awaitable[None]) -> None:
    with Guard("probes"):
        await work
