"""The flat layout: Services as elements of a few named nftables sets and maps. Pure; nftables.py runs its text.

One rule per number of endpoints, whatever the number of Services: a connection costs a few hash lookups. A frontend
(address, protocol, port) with n endpoints is an element of the set `random-n` (or `sticky-n`), whose rule draws a slot
below n into the packet mark and looks the endpoint up in `endpoints` by frontend and slot. Never an anonymous set a
Service: those make the kernel's work grow with the square of their number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.rules.services import BackendEndpoint, DataplanePort

TABLE = "ip kube-proxy"
MASQUERADE_BIT = 0x4000
"""Of the connection mark: the source becomes the node's address. The number is upstream's default."""

Slot = tuple[str, int]
Elements = dict[tuple[str, str], str]
"""(set or map, key) -> value; empty for sets."""

_KEYS = {"": "ipv4_addr . inet_proto . inet_service", "node-": "inet_proto . inet_service"}
_MATCH = {"": "ip daddr . meta l4proto . th dport", "node-": "meta l4proto . th dport"}


class Frontend(Struct, frozen=True, order=True):
    """What a client connects to. `address` is empty for a node port: any address of the node."""

    address: str
    protocol: str
    port: int

    @property
    def prefix(self) -> str:
        """Of the sets it belongs to."""
        return "" if self.address else "node-"

    @property
    def key(self) -> str:
        """As an element."""
        port = f"{self.protocol.lower()} . {self.port}"
        return f"{self.address} . {port}" if self.address else port


class Target(Struct, frozen=True):
    """Where connections to a frontend go: a slot each, or nowhere."""

    endpoints: tuple[Slot, ...]
    sticky: bool = False
    masquerade: bool = False
    drop: bool = False
    """Without endpoints: say nothing rather than refuse."""


def frontends(ports: Iterable[DataplanePort]) -> dict[Frontend, Target]:
    """The IPv4 frontends of a Service."""
    found: dict[Frontend, Target] = {}
    for port in ports:
        sticky = port.affinity_seconds > 0
        inside = Target(_slots(port.endpoints), sticky)
        local = port.external_local
        outside = Target(_slots(port.external_endpoints), sticky, masquerade=not local, drop=local)
        for address in port.cluster_ips:
            found[Frontend(address, port.protocol, port.port)] = inside
        for address in port.external_ips:
            found.setdefault(Frontend(address, port.protocol, port.port), outside)
        if port.node_port:
            found[Frontend("", port.protocol, port.node_port)] = outside
    return {frontend: target for frontend, target in found.items() if ":" not in frontend.address}


def _slots(endpoints: Sequence[BackendEndpoint]) -> tuple[Slot, ...]:
    return tuple((e.ip, e.port) for e in endpoints if ":" not in e.ip)


def keep_slots(before: Sequence[Slot], now: Sequence[Slot]) -> tuple[Slot, ...]:
    """`now` in an order in which as few as possible have another slot than before."""
    wanted = set(now)
    kept: list[Slot | None] = [slot if slot in wanted else None for slot in before[: len(wanted)]]
    kept += [None] * (len(wanted) - len(kept))
    fresh = iter(sorted(wanted - set(kept)))
    return tuple(next(fresh) if slot is None else slot for slot in kept)


@dataclass(frozen=True)
class Change:
    """One transaction and what it leaves behind it."""

    text: str
    stale_udp: frozenset[tuple[Frontend, Slot]]
    """UDP frontends and the endpoints that no longer serve them: their tracked flows must be forgotten."""


class FlatTable:
    """What is programmed, and the text that makes it what it should be. commit() after the text has run."""

    def __init__(self, service_cidr: str) -> None:
        self._cidr = service_cidr
        self.clear()

    def clear(self) -> None:
        """Knows nothing: the next change() must be full."""
        self._claims: dict[Frontend, dict[Key, Target]] = {}
        self._owned: dict[Key, dict[Frontend, Target]] = {}
        self._active: dict[Frontend, Target] = {}
        self._rules: set[tuple[str, str, int]] = set()
        self._hairpins: dict[str, int] = {}

    def change(self, services: Mapping[Key, Sequence[DataplanePort]], *, full: bool) -> Change:
        """The transaction for these Services. Remembers it as done: after a failure, clear()."""
        header = ""
        if full:
            self.clear()
            header = _skeleton(self._cidr)
        touched: set[Frontend] = set()
        for key, ports in services.items():
            touched |= self._claim(key, frontends(ports))
        removed: Elements = {}
        added: Elements = {}
        stale: set[tuple[Frontend, Slot]] = set()
        uses = dict(self._hairpins)
        for frontend in sorted(touched):
            before, now = self._activate(frontend)
            removed |= _elements(frontend, before)
            added |= _elements(frontend, now)
            _count(uses, before, -1)
            _count(uses, now, 1)
            if frontend.protocol == "UDP" and before is not None:
                lost = set(before.endpoints) - set(now.endpoints if now else ())
                stale |= {(frontend, slot) for slot in lost}
        for address in self._hairpins.keys() | uses.keys():
            had, has = self._hairpins.get(address, 0) > 0, uses.get(address, 0) > 0
            if had != has:
                (added if has else removed)["hairpin", f"{address} . {address}"] = ""
        self._hairpins = {address: count for address, count in uses.items() if count}
        same = {place for place, value in added.items() if removed.get(place) == value and place in removed}
        rules = self._new_rules(added)
        text = header + rules + _commands("delete", removed, same) + _commands("add", added, same)
        return Change(text, frozenset(stale))

    def _claim(self, key: Key, wanted: dict[Frontend, Target]) -> set[Frontend]:
        owned = self._owned.get(key, {})
        touched = {f for f in owned.keys() | wanted.keys() if owned.get(f) != wanted.get(f)}
        for frontend in touched:
            claims = self._claims.setdefault(frontend, {})
            if frontend in wanted:
                claims[key] = wanted[frontend]
            else:
                claims.pop(key, None)
            if not claims:
                del self._claims[frontend]
        if wanted:
            self._owned[key] = wanted
        else:
            self._owned.pop(key, None)
        return touched

    def _activate(self, frontend: Frontend) -> tuple[Target | None, Target | None]:
        """Before and now. Where two Services claim one frontend, the first by name has it."""
        before = self._active.get(frontend)
        claims = self._claims.get(frontend)
        if not claims:
            self._active.pop(frontend, None)
            return before, None
        target = claims[min(claims)]
        endpoints = keep_slots(before.endpoints if before else (), target.endpoints)
        now = Target(endpoints, target.sticky, target.masquerade, target.drop)
        self._active[frontend] = now
        return before, now

    def _new_rules(self, added: Elements) -> str:
        lines = []
        for name in sorted({name for name, _ in added}):
            prefix = "node-" if name.startswith("node-") else ""
            choice, dash, count = name.removeprefix(prefix).partition("-")
            if not dash or not count.isdigit() or (prefix, choice, int(count)) in self._rules:
                continue
            self._rules.add((prefix, choice, int(count)))
            draw = "numgen random" if choice == "random" else "jhash ip saddr"
            chain, match = ("nodeports" if prefix else "services"), _MATCH[prefix]
            lines.append(f"add set {TABLE} {name} {{ type {_KEYS[prefix]}; }}")
            lines.append(
                f"add rule {TABLE} {chain} {match} @{name} meta mark set {draw} mod {count} "
                f"dnat to {match} . meta mark map @{prefix}endpoints"
            )
        return "".join(line + "\n" for line in lines)


def _elements(frontend: Frontend, target: Target | None) -> Elements:
    if target is None:
        return {}
    prefix, key = frontend.prefix, frontend.key
    if not target.endpoints:
        return {(prefix + ("dropped" if target.drop else "refused"), key): ""}
    choice = "sticky" if target.sticky else "random"
    found: Elements = {(f"{prefix}{choice}-{len(target.endpoints)}", key): ""}
    if target.masquerade:
        found[f"{prefix}masqueraded", key] = ""
    for number, (address, port) in enumerate(target.endpoints):
        found[f"{prefix}endpoints", f"{key} . {number:#x}"] = f"{address} . {port}"
    return found


def _count(uses: dict[str, int], target: Target | None, step: int) -> None:
    for address, _ in target.endpoints if target else ():
        uses[address] = uses.get(address, 0) + step


def _commands(verb: str, elements: Elements, without: set[tuple[str, str]]) -> str:
    by_set: dict[str, list[str]] = {}
    for (name, key), value in elements.items():
        if (name, key) not in without:
            by_set.setdefault(name, []).append(f"{key} : {value}" if value and verb == "add" else key)
    return "".join(f"{verb} element {TABLE} {name} {{ {', '.join(keys)} }}\n" for name, keys in by_set.items())


def _skeleton(service_cidr: str) -> str:
    """The table without Services, in the place of whatever was there."""
    sets = ""
    for prefix, key in _KEYS.items():
        for name in ("refused", "dropped", "masqueraded"):
            sets += f"  set {prefix}{name} {{ type {key}; }}\n"
        sets += f"  map {prefix}endpoints {{ type {key} . mark : ipv4_addr . inet_service; }}\n"
    here = "fib daddr type local ip daddr != 127.0.0.0/8"
    refuse = "".join(
        f"    {_MATCH['']} @{name} {verdict}\n" for name, verdict in (("refused", "goto refuse"), ("dropped", "drop"))
    )
    refuse += f"    ip daddr {service_cidr} goto refuse\n"
    refuse_node = "".join(
        f"    {here} {_MATCH['node-']} @node-{name} {verdict}\n"
        for name, verdict in (("refused", "goto refuse"), ("dropped", "drop"))
    )
    known = "    ct state established,related accept\n"
    mark = f"ct mark set ct mark or {MASQUERADE_BIT:#x}"
    nat = f"    jump services\n    {here} jump nodeports\n"
    return f"""\
add table {TABLE}
delete table {TABLE}
table {TABLE} {{
{sets}  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain services {{
    {_MATCH[""]} @masqueraded {mark}
  }}
  chain nodeports {{
    {_MATCH["node-"]} @node-masqueraded {mark}
  }}
  chain nat-prerouting {{
    type nat hook prerouting priority dstnat;
{nat}  }}
  chain nat-output {{
    type nat hook output priority -100;
{nat}  }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat;
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat ct mark and {MASQUERADE_BIT:#x} == {MASQUERADE_BIT:#x} masquerade
  }}
  chain filter-input {{
    type filter hook input priority filter;
{known}{refuse_node}  }}
  chain filter-forward {{
    type filter hook forward priority filter;
{known}{refuse}  }}
  chain filter-output {{
    type filter hook output priority filter;
{known}{refuse}{refuse_node}  }}
}}
"""
