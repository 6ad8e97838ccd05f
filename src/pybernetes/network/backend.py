"""What a backend of the pod network is: a way for packets from one node's Pods to another's. See backends/."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.aio.discover import discover
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


class UnknownBackendError(ValueError):
    """No backend has that name; the text says which there are."""


def backend(name: str) -> Backend:
    """The backend of that name: a file in backends/, or an entry point `pybernetes.network_backends` of another package.

    Raises UnknownBackendError.
    """
    found = discover("pybernetes.network.backends", "BACKEND", Backend, group="pybernetes.network_backends")
    by_name = {one.name: one for one in found.values()}
    if name not in by_name:
        raise UnknownBackendError(f'there is no network backend "{name}"; choose one of: {", ".join(sorted(by_name))}')
    return by_name[name]
