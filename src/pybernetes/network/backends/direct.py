"""Direct routes: every node has a route to each other node's Pods through that node. For nodes on one link."""

import errno
from collections.abc import Sequence

from pybernetes.kernel.netlink import Netlink, Route
from pybernetes.network.backend import Backend
from pybernetes.network.plan import PodRoute

PROTOCOL = 113
"""The route protocol number (rtnetlink(7)) of the pod network's routes, by which stale ones are found."""


class DirectRoutes:
    """Keeps the node's routes with our protocol number equal to the plan."""

    def __init__(self, link: Netlink) -> None:
        self._link = link

    def apply(self, routes: Sequence[PodRoute]) -> None:
        """Replaces what differs, then removes what is no longer there. All are tried; the first failure is raised."""
        have = {r.destination: r for r in self._link.routes(PROTOCOL)}
        wanted = {r.pod_cidr: r for r in routes}
        failed: OSError | None = None
        for cidr, route in wanted.items():
            if cidr in have and have[cidr].gateway == route.node_address:
                continue
            try:
                self._link.replace_route(Route(cidr, gateway=route.node_address, protocol=PROTOCOL))
            except OSError as error:
                failed = failed or OSError(error.errno or errno.EIO, f"route to node {route.node}: {error.strerror}")
        for cidr in have.keys() - wanted.keys():
            self._link.delete_route(Route(cidr, protocol=PROTOCOL, gateway=have[cidr].gateway))
        if failed is not None:
            raise failed


BACKEND = Backend("direct", DirectRoutes)
