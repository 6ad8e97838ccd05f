"""hostPort: connections to a port of the node go to a Pod on it. The CNI capability portMappings, by nftables.

A table of its own, `ip pod-network`, whose maps are changed in place; the records of ipam.py say what belongs in it.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pybernetes.kernel.conntrack import Flow, forget
from pybernetes.kernel.nft import Nft
from pybernetes.network.cni import INVALID_CONFIG, CniError

log = logging.getLogger(__name__)

TABLE = "ip pod-network"
_ANY = ("", "0.0.0.0", "::")
_ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")
"""Lets what the node says to itself on 127.0.0.1 leave for a Pod. What comes from outside for it is dropped first."""
_SKELETON = f"""\
add table {TABLE}
delete table {TABLE}
table {TABLE} {{
  map ports {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  map ports-at {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain host-ports {{
    dnat to ip daddr . meta l4proto . th dport map @ports-at
    dnat to meta l4proto . th dport map @ports
  }}
  chain strangers {{
    type filter hook prerouting priority raw;
    iif != lo ip daddr 127.0.0.0/8 drop
    iif != lo ip saddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority -110;
    fib daddr type local ip daddr != 127.0.0.0/8 jump host-ports
  }}
  chain output {{
    type nat hook output priority -110;
    fib daddr type local jump host-ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat ip saddr 127.0.0.0/8 oif != lo masquerade
  }}
}}
"""


class PortMapping(msgspec.Struct, frozen=True, rename=lambda name: name.replace("_", "")):
    """One port of the node, in the words of the CNI conventions. `host_ip` empty: at every address of the node."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""


def mappings(config: dict[str, Any]) -> tuple[PortMapping, ...]:
    """The mappings of a network configuration's runtimeConfig that are for IPv4. Raises CniError."""
    given = (config.get("runtimeConfig") or {}).get("portMappings") or ()
    try:
        # Go reads names without regard to case, and containerd writes HostPort where the conventions say hostPort
        lowered = [{str(name).lower(): value for name, value in mapping.items()} for mapping in given]
        found = msgspec.convert(lowered, tuple[PortMapping, ...])
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        raise CniError(INVALID_CONFIG, f"portMappings: {error}") from error
    return tuple(m for m in found if m.host_port > 0 and (m.host_ip in _ANY or ":" not in m.host_ip))


def elements(address: str, ports: Iterable[PortMapping], *, values: bool) -> list[tuple[str, str]]:
    """Map and element of each mapping to the Pod's address, and the set entry by which the Pod reaches itself."""
    found = []
    for port in ports:
        key = f"{port.protocol.lower()} . {port.host_port}"
        name = "ports"
        if port.host_ip not in _ANY:
            name, key = "ports-at", f"{port.host_ip} . {key}"
        found.append((name, f"{key} : {address} . {port.container_port}" if values else key))
    return [*found, ("hairpin", f"{address} . {address}")] if found else []


class HostPorts:
    """The node's table. Blocking; made and used in one worker thread in the node's network namespace."""

    def __init__(self) -> None:
        self._nft = Nft()
        self._programmed: dict[str, tuple[PortMapping, ...]] = {}

    def reset(self, wanted: dict[str, tuple[PortMapping, ...]]) -> None:
        """The table with exactly these Pods' ports (address -> mappings). Raises NftError."""
        text = _SKELETON
        for address, ports in wanted.items():
            text += _commands("add", elements(address, ports, values=True))
        self._nft.run(text)
        with suppress(OSError):  # /proc/sys read-only: whoever set the node up has decided
            _ROUTE_LOCALNET.write_text("1")
        self._programmed = {address: ports for address, ports in wanted.items() if ports}

    def add(self, address: str, ports: tuple[PortMapping, ...]) -> None:
        """Raises NftError, also where another Pod has one of the ports."""
        if ports and self._programmed.get(address) != ports:
            self.remove(address)
            self._nft.run(_commands("add", elements(address, ports, values=True)))
            self._programmed[address] = ports

    def remove(self, address: str) -> None:
        """Takes the ports of a Pod away; without any, nothing happens. Raises NftError."""
        ports = self._programmed.get(address)
        if ports is None:
            return
        self._nft.run(_commands("delete", elements(address, ports, values=False)))
        del self._programmed[address]
        udp = [p for p in ports if p.protocol.lower() == "udp"]
        try:
            forget(Flow(None, p.host_port, address, p.container_port) for p in udp)
        except OSError as error:
            log.warning("cannot forget udp flows address=%s error=%s", address, error)

    def close(self) -> None:
        """Frees the context; what is programmed stays."""
        self._nft.close()


def _commands(verb: str, found: list[tuple[str, str]]) -> str:
    return "".join(f"{verb} element {TABLE} {name} {{ {element} }}\n" for name, element in found)
