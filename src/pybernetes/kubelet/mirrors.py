"""Mirror Pods: what the API shows of static Pods. A mirror starts nothing; its status is the static Pod's.

Stands between workers and status/reporter.py: the status of a static Pod is kept here at once, with or without an API
server, and brought to its mirror when there is one. Somebody deletes a mirror: it is made anew.
"""

import asyncio
import logging
from typing import Protocol

from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import AlreadyExists, Conflict, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.guard import Guard
from pybernetes.client.informer import Informer
from pybernetes.client.rest import Client, key_of
from pybernetes.client.workqueue import WorkQueue
from pybernetes.kubelet.static_pods import Name, StaticPods, name_of
from pybernetes.kubelet.status.node import NodeReporter
from pybernetes.kubelet.status.pod_conditions import OURS
from pybernetes.kubelet.status.reporter import Reporter
from pybernetes.rules.staticpods import CONFIG_HASH, CONFIG_MIRROR, is_mirror, is_static, mirrors

log = logging.getLogger(__name__)

_RETRY, _RETRY_MOST = 0.2, 10.0


class Listener(Protocol):
    """Told of a static Pod."""

    def __call__(self, uid: str) -> None: ...


class Statuses:
    """Where workers report: to the API, or for static Pods to their mirrors. Every Pod's newest status is known here."""

    def __init__(self, reporter: Reporter) -> None:
        self.ended: Listener = lambda uid: None
        """Told when nothing of one runs any more."""
        self.taken_up: Listener = lambda uid: None
        """Told of each static Pod of which it is known now what an earlier kubelet has reported."""
        self.reported: list[Listener] = []
        self._reporter = reporter
        self._static: dict[str, core_v1.PodStatus] = {}
        self._heard: set[str] = set()
        """Uids of static Pods whose mirrors were looked at."""

    async def report(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> bool:
        """Patches what differs from the last status known; False when it must be tried again."""
        if not is_static(pod):
            return await self._reporter.report(pod, status)
        self._static[pod.metadata.uid] = status
        for listener in self.reported:
            listener(pod.metadata.uid)
        return True

    def take_up(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> bool:
        """What the API shows of a running static Pod when this process first looks: an earlier kubelet has put it there,
        and the worker goes on from it. False later, or where there is nothing to go on from."""
        first = pod.metadata.uid not in self._heard
        self._heard.add(pod.metadata.uid)
        if not first or status.phase != "Running":
            return False
        own = tuple(c for c in status.conditions if c.type in OURS)
        self._static[pod.metadata.uid] = replace(status, conditions=own)
        self.taken_up(pod.metadata.uid)
        return True

    def known(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The Pod with the status that was last reported."""
        if not is_static(pod):
            return self._reporter.known(pod)
        status = self._static.get(pod.metadata.uid)
        return pod if status is None else replace(pod, status=status)

    async def delete(self, pod: core_v1.Pod) -> None:
        """The final DELETE; of a static Pod only its source knows. Raises ApiError, OSError."""
        if is_static(pod):
            self.ended(pod.metadata.uid)
        else:
            await self._reporter.delete(pod)

    def forget(self, uid: str) -> None:
        """Drops the record of a Pod."""
        self._static.pop(uid, None)
        self._heard.discard(uid)
        self._reporter.forget(uid)


class Mirrors:
    """Keeps the API's mirrors at what the static Pods are. run() until cancelled; it waits for the API server."""

    def __init__(
        self,
        client: Client,
        pods: Informer[core_v1.Pod],
        static: StaticPods,
        statuses: Statuses,
        reporter: Reporter,
        node: NodeReporter,
    ) -> None:
        self._client = client.of(core_v1.Pod)
        self._pods = pods
        self._static = static
        self._statuses = statuses
        self._reporter = reporter
        self._node = node
        self._clock: Clock = client.clock
        self._queue: WorkQueue[Name] = WorkQueue(client.clock, base=_RETRY, most=_RETRY_MOST)
        static.changed.append(self._queue.add)
        statuses.reported.append(self._reported)

    def static_uid(self, uid: str) -> str:
        """The uid of the static Pod whose mirror has `uid`; any other uid as it is."""
        for mirror in self._pods.cache:
            if mirror.metadata.uid == uid and is_mirror(mirror):
                return mirror.metadata.annotations[CONFIG_MIRROR]
        return uid

    def changed(self, name: Name) -> None:
        """A mirror of the API has come, changed or gone."""
        self._queue.add(name)

    async def run(self) -> None:
        """Once the API's Pods and the manifests are known, and the node is registered."""
        await self._pods.synced.wait()
        await self._static.complete.wait()
        await self._node.registered.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(), name="mirrors.queue")
            while True:
                name = await self._queue.get()
                with Guard(f"mirror of {'/'.join(name)}") as guard:
                    await self._sync(name)
                if guard.error is None:
                    self._queue.forget(name)
                else:
                    self._queue.retry(name)
                self._queue.done(name)

    def _reported(self, uid: str) -> None:
        static = self._static.by_uid(uid)
        if static is not None:
            self._queue.add(name_of(static))

    async def _sync(self, name: Name) -> None:
        """One step for one name; what it changes in the API comes back through the informer. Raises ApiError, OSError."""
        static, mirror = self._static.get(name), self._pods.cache.get(Key(*name))
        if mirror is not None and not is_mirror(mirror):
            if static is not None:
                log.error("the API has a Pod of a static Pod's name, it gets no mirror namespace=%s name=%s", *name)
            return
        if mirror is None:
            if static is not None:
                await self._create(static)
        elif (ending := self._static.ending(name)) is not None:
            await self._show(ending, mirror)
        elif static is None or mirror.metadata.deletionTimestamp is not None or not mirrors(mirror, static):
            await self._delete(mirror)
        else:
            await self._show(static, mirror)

    async def _create(self, static: core_v1.Pod) -> None:
        node = self._node.node
        if node is None or node.metadata.deletionTimestamp is not None:
            return
        owner = meta_v1.OwnerReference(
            apiVersion="v1", kind="Node", name=node.metadata.name, uid=node.metadata.uid, controller=True
        )
        notes = {**static.metadata.annotations, CONFIG_MIRROR: static.metadata.annotations[CONFIG_HASH]}
        meta = replace(static.metadata, uid="", annotations=notes, ownerReferences=(owner,))
        try:
            await self._client.create(replace(static, metadata=meta, status=core_v1.PodStatus()))
            log.info("made a mirror pod=%s", key_of(static))
        except AlreadyExists:
            return  # the informer will tell of it

    async def _delete(self, mirror: core_v1.Pod) -> None:
        try:
            await self._client.delete(key_of(mirror), grace=0, uid=mirror.metadata.uid)
            log.info("removed a mirror pod=%s uid=%s", key_of(mirror), mirror.metadata.uid)
        except (NotFound, Conflict):
            return
        finally:
            self._reporter.forget(mirror.metadata.uid)

    async def _show(self, static: core_v1.Pod, mirror: core_v1.Pod) -> None:
        """Gives the mirror the static Pod's status, beside the conditions that others have put there."""
        if not mirrors(mirror, static):
            return
        if self._statuses.take_up(static, mirror.status):
            return  # the worker reports what is otherwise now
        own = self._statuses.known(static).status
        if own.phase == "" or own == static.status:
            return  # nothing is known yet
        newest = self._reporter.known(mirror)
        generation = mirror.metadata.generation  # a manifest has none
        conditions = tuple(replace(c, observedGeneration=generation) for c in own.conditions)
        conditions += tuple(c for c in newest.status.conditions if c.type not in OURS)
        status = replace(own, observedGeneration=generation, conditions=conditions)
        if not await self._reporter.report(newest, status):
            raise ConnectionError("the API server did not take the status of a mirror")
