"""One simulated Pod: the kubelet's decide() over an in-memory runtime, and its status maker over what came of it.

Nothing here waits: whatever takes time (a run, a pull, a stop, a back-off) is a moment at which advance() is called again, so
that one Pod at rest costs a few values and no task. effects.py carries out the actions, reports.py writes the statuses.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from pybernetes.aio.clock import Clock, parse_time
from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated import adoption
from pybernetes.assembly.simulated.behaviour import PLAIN, PREFIX, Plan, plan_of
from pybernetes.assembly.simulated.logs import Logs
from pybernetes.assembly.simulated.rarities import Rarities, Stop
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cri.model import OOM_KILLED, Container, PodRef, Sandbox, State
from pybernetes.kubelet.pod_actions import Health, Observed
from pybernetes.kubelet.pod_containers import containers_of, find_container
from pybernetes.kubelet.status.pod_status import Surroundings, pod_status, remembered
from pybernetes.rules.readiness import is_finished
from pybernetes.rules.requests import pod_requests

log = logging.getLogger(__name__)

NEVER = float("inf")
RECONCILE = 10.0
"""Seconds after a report before what others have made of it is put right, as the kubelet: never a hot quarrel."""
TERMINATED, KILLED = 143, 137
"""Exit codes of a process that SIGTERM has ended, and SIGKILL."""
_MOST_STEPS = 1000


class Home(Protocol):
    """What a Pod needs of its node: table.PodTable."""

    clock: Clock

    @property
    def alive(self) -> bool:
        """False while the node has no power, or somebody holds it."""

    logs: Logs
    allocations: Allocations | None
    """Once a Pod of the node has been resized."""
    surroundings: Surroundings

    def tell(self, pod: "SimulatedPod", container: str, kind: str, reason: str, message: str) -> None: ...
    def perform(self, pod: "SimulatedPod", action: act.Action, now: float) -> None: ...

    def advanced(self, pod: "SimulatedPod") -> None:
        """Something may be to report."""


class SimulatedPod:
    """A Pod of a simulated node."""

    __slots__ = (
        "_alarm", "_last", "_plan", "_probed", "_rare", "_requests", "_sent_at", "api", "containers", "deleted", "deleting", "done", "gone",
        "held", "home", "leaving", "queued", "ref", "sandboxes", "sending", "started", "there", "verdict",
    )  # fmt: skip

    def __init__(self, pod: core_v1.Pod, home: Home) -> None:
        self.ref = PodRef(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)
        self.home = home
        self.api = pod
        """As the API has it, or had it last."""
        self.there = True
        """The API knows it."""
        self.gone = False
        """Nothing is left of it here."""
        self.held = False
        """It is not decided yet whether the node takes it."""
        self.leaving: tuple[SimulatedPod, ...] = ()
        """Those that must end before it can start."""
        self.sandboxes: tuple[Sandbox, ...] = ()
        self.containers: tuple[Container, ...] = ()
        self.done: frozenset[str] = frozenset()
        self.verdict: act.Verdict | None = None
        self.started: float | None = parse_time(pod.status.startTime) if pod.status.startTime else None
        self.deleting = False
        """The final DELETE is to be made, and nothing else any more."""
        self.deleted = False
        """It was made: what is left of it in the API is for those who have finalizers there."""
        self.queued = False
        self.sending = False
        self._last: core_v1.PodStatus | None = None
        """What was reported last: transition times go by it, not by what others made of it since."""
        self._sent_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._rare: Rarities | None = None
        self._plan, self._probed = PLAIN, False
        self._requests: Mapping[str, int] | None = None
        self._read()

    def __repr__(self) -> str:
        return f"SimulatedPod({self.ref}, {self.ref.uid})"

    # -- what others ask -----------------------------------------------------------------------------------------------

    @property
    def pod(self) -> core_v1.Pod | None:
        """With the resources that it was given; None once the API knows it no more."""
        return self.given() if self.there else None

    def given(self) -> core_v1.Pod:
        """The same, as it was last seen."""
        allocations = self.home.allocations
        return self.api if allocations is None else allocations.of(self.api)

    def requests(self) -> Mapping[str, int]:
        """What it takes of its node: each Pod that comes asks it of all others."""
        if self.home.allocations is not None:
            return pod_requests(self.given())
        if self._requests is None:
            self._requests = pod_requests(self.api)
        return self._requests

    @property
    def observed(self) -> Observed:
        """What there is of it now."""
        return self._observed(self.home.clock.now())

    @property
    def conditions(self) -> dict[str, core_v1.PodCondition | None]:
        """Those of resizes."""
        return self.rare.conditions

    @property
    def rare(self) -> Rarities:
        """Made when it is first needed."""
        if self._rare is None:
            self._rare = Rarities(self.ref, self.home.clock, partial(self.home.tell, self))
        return self._rare

    @property
    def plan(self) -> Plan:
        """What its annotations say."""
        return self._plan

    @property
    def waits(self) -> bool:
        """Nothing is done until it is decided whether the node takes it, and there is room for it."""
        if not self.there or self.api.metadata.deletionTimestamp is not None:
            return False
        return self.held or not all(pod.at_rest() for pod in self.leaving)

    def running(self, container: str) -> Container | None:
        """The run of a container that goes on."""
        return next((run for run in self.containers if run.name == container and run.state == State.RUNNING), None)

    def at_rest(self) -> bool:
        """Whether it has ended, or is to end and nothing of it runs any more."""
        return machine.at_rest(self.pod, self.observed)

    def has_ended(self) -> bool:
        """Whether it takes no part of the node any more."""
        return self.verdict is not None or is_finished(self.api)

    # -- news ----------------------------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """It ran before: what its status says is what there is."""
        found = adoption.found(self.api, self.ref)
        self.sandboxes, self.containers = found.sandboxes, found.containers
        self._last = self.api.status
        ready = {run.name: at for run, _, at in self._readiness()}
        for name in adoption.unready(self.api):
            run = self.running(name)
            if run is not None and ready.get(name, run.started) <= adoption.unready_since(self.api):
                self.rare.unready.add(name)  # not its probes: somebody has said so

    def update(self, pod: core_v1.Pod, *, watched: bool = True) -> bool:
        """The Pod as the API has it now; whether that is news."""
        if revision(pod) < revision(self.api):
            return False  # the watch is not as far as what we wrote
        news = pod.metadata.resourceVersion != self.api.metadata.resourceVersion
        if news or watched:
            self.api = pod  # that of the watch is there anyhow: one object for two
        if self._last is not None and self._last == pod.status:
            self._last = pod.status  # one object for two
        if news:
            self._read()
        return news

    def retry(self, key: str) -> None:
        """What has failed is tried again at once."""
        if self._rare is not None and self._rare.failures.forget(key):
            self.advance()

    def makes_room(self, leaving: Sequence["SimulatedPod"]) -> None:
        """It starts once nothing of these runs any more."""
        self.leaving = tuple(leaving)

    def wake(self, *, look: bool = True) -> None:
        """Something of it has changed."""
        self.advance()

    def sleep(self) -> None:
        """Time stands still for it: its node has no power."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def power_cut(self, now: float) -> None:
        """Everything that ran has ended with its node, as containerd finds it after a boot."""
        self.sleep()
        self.sandboxes = tuple(replace(s, ready=False) for s in self.sandboxes)
        for run in self.containers:
            if run.state != State.EXITED:
                self.exit(run, 255, now, reason="Unknown")
        if self._rare is not None:
            self._rare.pulls.clear()
            self._rare.stops.clear()

    # -- the loop ------------------------------------------------------------------------------------------------------

    def advance(self, at: float = 0.0) -> None:
        """Does all that is to be done at this moment, which is not before `at`, and sets the alarm for what comes later."""
        self.sleep()
        if not self.home.alive or self.waits or (self.deleted and self.there):
            return
        now = max(self.home.clock.now(), at)
        if self.started is None:
            self.started = now
        for _ in range(_MOST_STEPS):
            self._let_pass(now)
            wake, acted = NEVER, False
            for action in machine.decide(self.pod, self._observed(now)):
                if isinstance(action, act.WakeAt):
                    wake = min(wake, action.when)
                else:
                    acted = True
                    self.home.perform(self, action, now)
            if self.gone:
                return
            if not acted:
                break
        else:
            log.error("a Pod does not come to rest pod=%s", self.ref)
        self._set_alarm(min(wake, self._next_change(now)), now)
        self.home.advanced(self)

    def _set_alarm(self, when: float, now: float) -> None:
        if when < NEVER:
            delay = max(0.0, when - now)
            self._alarm = asyncio.get_running_loop().call_later(delay, self.advance, when)

    def _let_pass(self, now: float) -> None:
        """What ends by itself at this moment."""
        if self._rare is not None:
            for key, (began, ends) in tuple(self._rare.pulls.items()):
                if ends <= now:
                    del self._rare.pulls[key]
                    self.home.perform(self, Pulled(key.split("/")[1], int(key.split("/")[2]), ends - began), now)
            self._end_stopped(now)
        for run, when, code in self._endings():
            if when <= now:
                self.exit(run, code, now)

    def _endings(self) -> Iterator[tuple[Container, float, int]]:
        """Of runs that end by themselves: when, and how."""
        if self._plan is PLAIN and self._rare is None:
            return
        crashes = self._rare.crashes if self._rare is not None else {}
        for run in self.containers:
            if run.state != State.RUNNING:
                continue
            left, code = crashes.get(run.name, (0, 0))
            behaviour = self._plan.of(run.name)
            lasts = behaviour.lasts(run.attempt)
            if left > 0:
                yield run, run.started, code
            elif lasts is not None:
                yield run, run.started + lasts, behaviour.exit_code

    def _end_stopped(self, now: float) -> None:
        for key, stop in tuple(self.rare.stops.items()):
            id = key.rpartition("/")[0].removeprefix("stop/")
            run = next((r for r in self.containers if r.id == id and r.state == State.RUNNING), None)
            if run is None:
                self.rare.stops.pop(key, None)
                continue
            if stop.told is None and not any(r.name in stop.after and r.lives for r in self.containers):
                stop.told = now
            ends = self._obeys(stop)
            if min(ends, stop.killed) <= now:
                self.exit(run, TERMINATED if ends < stop.killed else KILLED, now)

    def _obeys(self, stop: Stop) -> float:
        """When a container ends of a SIGTERM."""
        return NEVER if stop.told is None or self.rare.stubborn else stop.told + stop.seconds

    def succeeded(self, key: str) -> None:
        """An action has worked, or begun to."""
        if self._rare is not None:
            self._rare.failures.forget(key)

    def exit(self, run: Container, code: int, at: float, *, reason: str = "", message: str = "") -> None:
        """A container has ended."""
        spec = find_container(self.api, run.name)
        if not message and code and spec is not None and spec.terminationMessagePolicy == "FallbackToLogsOnError":
            message = self.home.logs.last_words(run.id)
        ended = replace(run, state=State.EXITED, finished=at, exit_code=code, reason=reason, message=message)
        self.put(ended)
        self.home.logs.ended(run.id)
        rare = self._rare
        if rare is None:
            return
        left, how = rare.crashes.get(run.name, (0, 0))
        if left > 1:
            rare.crashes[run.name] = (left - 1, how)
        else:
            rare.crashes.pop(run.name, None)
        for key in [key for key in rare.stops if key.startswith(f"stop/{run.id}/")]:
            del rare.stops[key]

    def put(self, run: Container) -> None:
        """A container as it is now; a new one comes first."""
        known = any(r.id == run.id for r in self.containers)
        self.containers = (
            tuple(run if r.id == run.id else r for r in self.containers) if known else (run, *self.containers)
        )

    def _next_change(self, now: float) -> float:
        """When something ends by itself, or its status says something else without anything being done."""
        times = [when for _, when, _ in self._endings()]
        if self._rare is not None:
            rare = self._rare
            times += [ends for _, ends in rare.pulls.values()]
            for stop in rare.stops.values():
                times.append(min(stop.killed, self._obeys(stop)))
            times += [now + delay for delay in rare.failures.notices(now)]
        times += [when for _, started, ready in self._readiness() for when in (started, ready) if when > now]
        return min(times, default=NEVER)

    # -- what is observed ----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """What its spec and annotations say of how it behaves."""
        self._requests = None
        spec, annotations = self.api.spec, self.api.metadata.annotations
        if spec.initContainers or any(key.startswith(PREFIX) for key in annotations):
            self._plan = plan_of(self.api)
        else:
            self._plan = PLAIN
        self._probed = any(c.readinessProbe or c.startupProbe for c in containers_of(self.api))

    def _readiness(self) -> Iterator[tuple[Container, float, float]]:
        """Of running containers whose probes or rules say it: from when they are started, and ready."""
        if self._plan is PLAIN and not self._probed:
            return
        for run in self.containers:
            spec = find_container(self.api, run.name) if run.state == State.RUNNING else None
            if spec is not None:
                behaviour = self._plan.of(run.name)
                started = run.started + _first_success(spec.startupProbe)
                ready = max(started, run.started + _first_success(spec.readinessProbe))
                ready = max(ready, run.started + behaviour.ready_after_seconds)
                yield run, started, ready if behaviour.ready else NEVER

    def _health(self, now: float) -> dict[str, Health]:
        found = {run.id: Health(started <= now, ready <= now) for run, started, ready in self._readiness()}
        for name in self._rare.unready if self._rare is not None else ():
            run = self.running(name)
            if run is not None:
                found[run.id] = replace(found.get(run.id, Health()), ready=False)
        return found

    def _deleting(self) -> frozenset[str]:
        return _DELETING if self.deleting and self.there else _NOTHING

    def _observed(self, now: float) -> Observed:
        found = Observed(
            now=now,
            sandboxes=self.sandboxes,
            containers=self.containers,
            done=self.done,
            health=self._health(now),
            verdict=self.verdict,
            started=self.started,
            busy=self._deleting(),
        )
        if self._rare is None:
            return found
        rare, allocations = self._rare, self.home.allocations
        return replace(
            found,
            busy=frozenset((*rare.pulls, *rare.stops, *found.busy)),
            failures=rare.failures.all(),
            restarts=rare.restarts,
            in_place=allocations.in_place(self.given()) if allocations is not None and self.there else frozenset(),
            delays=rare.delays,
        )

    # -- reports -------------------------------------------------------------------------------------------------------

    def status(self) -> core_v1.PodStatus | None:
        """What is to be reported now; None of a Pod that the API does not know, or about which nothing is decided."""
        if not self.there or self.waits:
            return None
        pod, observed = remembered(self.given(), self._last), self.observed
        around = self.home.surroundings
        if self._rare is not None:
            allocations = self.home.allocations
            around = replace(around, ended=self._rare.ended, conditions=self._rare.conditions)
            if allocations is not None:
                running = allocations.running(self.ref.uid)
                around = replace(around, resources=running, applied=allocations.before(self.given()))
        status = pod_status(pod, observed, around)
        if self._rare is not None or pod.spec.activeDeadlineSeconds is not None or _backs_off(status):
            self.rare.events.tell(pod, status, observed)
        return status

    def wait(self, status: core_v1.PodStatus) -> float:
        """Seconds until a status may be sent: others may write our conditions, which is put right in its time."""
        if self.deleting or status != self._last:
            return 0.0
        return max(0.0, self._sent_at + RECONCILE - self.home.clock.monotonic())

    def reported(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> None:
        """The API has taken a status, and answered with the Pod."""
        before, self._last, self._sent_at = self.api.metadata, status, self.home.clock.monotonic()
        self.update(pod, watched=False)
        now = pod.metadata
        if (now.deletionTimestamp, now.generation, now.annotations) != (
            before.deletionTimestamp,
            before.generation,
            before.annotations,
        ) or pod.status != status:
            self.advance()  # the watch will not tell it: it is behind this answer

    # -- orders from outside -------------------------------------------------------------------------------------------

    def end(self, container: str, code: int, *, reason: str = "", message: str = "") -> None:
        """A running container ends by itself at this moment."""
        run = self.running(container)
        if run is not None:
            self.exit(run, code, self.home.clock.now(), reason=reason, message=message)
            self.advance()

    def crash(self, container: str, times: int, code: int) -> None:
        """A container ends at once, and so do its next runs, that many together."""
        self.rare.crashes[container] = (times, code)
        self.advance()

    def run_out_of_memory(self, container: str) -> None:
        """The kernel kills a container."""
        self.end(container, KILLED, reason=OOM_KILLED)

    def set_ready(self, container: str, ready: bool) -> None:
        """Whether a container's readiness is well, whatever its probes would say."""
        if ready:
            self.rare.unready.discard(container)
        else:
            self.rare.unready.add(container)
        self.advance()

    def set_stubborn(self, stubborn: bool) -> None:
        """Whether it takes its whole grace to end."""
        self.rare.stubborn = stubborn
        self.advance()


def _backs_off(status: core_v1.PodStatus) -> bool:
    told = (*status.initContainerStatuses, *status.containerStatuses)
    return any(s.state.waiting is not None and s.state.waiting.reason == "CrashLoopBackOff" for s in told)


_DELETING = frozenset((act.FinalDelete.name,))
_NOTHING: frozenset[str] = frozenset()


class Pulled(act.PullImage, frozen=True):
    """A pull that took its time has come to its end."""

    seconds: float


def _first_success(probe: core_v1.Probe | None) -> float:
    """Seconds after its start until a probe that always succeeds has done so often enough."""
    if probe is None:
        return 0.0
    more = max(0, (probe.successThreshold or 1) - 1)
    return probe.initialDelaySeconds + more * (probe.periodSeconds or 10)


def revision(obj: core_v1.Pod | core_v1.Node) -> int:
    """How new a version of an object is."""
    version = obj.metadata.resourceVersion
    return int(version) if version.isdigit() else 0
