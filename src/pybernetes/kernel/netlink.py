"""Links, addresses, routes and neighbours: rtnetlink(7) over pyroute2, which is imported when first used (0.3 s).

Made and used in one NamespaceThread. Every method names one object; nothing is confirmed by dumping tables.
"""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_FAMILIES = {4: 2, 6: 10}
_UNIVERSE, _LINK = 0, 253


@dataclass(frozen=True)
class Route:
    """A route of the main table. `kind` "unicast" or "unreachable"; `protocol` says who made it (rtnetlink(7))."""

    destination: str
    gateway: str | None = None
    device: str | None = None
    kind: str = "unicast"
    protocol: int = 4
    metric: int = 0
    onlink: bool = False
    source: str | None = None


class Netlink:
    """One rtnetlink socket in the thread's network namespace. Raises OSError with the kernel's reason."""

    def __init__(self) -> None:
        from pyroute2 import IPRoute

        if asyncio._get_running_loop() is not None:
            # pyroute2 brings a loop of its own, and would close the one that runs here
            raise RuntimeError("netlink is used in a worker thread (kernel.namespaces.NamespaceThread)")
        self._ip = IPRoute()

    def close(self) -> None:
        """Closes the socket."""
        self._ip.close()

    def index(self, name: str) -> int | None:
        """The link's number, or None where there is no such link."""
        try:
            found = self._request("link", "get", ifname=name)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return int(found[0]["index"]) if found else None

    def hardware_address(self, name: str) -> str:
        """The link's MAC address."""
        return str(self._request("link", "get", ifname=name)[0].get_attr("IFLA_ADDRESS"))

    def add_bridge(self, name: str, hardware: str = "") -> None:
        """A bridge, up. Without a hardware address of its own it takes that of a port, and another when ports change."""
        address = {"address": hardware} if hardware else {}
        self._request("link", "add", ifname=name, kind="bridge", **address)
        self.up(name)

    def add_veth(self, name: str, peer: str, peer_netns: int, *, mtu: int = 1500, peer_hardware: str = "") -> None:
        """A veth pair: `name` here, `peer` in the namespace that the open file `peer_netns` names; both down."""
        other = {"ifname": peer, "net_ns_fd": peer_netns, "mtu": mtu}
        if peer_hardware:
            other["address"] = peer_hardware
        self._request("link", "add", ifname=name, kind="veth", mtu=mtu, peer=other)

    def delete_link(self, name: str) -> bool:
        """False where there was none."""
        index = self.index(name)
        if index is None:
            return False
        with suppress_errno(errno.ENODEV):
            self._request("link", "del", index=index)
        return True

    def up(self, name: str) -> None:
        """Sets the link up."""
        self._request("link", "set", index=self._need(name), state="up")

    def down(self, name: str) -> None:
        """Sets the link down: for what hangs on it, a pulled cable."""
        self._request("link", "set", index=self._need(name), state="down")

    def attach(self, name: str, bridge: str, *, hairpin: bool = True) -> None:
        """Makes the link a port of the bridge; `hairpin` lets a frame leave by the port it came in."""
        index = self._need(name)
        self._request("link", "set", index=index, master=self._need(bridge))
        if hairpin:
            self._request("brport", "set", index=index, mode=1)

    def add_address(self, name: str, address: str) -> None:
        """`address` with its prefix, "10.0.0.1/24"; one that is there already is fine."""
        host, _, prefix = address.partition("/")
        with suppress_errno(errno.EEXIST):
            self._request("addr", "add", index=self._need(name), address=host, prefixlen=int(prefix))

    def replace_route(self, route: Route) -> None:
        """Adds the route or puts it in the place of the one to the same destination."""
        self._request("route", "replace", **self._route(route))

    def delete_route(self, route: Route) -> bool:
        """False where there was none."""
        try:
            self._request("route", "del", **self._route(route))
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.ENODEV):
                return False
            raise
        return True

    def routes(self, protocol: int) -> Iterator[Route]:
        """The main table's IPv4 routes that this protocol number made."""
        names = {7: "unreachable"}
        for entry in self._request("route", "dump", family=_FAMILIES[4], proto=protocol, table=254):
            if entry["proto"] != protocol:
                continue
            index = entry.get_attr("RTA_OIF")
            yield Route(
                f"{entry.get_attr('RTA_DST') or '0.0.0.0'}/{entry['dst_len']}",
                gateway=entry.get_attr("RTA_GATEWAY"),
                device=self.name(index) if index is not None else None,
                kind=names.get(entry["type"], "unicast"),
                protocol=protocol,
                metric=entry.get_attr("RTA_PRIORITY") or 0,
            )

    def name(self, index: int) -> str | None:
        """The link's name by its number."""
        with suppress_errno(errno.ENODEV):
            found = self._request("link", "get", index=index)
            return str(found[0].get_attr("IFLA_IFNAME")) if found else None
        return None

    def link_names(self, prefix: str = "") -> list[str]:
        """Names of the links here."""
        names = (str(link.get_attr("IFLA_IFNAME")) for link in self._request("link", "dump"))
        return [name for name in names if name.startswith(prefix)]

    def replace_neighbour(self, name: str, address: str, hardware: str) -> None:
        """A permanent neighbour: no ARP is asked for it."""
        self._request("neigh", "replace", ifindex=self._need(name), dst=address, lladdr=hardware, state=0x80)

    def _need(self, name: str) -> int:
        index = self.index(name)
        if index is None:
            raise OSError(errno.ENODEV, "no such link", name)
        return index

    def _route(self, route: Route) -> dict[str, Any]:
        wanted: dict[str, Any] = {"dst": route.destination, "proto": route.protocol, "table": 254}
        if route.kind != "unicast":
            wanted["type"] = route.kind
        elif route.gateway is None:
            wanted["scope"] = _LINK
        if route.gateway is not None:
            wanted["gateway"] = route.gateway
        if route.device is not None:
            wanted["oif"] = self._need(route.device)
        if route.onlink:
            wanted["flags"] = ["onlink"]
        if route.metric:
            wanted["priority"] = route.metric
        if route.source is not None:
            wanted["prefsrc"] = route.source
        return wanted

    def _request(self, noun: str, verb: str, **arguments: Any) -> Any:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            answer = getattr(self._ip, noun)(verb, **arguments)
            return list(answer) if verb in ("get", "dump") else answer
        except NetlinkError as error:
            what = " ".join(f"{k}={v}" for k, v in arguments.items() if k in ("ifname", "dst", "address", "index"))
            raise OSError(
                error.code, f"{noun} {verb} {what}: {error.args[1] if len(error.args) > 1 else error}"
            ) from error


class suppress_errno(suppress):  # noqa: N801 (named as contextlib.suppress, which it narrows)
    """contextlib.suppress for OSErrors of some numbers."""

    def __init__(self, *numbers: int) -> None:
        super().__init__(OSError)
        self._numbers = numbers

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, OSError) and error.errno in self._numbers
