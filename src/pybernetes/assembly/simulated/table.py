"""The Pods of one simulated node: admitted by the kubelet's own rules, resized by them, ended from outside with a verdict.

As kubelet.pods, without a machine. node.py feeds it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.addresses import PodAddresses, SharedRange
from pybernetes.assembly.simulated.effects import Effects
from pybernetes.assembly.simulated.logs import Logs
from pybernetes.assembly.simulated.pod import SimulatedPod
from pybernetes.assembly.simulated.reports import Reports
from pybernetes.client.events import EventRecorder, reference
from pybernetes.client.rest import Client
from pybernetes.kubelet import resize
from pybernetes.kubelet.admission import NODE_AFFINITY, PREEMPTED, Decision, Host, admit, ended_before
from pybernetes.kubelet.allocation import Allocations, share_of
from pybernetes.kubelet.pod_actions import Action, RunSandbox
from pybernetes.kubelet.pod_containers import field_of
from pybernetes.kubelet.resize import Resizes
from pybernetes.kubelet.status.pod_status import Surroundings
from pybernetes.rules.readiness import is_finished

_NO_RANGE = "the node has no podCIDR yet"


@dataclass(frozen=True)
class Shared:
    """What all simulated nodes have together."""

    client: Client
    """Registers Nodes, as whoever sets up machines does."""
    client_of: Callable[[str], Client]
    """As whom the kubelet of a node writes."""
    recorder: EventRecorder
    reports: Reports
    range: SharedRange
    needs_range: bool
    """Whether Pods wait until their Node has a podCIDR, which a controller gives it."""
    quiet: bool
    """Only what is wrong is told in events."""
    renew: float
    """Seconds between renewals of a node's Lease."""
    moved: Callable[[], None]
    """Something has happened."""
    later: Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
    """Runs something beside the rest."""


@dataclass(frozen=True)
class Around:
    """What the table needs of its node."""

    address: str
    host: Callable[[], Host]
    """The node as admission sees it."""
    fresh_host: Callable[[], Coroutine[Any, Any, Host]]
    """The same with the labels that the API has now."""
    recorder: EventRecorder
    shared: Shared


class PodTable:
    """Pods by uid; home of each, and the place of their effects."""

    def __init__(self, around: Around) -> None:
        self.pods: dict[str, SimulatedPod] = {}
        self.powered = True
        self._shared = around.shared
        self.clock = around.shared.client.clock
        self.addresses = PodAddresses(around.shared.range)
        self.logs = Logs(self.clock)
        self.allocations: Allocations | None = None
        self.surroundings = Surroundings(host_ips=(around.address,), runtime="simulated")
        self._around = around
        self._effects = Effects(self)
        self._resizes: Resizes | None = None
        self._frozen = False
        self._new: dict[str, None] = {}
        """Uids of Pods that came while there was no power."""
        self._waiting: list[SimulatedPod] = []
        """Critical Pods for which room is being made."""

    @property
    def alive(self) -> bool:
        """Whether Pods do anything: the node has power, and nobody holds it."""
        return self.powered and not self._frozen

    # -- sources -------------------------------------------------------------------------------------------------------

    def changed(self, pod: core_v1.Pod, before: core_v1.Pod | None) -> None:
        """The API has a Pod of this node, new or changed."""
        uid = pod.metadata.uid
        known = self.pods.get(uid)
        if known is None:
            known = self.pods[uid] = SimulatedPod(pod, self)
            if self.alive:
                self._take_up(known)
            else:
                self._new[uid] = None
        else:
            news = known.update(pod)
            if self.alive:
                self._consider_resize(known, before)
            if not news:
                return
        known.advance()

    def removed(self, uid: str) -> None:
        """The API knows a Pod no more."""
        pod = self.pods.get(uid)
        if pod is None:
            return
        pod.there = False
        if self.alive:
            pod.advance()
        else:
            self.forget(pod)
        self._shared.moved()

    def freeze(self) -> None:
        """No Pod does anything until they begin anew."""
        self._frozen = True
        for pod in self.pods.values():
            pod.sleep()

    def begin_anew(self, pods: Iterable[core_v1.Pod]) -> None:
        """These are the Pods, and they are what their statuses say; nothing is told of those before."""
        for before in self.pods.values():
            before.gone = True
            for sandbox in before.sandboxes:
                self.addresses.give_back(sandbox.ips)
            if self._resizes is not None:
                self._resizes.gone(before.ref.uid)
        self._frozen = False
        self.pods, self._new, self._waiting = {}, {}, []
        for api in pods:
            pod = self.pods[api.metadata.uid] = SimulatedPod(api, self)
            self._take_up(pod)
        self.logs.keep(run.id for pod in self.pods.values() for run in pod.containers)
        if self.powered:
            for pod in tuple(self.pods.values()):
                pod.advance()
        else:
            self.power_cut()

    def power_cut(self) -> None:
        """Nothing runs any more."""
        self.powered = False
        now = self.clock.now()
        for pod in self.pods.values():
            pod.power_cut(now)

    def power_back(self) -> None:
        """What there is starts anew."""
        self.powered = True
        for uid in tuple(self._new):
            if uid in self.pods:
                self._take_up(self.pods[uid])
        self._new.clear()
        for pod in tuple(self.pods.values()):
            pod.advance()

    def range_changed(self, ranges: tuple[str, ...]) -> None:
        """The Node has these podCIDRs now; whoever waits for an address has one."""
        if ranges != self.addresses.ranges:
            self.addresses.ranges = ranges
            for pod in tuple(self.pods.values()):
                if not pod.sandboxes:
                    pod.retry(RunSandbox.name)

    # -- admission -----------------------------------------------------------------------------------------------------

    def _take_up(self, pod: SimulatedPod) -> None:
        status = pod.api.status
        if status.startTime or pod.api.metadata.deletionTimestamp or is_finished(pod.api):
            # Taken up before, by this process or the one before it; so may be its end.
            pod.adopt()
            self.addresses.hold(ip for sandbox in pod.sandboxes for ip in sandbox.ips)
            pod.verdict = ended_before(pod.api) or pod.verdict
            return
        decision = self._decide(pod, self._around.host())
        if decision.refused is not None and decision.refused.reason == NODE_AFFINITY:
            # The node may just have got the label that the Pod asks for: before it is refused, the API is asked.
            pod.held = True
            self._shared.later(self._look_again(pod), f"labels for {pod.ref}")
        else:
            self._settle(pod, decision)

    async def _look_again(self, pod: SimulatedPod) -> None:
        host = await self._around.fresh_host()
        pod.held = False
        if pod.there and self.alive:
            self._settle(pod, self._decide(pod, host))
            pod.advance()

    def _decide(self, pod: SimulatedPod, host: Host) -> Decision:
        return admit(pod.api, self.admitted(pod.ref.uid), host, lambda other: self.pods[other.metadata.uid].requests())

    def _settle(self, pod: SimulatedPod, decision: Decision) -> None:
        if decision.refused is not None:
            pod.verdict = decision.refused
            self.tell(pod, "", "Warning", decision.refused.reason, decision.refused.message)
        elif decision.preempted:
            leaving = []
            for other in decision.preempted:
                victim = self.pods.get(other.metadata.uid)
                if victim is not None and victim.verdict is None:
                    victim.verdict = PREEMPTED
                    self.tell(victim, "", "Warning", PREEMPTED.reason, PREEMPTED.message)
                    victim.advance()
                    leaving.append(victim)
            pod.makes_room(leaving)
            self._waiting.append(pod)

    def admitted(self, besides: str = "") -> tuple[core_v1.Pod, ...]:
        """The Pods that take part of the node, without the one of a uid."""
        return tuple(p.given() for uid, p in self.pods.items() if uid != besides and p.there and not p.has_ended())

    # -- resizes -------------------------------------------------------------------------------------------------------

    def _consider_resize(self, pod: SimulatedPod, before: core_v1.Pod | None) -> None:
        if before is None or before.metadata.uid != pod.ref.uid:
            return
        if self._resizes is None:
            if share_of(before) == share_of(pod.api):
                return
            self._resizes = self._begin_resizes()
        assert self.allocations is not None
        self.allocations.take_up(before)
        self._resizes.changed(pod, before, pod.api)

    def _begin_resizes(self) -> Resizes:
        """Most nodes never need them."""
        self.allocations = Allocations(Path())
        around = resize.Around(
            allocations=self.allocations,
            host=self._around.host,
            admitted=self.admitted,
            workers=lambda: tuple(pod for pod in self.pods.values() if not pod.has_ended()),
            asked=lambda uid: self.pods[uid].api if uid in self.pods else None,
            events=self._around.recorder,
            later=lambda uid: None,
            given=lambda: None,
        )
        made = Resizes(around, self.clock)
        self._shared.later(made.run(), f"resizes of {self._around.address}")
        return made

    # -- what Pods need ------------------------------------------------------------------------------------------------

    def perform(self, pod: SimulatedPod, action: Action, now: float) -> None:
        """Does one thing."""
        self._effects.perform(pod, action, now)

    def advanced(self, pod: SimulatedPod) -> None:
        """Something may be to report."""
        self._shared.reports.add(pod)
        self._shared.moved()
        for waiting in [waiting for waiting in self._waiting if not waiting.waits]:
            self._waiting.remove(waiting)
            waiting.leaving = ()
            waiting.advance()

    def no_network(self) -> str:
        """Why no Pod can have an address yet; empty where it can."""
        return _NO_RANGE if self._shared.needs_range and not self.addresses.ranges else ""

    def resized(self, pod: SimulatedPod) -> None:
        """Something of a resize has been applied."""
        if self._resizes is not None:
            self._resizes.progressed(pod, pod.api)

    def forget(self, pod: SimulatedPod) -> None:
        """Nothing is left of a Pod."""
        for sandbox in pod.sandboxes:
            self.addresses.give_back(sandbox.ips)
        for run in pod.containers:
            self.logs.remove(run.id)
        self.pods.pop(pod.ref.uid, None)
        self._new.pop(pod.ref.uid, None)
        if self._resizes is not None:
            self._resizes.gone(pod.ref.uid)

    def tell(self, pod: SimulatedPod, container: str, kind: str, reason: str, message: str) -> None:
        """An event about a Pod, or about one container of it."""
        if self._shared.quiet and kind == "Normal":
            return
        about = reference(pod.api)
        if container:
            about = replace(about, fieldPath=f"spec.{field_of(pod.api, container)}{{{container}}}")
        self._around.recorder.event(about, cast(Literal["Normal", "Warning"], kind), reason, message)
