"""What a backend of the pod network is: a way for packets from one node's Pods to another's. See backends/."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.kernel.netlink import Netlink
from pybernetes.network.plan import PodRoute


class NodeRoutes(Protocol):
    """Programs a node. Blocking; called in one worker thread, which owns the netlink socket."""

    def apply(self, routes: Sequence[PodRoute]) -> None:
        """Makes the node reach exactly these ranges. Raises OSError; the agent tries again."""


@dataclass(frozen=True)
class Backend:
    """The constant BACKEND of a file in backends/."""

    name: str
    make: Callable[[Netlink], NodeRoutes]
