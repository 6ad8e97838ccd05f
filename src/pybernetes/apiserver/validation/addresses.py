"""IP addresses and networks in fields: messages about a bad one."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def ip_address(value: str) -> Iterator[str]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        yield "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def remote_address(value: str) -> Iterator[str]:
    """An address that a Service may send others to: never one by which a node reaches itself or its own link."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        yield from ip_address(value)
        return
    if found.is_unspecified:
        yield f"may not be unspecified ({value})"
    if found.is_loopback:
        yield "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if found.is_link_local:
        yield "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if found in _LINK_LOCAL_MULTICAST[found.version]:
        yield "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"


def endpoint_rule(obj: Mapping[str, Any]) -> Callable[[str], Iterator[str]]:
    """The rule for the addresses of an Endpoints or EndpointSlice."""
    meta = obj.get("metadata") or {}
    # The API server's own: one that serves a test or a laptop alone listens on loopback, and says so.
    own = (meta.get("namespace"), meta.get("name")) == ("default", "kubernetes")
    return ip_address if own else remote_address


def cidr(value: str) -> Iterator[str]:
    """A network in CIDR notation."""
    address, slash, bits = value.partition("/")
    try:
        if not slash or not bits.isdecimal():
            raise ValueError(value)
        ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        yield "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
