"""What a backend of the service proxy is: it makes the node send Service connections to endpoints. See backends/."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.api.objects import Key
from pybernetes.rules.services import DataplanePort

SERVICE_CIDR = "10.96.0.0/12"
"""kubeadm's default service subnet."""


class BackendError(RuntimeError):
    """The node refused a change; the proxy gives the whole table again."""


@dataclass(frozen=True)
class ProxyConfig:
    """Where a backend works. `netns` None is the process's own network namespace."""

    service_cidr: str = SERVICE_CIDR
    """Connections into this range that no Service takes are refused, and host processes get a route to it."""
    netns: str | None = None


class ProxyBackend(Protocol):
    """Programs a node. One call at a time."""

    async def sync(self, services: Mapping[Key, Sequence[DataplanePort]], *, full: bool) -> None:
        """Gives Services their ports; an empty sequence takes a Service away. `full`: there are no other Services.

        All or nothing. Raises BackendError; then the caller's next call is a full one.
        """

    async def close(self) -> None:
        """Frees handles. What is programmed stays, so that connections survive a restart of the proxy."""


@dataclass(frozen=True)
class Backend:
    """The constant BACKEND of a file in backends/."""

    name: str
    make: Callable[[ProxyConfig], ProxyBackend]
