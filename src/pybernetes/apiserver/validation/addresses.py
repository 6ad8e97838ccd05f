"""IP addresses and networks in fields: messages about a bad one, and warnings about one that has a better form.

Strict since 1.36: no leading zeros, no IPv4 address written as an IPv6 one, no bits beyond the length of a prefix.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}
_QUAD = re.compile(r"[0-9]+(\.[0-9]+){3}\Z")
_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def sloppy(value: str) -> Address | None:
    """An address as Go's older parsers read it: with leading zeros, and an IPv4-mapped one as the IPv4 address it is."""
    head, colon, tail = value.rpartition(":")
    if _QUAD.match(tail):
        # Python's parser refuses leading zeros, as Go's newer one does.
        tail = ".".join(part.lstrip("0") or "0" for part in tail.split("."))
    if "%" in value:
        return None  # zones name a link of one machine
    try:
        found = ipaddress.ip_address(head + colon + tail)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def ip_address(value: str) -> Iterator[str]:
    """An IPv4 or IPv6 address."""
    if sloppy(value) is None:
        yield _ADDRESS
        return
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        yield "must not have leading 0s"
        return
    if getattr(found, "ipv4_mapped", None):
        yield "must not be an IPv4-mapped IPv6 address"


def remote_address(value: str) -> Iterator[str]:
    """An address that a Service may send others to: never one by which a node reaches itself or its own link."""
    faults = list(ip_address(value))
    yield from faults or special_address(value)


def special_address(value: str) -> Iterator[str]:
    """What is wrong with an address that only the node itself or its own link can reach."""
    found = sloppy(value)
    if found is None:
        yield "must be a valid IP address"
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
    found = sloppy(address)
    mapped = ":" in address and found is not None and found.version == 4
    most = 0 if found is None else 128 if mapped else found.max_prefixlen
    if not slash or not bits.isdecimal() or not bits.isascii() or not found or int(bits) > most:
        yield _CIDR
        return
    if list(ip_address(address)) == ["must not have leading 0s"] or (bits != "0" and bits.startswith("0")):
        yield "must not have leading 0s in IP or prefix length"
    elif mapped:
        yield "must not have an IPv4-mapped IPv6 address"
    elif ipaddress.ip_network(f"{address}/{bits}", strict=False).network_address != found:
        yield "must not have bits set beyond the prefix length"


def address_warning(value: str, path: str) -> Iterator[str]:
    """Of an IPv6 address that is not written as RFC 5952 says."""
    found = sloppy(value)
    if found is not None and found.version == 6 and str(found) != value:
        yield f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{found}")'


def cidr_warning(value: str, path: str) -> Iterator[str]:
    """Of an IPv6 network that is not written as RFC 5952 says."""
    if ":" in value and not list(cidr(value)):
        found = str(ipaddress.ip_network(value))
        if found != value:
            yield f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{found}")'


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
