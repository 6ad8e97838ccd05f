"""Addresses of a node: what --node-ip says, or the one that the machine would leave by."""

import ipaddress
import socket
from collections.abc import Callable

# An address of documentation (RFC 5737, RFC 3849): the routing table is asked for the way to it, nothing is sent.
_FAR = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def own_address(family: socket.AddressFamily) -> str:
    """The machine's address on its default way out; empty where it has none. Blocking for a moment."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR[family], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def node_addresses(text: str, own: Callable[[socket.AddressFamily], str] = own_address) -> tuple[str, ...]:
    """One address, or one of each family. `0.0.0.0` and `::` mean the machine's own of that family, empty any of its own.

    Raises ValueError, with upstream's words for what cannot be.
    """
    given = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            given.append(ipaddress.ip_address(part))
        except ValueError:
            raise ValueError(f'could not parse "{part}"') from None
    if len(given) > 2 or (len(given) == 2 and given[0].version == given[1].version):
        raise ValueError("must contain either a single IP or a dual-stack pair of IPs")
    if len(given) == 2 and any(ip.is_unspecified for ip in given):
        raise ValueError("dual-stack node IP cannot include '0.0.0.0' or '::'")
    if given and not given[0].is_unspecified:
        return tuple(str(ip) for ip in given)
    first = _FAMILIES[given[0].version] if given else socket.AF_INET
    found = own(first) or own(next(family for family in _FAR if family != first))
    if not found:
        raise ValueError("cannot tell this machine's address: give it")
    return (found,)
