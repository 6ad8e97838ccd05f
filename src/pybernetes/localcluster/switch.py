"""The switch between a cluster's nodes: a bridge in a network namespace of its own, so that the machine's own network
stays as it is. The one exception, `unreachable` routes for the cluster's ranges, is HostRoutes.
"""

import asyncio
import hashlib
import ipaddress
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from pybernetes.kernel.namespaces import NETNS_DIR, NamespaceThread, pin_netns, unpin_netns
from pybernetes.kernel.netlink import Netlink, Route
from pybernetes.localcluster.spec import cluster_label

P = ParamSpec("P")
T = TypeVar("T")

BRIDGE = "switch0"
NODE_NETWORK = "172.30.0.0/24"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/12"
REGISTRY_ADDRESS = "172.30.0.2"
"""Where registry.py listens, an address of the switch itself."""
FIRST_NODE = 11
"""The first node's place in NODE_NETWORK: 172.30.0.11."""
MAX_NODES = 244
"""As many addresses NODE_NETWORK has for nodes."""

ROUTE_PROTOCOL = 112
"""Our own route protocol number (rtnetlink(7), rtm_protocol), by which a sweep finds what we added."""
_METRIC = 0xFFFF0000
"""Behind any route of the machine's own to the same range."""


def node_address(number: int, network: str = NODE_NETWORK) -> str:
    """Address of the node with this number, 0 being the first."""
    return str(ipaddress.ip_network(network)[FIRST_NODE + number])


def port_name(node: str) -> str:
    """The link of a node's port: its name where a link may have it (15 characters), else cut and told apart."""
    if len(node) <= 15:
        return node
    return f"{node[:8]}-{hashlib.sha256(node.encode()).hexdigest()[:6]}"


def hardware_address(cluster: str, node: str) -> str:
    """A node's MAC address, the same after a reboot: the neighbours remember it."""
    digest = hashlib.sha256(f"{cluster}/{node}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


class Switch:
    """One cluster's switch. There is no default route anywhere in it, so nothing can leave the machine."""

    def __init__(self, cluster: str, network: str = NODE_NETWORK) -> None:
        self.cluster = cluster
        self.network = ipaddress.ip_network(network)
        self.netns_name = cluster_label(cluster)
        self._thread: NamespaceThread | None = None

    @property
    def netns(self) -> Path:
        """Path to its network namespace, for a NamespaceThread."""
        return NETNS_DIR / self.netns_name

    @property
    def address(self) -> str:
        """The switch's own address, the first of the network."""
        return str(self.network[1])

    async def up(self) -> None:
        """Makes the switch; one that is there is kept."""
        await asyncio.to_thread(pin_netns, self.netns_name)
        await self._do(self._make_bridge)

    async def down(self) -> None:
        """Takes it away; nodes that are on lose their cable."""
        self.close()
        await asyncio.to_thread(unpin_netns, self.netns_name)

    def close(self) -> None:
        """Ends the worker thread; the switch itself stays."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    async def plug(self, pid: int, port: str, address: str) -> None:
        """Gives the namespace of process `pid` an eth0 with `address` (with prefix), on the port of that name."""
        await self._do(self._plug, pid, port)
        await asyncio.to_thread(_configure, f"/proc/{pid}/ns/net", address)

    async def cut(self, port: str) -> None:
        """Pulls the cable of a node: it is on, and nobody reaches it."""
        await self._do(lambda link: link.down(port_name(port)))

    async def mend(self, port: str) -> None:
        """Puts the cable back."""
        await self._do(lambda link: link.up(port_name(port)))

    async def _do(self, function: Callable[Concatenate[Netlink, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a function on the switch's netlink, in its namespace."""
        if self._thread is None:
            self._thread = await asyncio.to_thread(NamespaceThread, self.netns, "switch")
        return await self._thread.run(lambda: _with_netlink(function, *args, **kwargs))

    def _make_bridge(self, link: Netlink) -> None:
        link.up("lo")
        if link.index(BRIDGE) is None:
            link.add_bridge(BRIDGE, hardware_address(self.cluster, ""))
        for host in (self.address, REGISTRY_ADDRESS):
            link.add_address(BRIDGE, f"{host}/{self.network.prefixlen}")

    def _plug(self, link: Netlink, pid: int, node_name: str) -> None:
        port, hardware = port_name(node_name), hardware_address(self.cluster, node_name)
        node = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            link.delete_link(port)  # of a node that died a moment ago
            link.add_veth(port, "eth0", node, peer_hardware=hardware)
            link.attach(port, BRIDGE)
            link.up(port)
        finally:
            os.close(node)


def _with_netlink(function: Callable[Concatenate[Netlink, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    link = Netlink()
    try:
        return function(link, *args, **kwargs)
    finally:
        link.close()


def _configure(netns: str, address: str) -> None:
    def work(link: Netlink) -> None:
        link.up("lo")
        link.add_address("eth0", address)
        link.up("eth0")

    thread = NamespaceThread(netns, "plug")
    try:
        thread.call(_with_netlink, work)
    finally:
        thread.close()


class HostRoutes:
    """`unreachable` routes on the machine for the ranges that exist inside clusters only: a stray packet to a Service
    fails at once and does not leave the machine."""

    def __init__(self, ranges: Sequence[str] = (NODE_NETWORK, POD_NETWORK, SERVICE_NETWORK)) -> None:
        self._routes = [Route(r, kind="unreachable", protocol=ROUTE_PROTOCOL, metric=_METRIC) for r in ranges]

    async def add(self) -> None:
        """Adds them; those that are there stay."""
        await asyncio.to_thread(self._each, Netlink.replace_route)

    async def remove(self) -> None:
        """Removes them."""
        await asyncio.to_thread(self._each, Netlink.delete_route)

    def _each(self, work: Callable[[Netlink, Route], object]) -> None:
        for route in self._routes:
            _with_netlink(work, route)


def sweep_routes() -> int:
    """Removes all routes with our protocol number from the machine; how many there were."""
    return _on_machine(lambda link: sum(link.delete_route(route) for route in list(link.routes(ROUTE_PROTOCOL))))


def our_routes() -> list[str]:
    """Destinations of the machine's routes with our protocol number."""
    return _on_machine(lambda link: [route.destination for route in link.routes(ROUTE_PROTOCOL)])


def _on_machine(function: Callable[[Netlink], T]) -> T:
    """In the machine's own network, from any thread: netlink's must not run an event loop."""
    thread = NamespaceThread(None, "routes")
    try:
        return thread.call(_with_netlink, function)
    finally:
        thread.close()
