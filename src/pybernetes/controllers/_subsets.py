"""Subsets of Endpoints in their canonical form, and no more of them than fit. Pure.

API concept "Endpoints": a subset is the product of its addresses and its ports. Ports that the same addresses have are in
one subset, whoever wrote them apart. The Endpoints controller and the mirroring one share it.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import TypeAlias

from msgspec.structs import replace

from pybernetes.api.types.core_v1 import EndpointAddress, EndpointPort, EndpointSubset

MOST = 1000
"""Addresses in one Endpoints."""

Entry: TypeAlias = tuple[Sequence[EndpointPort], EndpointAddress, bool]
"""Ports, which may be none, an address that has them, and whether it is ready."""
_Of: TypeAlias = tuple[str, str]
"""IP address and uid: Pods in the network of their node share addresses."""


def entries(subsets: Iterable[EndpointSubset]) -> Iterable[Entry]:
    """What subsets say, address by address."""
    for subset in subsets:
        yield from ((subset.ports, at, True) for at in subset.addresses)
        yield from ((subset.ports, at, False) for at in subset.notReadyAddresses)


def repacked(listed: Iterable[Entry]) -> tuple[EndpointSubset, ...]:
    """One subset for each set of addresses, sorted. Of two entries for one address and port the later one holds."""
    addresses: dict[_Of, EndpointAddress] = {}
    by_port: dict[EndpointPort | None, dict[_Of, bool]] = {}
    for ports, at, ready in listed:
        key = at.ip, at.targetRef.uid if at.targetRef else ""
        addresses.setdefault(key, at)
        for port in ports or (None,):
            by_port.setdefault(port, {})[key] = ready
    groups: dict[frozenset[tuple[_Of, bool]], list[EndpointPort]] = {}
    for port, states in by_port.items():
        group = groups.setdefault(frozenset(states.items()), [])
        if port is not None:
            group.append(port)
    made = [
        EndpointSubset(
            addresses=tuple(addresses[key] for key, ready in sorted(group) if ready),
            notReadyAddresses=tuple(addresses[key] for key, ready in sorted(group) if not ready),
            ports=tuple(sorted(ports, key=_order)),
        )
        for group, ports in groups.items()
    ]
    return tuple(sorted(made, key=lambda subset: [_order(port) for port in subset.ports]))


def _order(port: EndpointPort) -> tuple[int, str, str]:
    return port.port, port.protocol, port.name


def truncated(subsets: Sequence[EndpointSubset], most: int = MOST) -> tuple[EndpointSubset, ...] | None:
    """Subsets with so many addresses in all, each with its part of them, those that are ready first; None where all fit."""
    ready = sum(len(subset.addresses) for subset in subsets)
    waiting = sum(len(subset.notReadyAddresses) for subset in subsets)
    if ready + waiting <= most:
        return None
    full = ready > most
    room, total = (most, ready) if full else (most - ready, waiting)
    left, found = room, []
    for subset in subsets:
        listed = subset.addresses if full else subset.notReadyAddresses
        kept = listed[: min(ceil(len(listed) / total * room), left)]
        left -= len(kept)
        if full:
            found.append(replace(subset, addresses=kept, notReadyAddresses=()))
        else:
            found.append(replace(subset, notReadyAddresses=kept))
    return tuple(subset for subset in found if subset.addresses or subset.notReadyAddresses)
