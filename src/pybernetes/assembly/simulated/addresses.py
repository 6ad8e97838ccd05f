"""Addresses of a simulated node's Pods: of the node's ranges (podCIDRs) where it has some, else of one range for all nodes."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_FIRST = 2
"""The gateway has the first address of a range, as the bridge of a pod network."""


class NoAddress(Exception):
    """All addresses of a range are taken."""


class SharedRange:
    """For nodes without a range of their own: addresses that are handed out once."""

    def __init__(self, network: str) -> None:
        self._network = ipaddress.IPv4Network(network)
        self._last = self._network.network_address + 1

    def take(self) -> str:
        """The next one. Raises NoAddress."""
        if self._last + 1 not in self._network:
            raise NoAddress(f"no IP addresses available in range {self._network}")
        self._last += 1
        return str(self._last)

    def hold(self, address: str) -> None:
        """It is taken already, and with it all before it."""
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv4Address) and found in self._network:
            self._last = max(self._last, found)


class PodAddresses:
    """Those of one node. `ranges` are the Node's podCIDRs, one of each family."""

    def __init__(self, shared: SharedRange) -> None:
        self.ranges: tuple[str, ...] = ()
        self._shared = shared
        self._used: set[str] = set()
        self._last: dict[str, int] = {}

    def take(self) -> tuple[str, ...]:
        """One address of each range. Raises NoAddress."""
        found = tuple(self._free(text) for text in self.ranges) or (self._shared.take(),)
        self._used.update(found)
        return found

    def has(self, address: str) -> bool:
        """Whether one of its Pods has it."""
        return address in self._used

    def hold(self, addresses: Iterable[str]) -> None:
        """These are taken already."""
        for address in addresses:
            self._used.add(address)
            self._shared.hold(address)

    def give_back(self, addresses: Sequence[str]) -> None:
        """These may be had by others."""
        self._used.difference_update(addresses)

    def _free(self, text: str) -> str:
        """The one after that which was taken last, so that an address that was given back rests for a while."""
        network = _network(text)
        end = network.num_addresses - (1 if network.version == 4 and network.num_addresses > _FIRST else 0)
        count = end - _FIRST
        for step in range(1, min(count, len(self._used) + 1) + 1):
            number = _FIRST + (self._last.get(text, -1) + step) % count
            found = str(network[number])
            if found not in self._used:
                self._last[text] = number - _FIRST
                return found
        raise NoAddress(f"no IP addresses available in range {text}")


@lru_cache(maxsize=8192)
def _network(text: str) -> _Network:
    return ipaddress.ip_network(text, strict=False)
