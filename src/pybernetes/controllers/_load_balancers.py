"""Load balancers outside the cluster: what a package that has some must offer. service_lb.py asks it.

Such a package names its Provider by an entry point of the group `pybernetes.load_balancers`. Nothing is here by itself:
a Service of type LoadBalancer then stays pending, as on a cluster without a cloud.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pybernetes.aio.discover import installed
from pybernetes.api.types import core_v1
from pybernetes.client.rest import Client

GROUP = "pybernetes.load_balancers"


class LoadBalancerError(Exception):
    """What a provider raises where it cannot do as asked; the text is told in an event, and it is asked again later."""


class LoadBalancers(Protocol):
    """Of one provider. Each call may come again with the same arguments, and must then change nothing."""

    async def ensure(self, service: core_v1.Service, nodes: Sequence[core_v1.Node]) -> core_v1.LoadBalancerStatus:
        """There is a load balancer for the Service, with these Nodes behind it: where it is. Raises LoadBalancerError."""

    async def update(self, service: core_v1.Service, nodes: Sequence[core_v1.Node]) -> None:
        """These Nodes are behind it from now on; nothing else has changed. Raises LoadBalancerError."""

    async def delete(self, service: core_v1.Service) -> None:
        """There is none for the Service any more; there may never have been one. Raises LoadBalancerError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who makes load balancers for Services of one `spec.loadBalancerClass`."""

    name: str
    make: Callable[[Client], LoadBalancers]
    """Called once, before the first Service needs it, with the controllers' access to the API."""
    load_balancer_class: str = ""
    """Empty: for Services that name none."""


def installed_providers() -> Mapping[str, Provider]:
    """By class. Raises DiscoveryError for an entry point that is no Provider; the first by name has a class."""
    found = installed(GROUP, Provider)
    return {found[name].load_balancer_class: found[name] for name in sorted(found, reverse=True)}
