"""Removes what is left of Pods that have ended, though users may still want its logs: when the disk is short of space."""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from pybernetes.kubelet import pod_machine as machine
from pybernetes.kubelet.cri.model import PodRuntime, State
from pybernetes.kubelet.log_links import remove_run
from pybernetes.kubelet.worker import PodWorker

log = logging.getLogger(__name__)


async def remove_dead(workers: Iterable[PodWorker], runtime: PodRuntime, links: Path) -> int:
    """Containers, logs and sandboxes of ended Pods; how many containers. Raises RuntimeRefused, RuntimeUnavailable."""
    count = 0
    for worker in tuple(workers):
        seen = worker.observed
        if worker.pod is None or any(c.state != State.EXITED for c in seen.containers):
            continue
        if not (machine.finished(worker.pod, seen) or machine.terminating(worker.pod, seen)) or worker.starting:
            continue
        for run in seen.containers:
            await runtime.remove_container(run.id)
            if run.log_path:
                await asyncio.to_thread(remove_run, links, Path(run.log_path), run.id)
            count += 1
        for sandbox in seen.sandboxes:
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)
        worker.wake()
    if count:
        log.info("removed dead containers count=%s", count)
    return count
