"""Sends statuses to the API: the newest of each Pod, one at a time, patched with its uid so that no namesake gets it."""

import asyncio
import logging
from typing import Protocol

from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.types import core_v1
from pybernetes.client.rest import Client, key_of

log = logging.getLogger(__name__)


class Reports(Protocol):
    """Where workers report: Reporter, and what puts the mirrors of static Pods beside it (mirrors.py)."""

    async def report(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> bool: ...
    def known(self, pod: core_v1.Pod) -> core_v1.Pod: ...
    async def delete(self, pod: core_v1.Pod) -> None: ...
    def forget(self, uid: str) -> None: ...


class Reporter:
    """Reports Pod statuses and makes final deletions. One send a Pod is under way; the executor's ops call it."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._pods = client.of(core_v1.Pod)
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._sent: dict[str, core_v1.Pod] = {}

    async def report(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> bool:
        """Patches what differs from the last status known; False when it must be tried again."""
        uid = pod.metadata.uid
        async with self._locks.setdefault(uid, asyncio.Lock()):
            base = self._newest(pod)
            try:
                self._sent[uid] = await self._pods.patch(base, replace(base, status=status), subresource="status")
            except (NotFound, Conflict) as gone:
                # Deleted, or a namesake stands there now: nobody wants this status any more.
                log.info("status not taken pod=%s uid=%s cause=%s", key_of(pod), uid, gone.message)
            except (ApiError, OSError) as error:
                log.warning("cannot report status pod=%s error=%s", key_of(pod), error)
                return False
            return True

    def known(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The Pod with the status that was last sent, where the informer is not as far yet."""
        return self._newest(pod)

    def _newest(self, pod: core_v1.Pod) -> core_v1.Pod:
        sent = self._sent.get(pod.metadata.uid)
        if sent is None or _revision(pod) >= _revision(sent):
            return pod
        # Spec and metadata of whatever is newer; the status is ours alone, and the one we sent is the newest.
        return sent

    async def delete(self, pod: core_v1.Pod) -> None:
        """The final DELETE. Done also when the Pod is gone or another one has its name. Raises ApiError, OSError."""
        try:
            await self._pods.delete(key_of(pod), grace=0, uid=pod.metadata.uid)
        except (NotFound, Conflict):
            return

    def forget(self, uid: str) -> None:
        """Drops the record of a Pod."""
        self._locks.pop(uid, None)
        self._sent.pop(uid, None)


def _revision(pod: core_v1.Pod) -> int:
    version = pod.metadata.resourceVersion
    return int(version) if version.isdigit() else 0
