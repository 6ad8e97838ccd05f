"""Addresses and networks of the newest fields: written in no way but the usual one (IPAddress, ServiceCIDR)."""

import ipaddress
from collections.abc import Iterator

from pybernetes.apiserver.validation.addresses import cidr, ip_address, sloppy


def canonical_address(value: str) -> Iterator[str]:
    """An address as Go would print it; also the name of an IPAddress."""
    faults = list(ip_address(value))
    yield from faults
    if not faults and str(sloppy(value)) != value:
        yield f'must be in canonical form ("{sloppy(value)}")'


def canonical_cidr(value: str) -> Iterator[str]:
    """The same of a network."""
    faults = list(cidr(value))
    yield from faults
    if not faults and str(ipaddress.ip_network(value)) != value:
        yield f'must be in canonical form ("{ipaddress.ip_network(value)}")'


def family(value: str) -> int:
    """4 or 6 of a network; 0 for what is none."""
    address = sloppy(value.partition("/")[0])
    return address.version if address is not None and not list(cidr(value)) else 0
