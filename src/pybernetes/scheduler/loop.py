"""The scheduler's loop: follows Pods and Nodes, tries one Pod at a time, binds in the background. Started by cmd.

A cycle (pop, place, assume) has no await in it: nothing can change under it, and no event is missed between a rejection
and the queue's hearing of it. Binding is a task of its own: the Pod is assumed to be on its Node meanwhile, and put back
when the binding fails.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.aio.discover import discover
from pybernetes.aio.pause import Pause
from pybernetes.api.errors import Conflict, InternalError, NotFound, ServiceUnavailable, TooManyRequests
from pybernetes.api.objects import Key
from pybernetes.api.types.core_v1 import Binding, Namespace, Node, ObjectReference, Pod, PodCondition
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.client.events import EventRecorder
from pybernetes.client.guard import Guard
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.rules.conditions import put_at
from pybernetes.rules.readiness import POD_SCHEDULED, is_finished, is_terminating
from pybernetes.scheduler.following import Following
from pybernetes.scheduler.framework import (
    ClusterEvent,
    Framework,
    Happening,
    Placed,
    Plugin,
    PreBindError,
    Unfit,
)
from pybernetes.scheduler.queue import PodQueue, Queued
from pybernetes.scheduler.snapshot import PodInfo, Snapshot, pod_info

log = logging.getLogger(__name__)

_RACES = NotFound | Conflict | PreBindError
"""What is no fault of anybody's: the Pod is tried again."""
BINDINGS = 100
"""Bindings and status patches under way at one time."""
PATCH_ATTEMPTS = 4
"""A condition that could not be written is written again this often, seconds apart; then at the next attempt."""


class SchedulerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set (a subset of KubeSchedulerConfiguration's profile)."""

    scheduler_name: str = "default-scheduler"
    """Pods that name another scheduler are not ours."""
    disabled: tuple[str, ...] = ()
    """Names of plugins to leave out."""
    weights: Mapping[str, int] = {}
    """Score weights that differ from the plugins' own."""


def plugins(disabled: Iterable[str] = ()) -> list[Plugin]:
    """The plugins there are: our own files, and entry points `pybernetes.scheduler_plugins`. Raises DiscoveryError."""
    found = discover("pybernetes.scheduler.plugins", "PLUGIN", Plugin, group="pybernetes.scheduler_plugins")
    return [plugin for plugin in found.values() if plugin.name not in set(disabled)]


class Scheduler:
    """One scheduler. Of several with one name only the leader may run()."""

    def __init__(
        self, client: Client, clock: Clock, config: SchedulerConfig | None = None, pause: Pause | None = None
    ) -> None:
        self.config = config or SchedulerConfig()
        self._pause = pause or Pause()
        self._clock = clock
        self._pods = client.of(Pod)
        self.informers = Informers(client)
        self._events = EventRecorder(client, self.config.scheduler_name)
        self.snapshot = Snapshot()
        following = Following(self.informers, self._pause, self._happened, self._look_again, self._run_beside)
        found = [plugin.for_scheduler(following) for plugin in plugins(self.config.disabled)]
        self.framework = Framework(found, clock.random.choice, self.config.weights)
        self.queue = PodQueue(lambda info: self.framework.gate(info.pod))
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(BINDINGS)
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Schedules until cancelled. No refusal and no lost connection ends it."""
        pods, nodes, namespaces = self.informers.of(Pod), self.informers.of(Node), self.informers.of(Namespace)
        namespaces.on_change(self._namespace_changed)
        nodes.on_change(self._node_changed)
        pods.on_change(self._pod_changed)
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self.informers.run(), name="scheduler.informers")
            group.create_task(self._events.run(), name="scheduler.events")
            await self.informers.synced()
            log.info("scheduler started name=%s nodes=%d", self.config.scheduler_name, len(self.snapshot))
            await self._schedule_all(group)

    async def _schedule_all(self, group: asyncio.TaskGroup) -> None:
        timer: asyncio.Task[None] | None = None
        while True:
            self._wake.clear()
            async with self._pause:
                queued = self.queue.pop(self._clock.monotonic())
                if queued is not None:
                    self._cycle(queued)
            if queued is not None:
                await self._clock.sleep(0)  # informers and bindings get their turn between two Pods
                continue
            at = self.queue.next_wake()
            if at is not None:
                timer = group.create_task(self._alarm(at), name="scheduler.alarm")
            await self._wake.wait()
            if timer is not None:
                timer.cancel()
                timer = None

    async def _alarm(self, at: float) -> None:
        await self._clock.sleep(at - self._clock.monotonic())
        self._wake.set()

    # What the world tells.

    def _namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self.snapshot.namespaces[new.metadata.name] = new.metadata.labels
        elif old is not None:
            self.snapshot.namespaces.pop(old.metadata.name, None)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self.snapshot.remove_node(old.metadata.name)
            return
        self.snapshot.put_node(new)
        for what in _node_happenings(old, new):
            self._happened(ClusterEvent(what, node=new))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        assert pod is not None
        key = Key(pod.metadata.namespace, pod.metadata.name)
        replaced = old is not None and new is not None and old.metadata.uid != new.metadata.uid
        if new is None or is_finished(new) or replaced:
            self._pod_gone(key, old or pod)
            if new is None or is_finished(new):
                return
        if new.spec.nodeName:
            self.queue.remove(key)
            known = self.snapshot.node_of(key) == new.spec.nodeName
            changed = self.snapshot.put_pod(pod_info(new), new.spec.nodeName)
            if known and changed:  # resized in place
                self._happened(ClusterEvent(Happening.POD_FREED, pod=new))
            if not known or (old is not None and old.metadata.labels != new.metadata.labels):
                self._happened(ClusterEvent(Happening.POD_ASSIGNED, pod=new))
        elif is_terminating(new):
            self.queue.remove(key)
        elif self._is_ours(new) and self.snapshot.node_of(key) is None:
            self.queue.put(pod_info(new), self._clock.monotonic())
            self._wake.set()

    def _pod_gone(self, key: Key, pod: Pod) -> None:
        """Deleting a Pod that had no Node frees nothing."""
        self.queue.remove(key)
        if self.snapshot.remove_pod(key):
            self._happened(ClusterEvent(Happening.POD_FREED, pod=pod))

    def _is_ours(self, pod: Pod) -> bool:
        return (pod.spec.schedulerName or "default-scheduler") == self.config.scheduler_name

    def _happened(self, event: ClusterEvent) -> None:
        now = self._clock.monotonic()
        if self.queue.happened(lambda info, by: self.framework.may_help(event, info, by), now):
            self._wake.set()

    def _look_again(self) -> None:
        if self.queue.look_again(self._clock.monotonic()):
            self._wake.set()

    def _run_beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._group is not None
        self._group.create_task(work, name=name)

    # What the scheduler does.

    def _cycle(self, queued: Queued) -> None:
        """Tries one Pod."""
        with Guard(f"scheduling pod {queued.info.key}") as guard:
            info = queued.info
            outcome = self.framework.place(info, self.snapshot)
            if isinstance(outcome, Placed):
                self.snapshot.put_pod(info, outcome.node)
                if reason := self.framework.reserve(info, self.snapshot, outcome.node):
                    self.snapshot.remove_pod(info.key)
                    outcome = Unfit(len(self.snapshot), {}, frozenset(), reason)
            if isinstance(outcome, Placed):
                self.queue.done(queued)
                self._start(f"bind {info.key}", self._bind(queued, outcome))
            else:
                self.queue.rejected(queued, outcome.plugins, self._clock.monotonic())
                log.info("no node for pod pod=%s reason=%s", info.key, outcome)
                self._start(f"tell {info.key}", self._tell_unfit(info, str(outcome)))
        if guard.error is not None:
            # A plugin's fault costs this Pod its turn and no other Pod anything.
            self.snapshot.remove_pod(queued.info.key)
            self._events.event(queued.info.pod, "Warning", "FailedScheduling", f"scheduler error: {guard.error}")
            self.queue.retry(queued, self._clock.monotonic())

    async def _bind(self, queued: Queued, placed: Placed) -> None:
        info, node = queued.info, placed.node
        with Guard(f"binding pod {info.key} to {node}", quiet=lambda e: isinstance(e, _RACES)) as guard:
            await self.framework.pre_bind(info, node)  # may wait long, for a volume: that takes nobody's place
            async with self._slots:
                await self._pods.create_subresource(info.key, "binding", _binding(info.pod, node))
        if guard.error is not None:
            self._not_bound(queued, node, guard.error)
            return
        log.info("bound pod pod=%s node=%s nodes=%d feasible=%d", info.key, node, placed.evaluated, placed.feasible)
        self._events.event(info.pod, "Normal", "Scheduled", f"Successfully assigned {info.key} to {node}")
        self.framework.post_bind(info, node)

    def _not_bound(self, queued: Queued, node: str, error: Exception) -> None:
        """Undoes the assumption, and puts the Pod back if it still is there and has no Node."""
        info = queued.info
        self.framework.unreserve(info, node)
        there = self._waiting(info)
        now = self.informers.of(Pod).cache.get(info.key)
        if now is not None and now.metadata.uid != info.pod.metadata.uid:
            return  # a namesake: the place of the one before it was given back when it went
        if now is not None and now.spec.nodeName:
            return  # bound after all: the answer was lost, or somebody else was first
        self._pod_gone(info.key, info.pod)
        if there is None:
            return
        if isinstance(error, PreBindError):
            self._events.event(info.pod, "Warning", "FailedScheduling", str(error))
        elif not isinstance(error, NotFound | Conflict):
            self._events.event(info.pod, "Warning", "FailedScheduling", f"binding rejected: {error}")
        queued.info = pod_info(there)
        self.queue.retry(queued, self._clock.monotonic())
        self._wake.set()

    def _waiting(self, info: PodInfo) -> Pod | None:
        """The Pod as it is now, if it still waits for a Node."""
        pod = self.informers.of(Pod).cache.get(info.key)
        if pod is None or pod.metadata.uid != info.pod.metadata.uid:
            return None
        return None if pod.spec.nodeName or is_terminating(pod) or is_finished(pod) else pod

    async def _tell_unfit(self, info: PodInfo, message: str) -> None:
        """The event and the condition that users read."""
        self._events.event(info.pod, "Warning", "FailedScheduling", message)
        for attempt in range(PATCH_ATTEMPTS):
            pod = self._waiting(info)
            if pod is None:
                return
            wanted = _unschedulable(pod, message, rfc3339(self._clock.now()))
            with Guard(f"status of pod {info.key}", quiet=lambda e: isinstance(e, NotFound | Conflict)) as guard:
                async with self._slots:
                    await self._pods.patch(pod, wanted, subresource="status")
            if not isinstance(guard.error, OSError | TooManyRequests | ServiceUnavailable | InternalError):
                return
            await self._clock.sleep(2**attempt)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Does something in the background. Of what is written there a limited number is under way at one time."""
        assert self._group is not None

        async def guarded() -> None:
            with Guard(name):
                await work

        self._pause.begin()
        self._group.create_task(guarded(), name=name).add_done_callback(lambda task: self._pause.end())


def _binding(pod: Pod, node: str) -> Binding:
    """With the uid, so that a namesake made meanwhile is not bound."""
    metadata = ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid)
    return Binding(metadata=metadata, target=ObjectReference(kind="Node", name=node))


def _unschedulable(pod: Pod, message: str, now: str) -> Pod:
    """The Pod with condition PodScheduled=False."""
    made = PodCondition(
        type=POD_SCHEDULED,
        observedGeneration=pod.metadata.generation,
        status="False",
        reason="Unschedulable",
        message=message,
    )
    return replace(pod, status=replace(pod.status, conditions=put_at(pod.status.conditions, made, now)))


def _node_happenings(old: Node | None, new: Node) -> Iterable[Happening]:
    if old is None:
        yield Happening.NODE_ADDED
        return
    if old.status.allocatable != new.status.allocatable:
        yield Happening.NODE_ALLOCATABLE
    if old.metadata.labels != new.metadata.labels:
        yield Happening.NODE_LABELS
    if old.spec.taints != new.spec.taints or old.spec.unschedulable != new.spec.unschedulable:
        yield Happening.NODE_TAINTS
    if old.status.declaredFeatures != new.status.declaredFeatures:
        yield Happening.NODE_FEATURES
