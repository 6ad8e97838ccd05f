"""What comes before a container's TERM: its turn, and its preStop hook. executor.py sends the TERM then.

See "Container Lifecycle Hooks" and the order in which sidecars end. Without grace there is neither.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from pybernetes.aio.clock import Clock
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet.hooks import HookFailed, Hooks
from pybernetes.kubelet.pod_containers import find_container
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

Tell: TypeAlias = Callable[[PodWorker, str, str, str, str], None]
"""Pod, container, type, reason and message of an event."""
_LEAST = 2.0
"""Seconds that TERM gets even when the hook has used up the whole grace."""


class PreStop:
    """Runs the preStop hooks of a node's containers, each once."""

    def __init__(self, hooks: Hooks, clock: Clock, tell: Tell) -> None:
        self._hooks = hooks
        self._clock = clock
        self._tell = tell

    @asynccontextmanager
    async def before(self, worker: PodWorker, action: act.StopContainer, ip: str) -> AsyncIterator[float]:
        """Waits for the container's turn and its hook; then what is left of the grace, in seconds.

        A hook that takes longer than the grace is not called off: it goes on as long as the container does, and no longer.
        """
        hook = self._hook(worker, action, ip) if action.grace > 0 else None
        if hook is None and not (action.after and action.grace > 0):
            yield action.grace
            return
        began = self._clock.monotonic()
        running = asyncio.create_task(hook, name=f"preStop {action.id}") if hook is not None else None
        try:
            if running is not None and not await _in_time(running, worker.has_ended(action.id), action.grace):
                self._failed(worker, action, "it takes longer than the grace")
            left = action.grace - (self._clock.monotonic() - began)
            if action.after and left > 0:
                await worker.all_ended(action.after, left)
            yield max(_LEAST, action.grace - (self._clock.monotonic() - began))
        finally:
            if running is not None:
                running.cancel()
                await asyncio.wait({running})

    def _hook(self, worker: PodWorker, action: act.StopContainer, ip: str) -> Coroutine[Any, Any, None] | None:
        """The work of a container's hook; None where it has none, or it was begun before."""
        container = find_container(worker.last, action.container)
        hook = container.lifecycle.preStop if container is not None and container.lifecycle is not None else None
        if container is None or hook is None or not action.hook or action.id in worker.hooked:
            return None
        worker.hooked.add(action.id)
        tell = partial(self._tell, worker, action.container, "Warning")
        work = self._hooks.run(hook, container, action.id, ip, tell)

        async def run() -> None:
            began = self._clock.monotonic()
            try:
                await work
            except HookFailed as failed:
                if self._clock.monotonic() < began + action.grace:  # else it was told already
                    self._failed(worker, action, str(failed))

        return run()

    def _failed(self, worker: PodWorker, action: act.StopContainer, why: str) -> None:
        log.info("preStop hook failed pod=%s container=%s error=%s", worker.ref, action.container, why)
        self._tell(worker, action.container, "Warning", "FailedPreStopHook", "PreStopHook failed")


async def _in_time(hook: asyncio.Task[None], end: Coroutine[Any, Any, None], grace: float) -> bool:
    """Whether a hook, or its container, came to its end within the grace."""
    ended = asyncio.create_task(end, name="end of a container")
    try:
        done, _ = await asyncio.wait({hook, ended}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        ended.cancel()
