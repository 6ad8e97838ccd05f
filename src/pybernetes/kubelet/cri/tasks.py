"""Ends what CRI has lost sight of: the process behind a container whose start was called off in the middle.

containerd 1.6 then says that the container has exited, and may keep its task, which CRI neither stops nor removes ("cannot
delete running task"). containerd's own API does.
"""

import logging
import re
import signal

import grpc
import grpc.aio

from pybernetes.kubelet.cri.fields import number, text
from pybernetes.kubelet.cri.model import RuntimeRefused
from pybernetes.kubelet.cri.own_api import ask

log = logging.getLogger(__name__)

_SERVICE = "/containerd.services.tasks.v1.Tasks/"
_KEPT = re.compile(r"cannot delete running task ([0-9a-f]+)")


def kept_task(refused: RuntimeRefused) -> str:
    """The container whose task was in the way of a removal; "" where the removal was refused for another reason."""
    found = _KEPT.search(refused.message)
    return found.group(1) if found else ""


class Tasks:
    """The tasks of one containerd."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def end(self, container: str) -> None:
        """Kills all processes of a container's task and removes it. None is fine, and so is a runtime without tasks.

        Raises nothing: whether it helped is seen by what is tried next.
        """
        await self._call("Kill", text(1, container) + number(3, signal.SIGKILL) + number(4, True))
        await self._call("Wait", text(1, container))
        await self._call("Delete", text(1, container))

    async def _call(self, method: str, request: bytes) -> None:
        try:
            await ask(self._channel, _SERVICE + method, request)
        except grpc.aio.AioRpcError as error:
            log.info("cannot end a task call=%s error=%s", method, error.details())
