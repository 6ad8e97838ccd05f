"""The folder where the runtime finds the pod network's configuration: a change in it is worth a look at the runtime.

Followed while there is no network, so that the node is ready soon after a network add-on has written its file, and costs
nothing while it waits. node.py looks.
"""

import asyncio
import logging
from pathlib import Path
from typing import Protocol

from pybernetes.kernel.inotify import FolderWatch
from pybernetes.kubelet.cri.model import RuntimeRefused, RuntimeUnavailable

log = logging.getLogger(__name__)

_DEFAULT = "/etc/cni/net.d"


class _Runtime(Protocol):
    async def network_folder(self) -> str: ...


class NetworkFolder:
    """follow() while there is no network, close() when there is one, and at the end."""

    def __init__(self, runtime: _Runtime) -> None:
        self._runtime = runtime
        self._folder = ""
        """As the runtime last said; asked anew whenever there was a network."""
        self._watch: FolderWatch | None = None

    @property
    def followed(self) -> bool:
        """The kernel tells of changes; where not, only another look finds them."""
        return self._watch is not None and not self._watch.gone

    async def follow(self) -> None:
        """Begins to, unless it is followed already or cannot be now: there is no such folder, or it cannot be asked for."""
        if self.followed:
            return
        self._end()
        try:
            self._folder = self._folder or await self._runtime.network_folder() or _DEFAULT
            self._watch = FolderWatch(Path(self._folder))
        except (RuntimeUnavailable, RuntimeRefused, OSError) as error:
            log.debug("cannot follow the network's configuration error=%s", error)

    async def changed(self) -> None:
        """Waits for the next change; for ever where the folder is not followed."""
        if self._watch is None:
            await asyncio.Event().wait()
        else:
            await self._watch.changed.wait()
            self._watch.changed.clear()

    def close(self) -> None:
        """Follows it no more."""
        self._folder = ""
        self._end()

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
