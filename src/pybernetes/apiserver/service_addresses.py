"""ClusterIPs and node ports: which are taken, which to give next. resources/core/services.py asks, the registry tells.

What is taken follows the stored Services (`follow`, fed by Registry.subscribe), so a restart repairs itself by listing;
what has been promised to a write that is still on its way is kept beside it.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from random import Random
from typing import Literal

from pybernetes.api.objects import Object

_TRIES = 1 << 17
"""Enough for every address of a /15; a larger range is never that full."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class ServiceAddresses:
    """One for each server process. `networks` is --service-cluster-ip-range, first the preferred family."""

    chance: Random
    """The clock's."""
    networks: tuple[Network, ...] = (ipaddress.ip_network("10.96.0.0/12"),)
    node_ports: range = range(30000, 32768)
    _by_service: dict[str, frozenset[str | int]] = field(default_factory=dict)
    _taken: dict[str | int, int] = field(default_factory=dict)
    """Address or port to how many hold it: a port may serve TCP and UDP of one Service."""
    _promised: set[str | int] = field(default_factory=set)

    def follow(self, change: Literal["ADDED", "MODIFIED", "DELETED"], service: Object) -> None:
        """Takes in a stored Service. A Registry.Listener."""
        uid = service["metadata"]["uid"]
        held = frozenset() if change == "DELETED" else holdings(service)
        before = self._by_service.pop(uid, frozenset())
        if held:
            self._by_service[uid] = held
        for item in before - held:
            self._taken[item] -= 1
            if not self._taken[item]:
                del self._taken[item]
        for item in held - before:
            self._taken[item] = self._taken.get(item, 0) + 1
        self._promised -= held

    def is_free(self, item: str | int) -> bool:
        """Neither stored nor promised."""
        return item not in self._taken and item not in self._promised

    def promise(self, item: str | int) -> None:
        """Holds an address or port for a write on its way; `follow` or `forget` ends that."""
        self._promised.add(item)

    def forget(self, service: Object) -> None:
        """The write failed: what it was promised is free again."""
        self._promised -= holdings(service)

    def network_of(self, family: str) -> Network | None:
        """The range of `IPv4` or `IPv6`."""
        return next((n for n in self.networks if f"IPv{n.version}" == family), None)

    def contains(self, address: str) -> bool:
        """True for an address that may be given out of one of the ranges."""
        parsed = ipaddress.ip_address(address)
        for network in self.networks:
            if parsed in network:
                return parsed not in (network.network_address, network.broadcast_address)
        return False

    def next_address(self, family: str) -> str | None:
        """A free address, promised; from the upper part of the range first (KEP-3070), None when all are taken."""
        network = self.network_of(family)
        if network is None:
            return None
        first, last = 1, min(network.num_addresses - 2, 1 << 32)
        lower = min(max(last // 16, 16), 256) if last > 16 else 0
        for low, high in ((first + lower, last), (first, min(first + lower - 1, last))):
            offset = self._free_offset(low, high, network)
            if offset is not None:
                address = str(network[offset])
                self.promise(address)
                return address
        return None

    def _free_offset(self, low: int, high: int, network: Network) -> int | None:
        if high < low:
            return None
        start = self.chance.randint(low, high)
        offsets: Iterable[int] = islice(chain(range(start, high + 1), range(low, start)), _TRIES)
        return next((offset for offset in offsets if self.is_free(str(network[offset]))), None)

    def next_node_port(self) -> int | None:
        """A free port, promised; from the upper part of the range first (KEP-3668)."""
        size = len(self.node_ports)
        lower = min(max(size // 32, 16), 128) if size > 16 else 0
        for part in (self.node_ports[lower:], self.node_ports[:lower]):
            if not part:
                continue
            start = self.chance.randrange(len(part))
            for port in (*part[start:], *part[:start]):
                if self.is_free(port):
                    self.promise(port)
                    return int(port)
        return None


def holdings(service: Object) -> frozenset[str | int]:
    """The ClusterIPs and node ports of a Service, its health check's too."""
    spec = service.get("spec") or {}
    held: set[str | int] = {ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"}
    held |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        held.add(spec["healthCheckNodePort"])
    return frozenset(held)
