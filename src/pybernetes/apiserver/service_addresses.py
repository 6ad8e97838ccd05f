"""ClusterIPs and node ports: which are taken, which to give next. resources/core/_service_allocation.py asks.

What is taken follows the stored Services and IPAddresses (fed by Registry.subscribe), so a restart repairs itself by
listing; what has been promised to a write that is still on its way is kept beside it. That is one server's view:
service_claims.py makes a choice good between servers.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

from pybernetes.aio.clock import Random
from pybernetes.api.objects import Object

if TYPE_CHECKING:
    from pybernetes.apiserver.service_claims import ServiceClaims

_TRIES = 1 << 17
"""Enough for every address of a /15; a larger range is never that full."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Change = Literal["ADDED", "MODIFIED", "DELETED"]
Item = str | int
"""An address or a node port."""


def _nobody() -> None:
    """Nothing is claimed."""


@dataclass(slots=True)
class ServiceAddresses:
    """One for each server process. `networks` is --service-cluster-ip-range, first the preferred family."""

    chance: Random
    """The clock's."""
    networks: tuple[Network, ...] = (ipaddress.ip_network("10.96.0.0/12"),)
    node_ports: range = range(30000, 32768)
    claims: "ServiceClaims | None" = None
    """None: this server is alone with its store, and IPAddresses are not served."""
    on_release: Callable[[], None] = _nobody
    """Told that there is more in `released`."""
    released: dict[Item, int] = field(default_factory=dict)
    """What no stored Service holds since a revision, until its claim is cleared away."""
    _by_service: dict[str, frozenset[Item]] = field(default_factory=dict)
    _taken: dict[Item, int] = field(default_factory=dict)
    """Address or port to how many hold it: a port may serve TCP and UDP of one Service."""
    _promised: dict[Item, str] = field(default_factory=dict)
    """To the uid of the Service that is on its way."""
    _claimed: set[str] = field(default_factory=set)
    """Names of IPAddresses, whoever has made them."""
    _ranges: dict[str, tuple[Network, ...]] = field(default_factory=dict)
    """Of each ServiceCIDR; none where it is not ready or going away."""

    def follow(self, change: Change, service: Object) -> None:
        """Takes in a stored Service. A Registry.Listener."""
        meta = service["metadata"]
        uid = meta["uid"]
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
        self.forget(service)  # what it did not get after all among it
        for item in held:
            self.released.pop(item, None)
        gone = sorted(before - held, key=str)
        if gone and self.claims is not None:
            self.released.update(dict.fromkeys(gone, int(meta.get("resourceVersion") or 0)))
            self.on_release()

    def follow_claim(self, change: Change, address: Object) -> None:
        """Takes in a stored IPAddress. A Registry.Listener."""
        name = address["metadata"]["name"]
        if change == "DELETED":
            self._claimed.discard(name)
        else:
            self._claimed.add(name)

    def follow_range(self, change: Change, cidr: Object) -> None:
        """Takes in a stored ServiceCIDR. A Registry.Listener."""
        name = cidr["metadata"]["name"]
        self._ranges.pop(name, None)
        if change != "DELETED":
            usable = _ready(cidr) and not cidr["metadata"].get("deletionTimestamp")
            texts = (cidr.get("spec") or {}).get("cidrs") or () if usable else ()
            self._ranges[name] = tuple(ipaddress.ip_network(text) for text in texts)

    @property
    def ranges(self) -> tuple[Network, ...]:
        """Where addresses come from: the ServiceCIDRs that are ready, the flag's until there are any."""
        if not self._ranges:
            return self.networks
        return tuple(dict.fromkeys(chain(*(self._ranges[name] for name in sorted(self._ranges)))))

    @property
    def families(self) -> tuple[str, ...]:
        """`IPv4` and `IPv6` as the cluster has them, the preferred one first."""
        return tuple(f"IPv{network.version}" for network in self.networks)

    def is_held(self, item: Item) -> bool:
        """Whether any stored Service has it."""
        return item in self._taken

    def is_taken(self, item: Item) -> bool:
        """Whether any stored Service has it, or it is promised to one."""
        return item in self._taken or item in self._promised

    def is_free(self, item: Item) -> bool:
        """Neither stored nor promised nor claimed."""
        return not self.is_taken(item) and (item not in self._claimed or item in self.released)

    def promise(self, item: Item, uid: str = "") -> None:
        """Holds an address or port for a write of a Service on its way; `follow` or `forget` ends that."""
        self._promised[item] = uid

    def forget(self, service: Object) -> None:
        """The write is over: what it was promised is stored, or free again."""
        uid = service["metadata"].get("uid", "")
        for item in [item for item, owner in self._promised.items() if owner == uid]:
            del self._promised[item]

    def contains(self, address: str) -> bool:
        """True for an address that may be given out of one of the ranges."""
        parsed = ipaddress.ip_address(address)
        return any(
            parsed in network
            and parsed != network.network_address
            and (network.version == 6 or parsed != network.broadcast_address)
            for network in self.ranges
        )

    def next_address(self, family: str, uid: str = "") -> str | None:
        """A free address, promised; from the upper part of a range first (KEP-3070), None when all are taken."""
        for network in self.ranges:
            if f"IPv{network.version}" == family:
                address = self._next_of(network)
                if address is not None:
                    self.promise(address, uid)
                    return address
        return None

    def _next_of(self, network: Network) -> str | None:
        first, last = 1, min(network.num_addresses - (2 if network.version == 4 else 1), 1 << 32)
        lower = min(max(last // 16, 16), 256) if last > 16 else 0
        for low, high in ((first + lower, last), (first, min(first + lower - 1, last))):
            offset = self._free_offset(low, high, network)
            if offset is not None:
                return str(network[offset])
        return None

    def _free_offset(self, low: int, high: int, network: Network) -> int | None:
        if high < low:
            return None
        start = self.chance.randint(low, high)
        offsets: Iterable[int] = islice(chain(range(start, high + 1), range(low, start)), _TRIES)
        return next((offset for offset in offsets if self.is_free(str(network[offset]))), None)

    def next_node_port(self, uid: str = "") -> int | None:
        """A free port, promised; from the upper part of the range first (KEP-3668)."""
        size = len(self.node_ports)
        lower = min(max(size // 32, 16), 128) if size > 16 else 0
        for part in (self.node_ports[lower:], self.node_ports[:lower]):
            if not part:
                continue
            start = self.chance.randrange(len(part))
            for port in (*part[start:], *part[:start]):
                if self.is_free(port):
                    self.promise(port, uid)
                    return int(port)
        return None


def _ready(cidr: Mapping[str, object]) -> bool:
    """A ServiceCIDR of which nobody has said whether it is ready counts: there may be no controller to say so."""
    status = cidr.get("status")
    conditions = status.get("conditions") or () if isinstance(status, dict) else ()
    return all(one.get("status") == "True" for one in conditions if one.get("type") == "Ready")


def holdings(service: Object) -> frozenset[Item]:
    """The ClusterIPs and node ports of a Service, its health check's too."""
    spec = service.get("spec") or {}
    held: set[Item] = {ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"}
    held |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        held.add(spec["healthCheckNodePort"])
    return frozenset(held)
