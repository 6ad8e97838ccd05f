"""IP addresses and networks in fields: messages about a bad one."""

import ipaddress
from collections.abc import Iterator


def ip_address(value: str) -> Iterator[str]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        yield "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def cidr(value: str) -> Iterator[str]:
    """A network in CIDR notation."""
    address, slash, bits = value.partition("/")
    try:
        if not slash or not bits.isdecimal():
            raise ValueError(value)
        ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        yield "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
