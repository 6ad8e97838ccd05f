"""Sends statuses of simulated Pods to the API, and their final DELETE: the newest of each Pod, one at a time."""

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from pybernetes.aio.pause import Pause
from pybernetes.api.errors import ApiError, Conflict, NotFound
from pybernetes.api.types import core_v1
from pybernetes.assembly.simulated.pod import RECONCILE, SimulatedPod
from pybernetes.client.guard import Guard
from pybernetes.client.rest import Client, key_of

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds until a write that was refused is tried again."""
_WRITERS = 8
"""Writes that are under way at once: a store that syncs takes many together."""


class Reports:
    """Of all simulated nodes. `client_of`: as whom a node writes. `sent` is called after each report.

    Each report is a unit of `pause`.
    """

    def __init__(self, client_of: Callable[[str], Client], sent: Callable[[], None], pause: Pause) -> None:
        self._pause = pause
        self._client_of = client_of
        self._sent = sent
        self._queue: asyncio.Queue[SimulatedPod] = asyncio.Queue()

    def add(self, pod: SimulatedPod) -> None:
        """There may be something to report; what it is is seen when it is its turn."""
        if not pod.queued:
            pod.queued = True
            if not pod.sending:
                self._queue.put_nowait(pod)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(_WRITERS):
                group.create_task(self._work(), name=f"simulated.reports {number}")

    async def _work(self) -> None:
        while True:
            pod = await self._queue.get()
            pod.queued, pod.sending = False, True
            try:
                with Guard(f"report of {pod.ref}"):
                    async with self._pause:
                        await self._report(pod)
            finally:
                pod.sending = False
                if pod.queued:
                    self._queue.put_nowait(pod)
                self._sent()

    def _again(self, pod: SimulatedPod, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.add, pod)

    async def _report(self, pod: SimulatedPod) -> None:
        if not pod.home.alive or pod.gone:
            return
        status = pod.status()
        if status is not None and status != pod.api.status:
            wait = pod.wait(status)
            if wait > 0:
                self._again(pod, wait)
            elif not await self._send(pod, status):
                return
        if pod.deleting and pod.there and not pod.deleted:
            await self._delete(pod)

    async def _send(self, pod: SimulatedPod, status: core_v1.PodStatus) -> bool:
        """False when it is tried again later."""
        base = replace(pod.api, spec=core_v1.PodSpec())  # only the status is compared
        pods = self._client_of(pod.api.spec.nodeName).of(core_v1.Pod)
        try:
            pod.reported(await pods.patch(base, replace(base, status=status), subresource="status"), status)
        except (NotFound, Conflict) as gone:
            # Deleted, or a namesake stands there now, as the watch will say: otherwise it is wanted after all.
            log.info("status not taken pod=%s uid=%s cause=%s", pod.ref, pod.ref.uid, gone.message)
            self._again(pod, RECONCILE)
        except (ApiError, OSError) as error:
            log.warning("cannot report status pod=%s error=%s", pod.ref, error)
            self._again(pod, RETRY)
            return False
        return True

    async def _delete(self, pod: SimulatedPod) -> None:
        pods = self._client_of(pod.api.spec.nodeName).of(core_v1.Pod)
        try:
            await pods.delete(key_of(pod.api), grace=0, uid=pod.ref.uid)
        except NotFound:
            pass
        except (ApiError, OSError) as error:
            log.warning("cannot delete pod=%s error=%s", pod.ref, error)
            self._again(pod, RECONCILE if isinstance(error, Conflict) else RETRY)
            return
        pod.deleted = True
