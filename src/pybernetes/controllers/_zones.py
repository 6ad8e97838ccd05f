"""Zones of Nodes: how well each is, and how fast its silent Nodes may be emptied. Pure; node_lifecycle.py acts on it.

Many Nodes that fall silent together are more likely a broken network than broken Nodes: evictions slow down, or stop. Rules
and numbers are those of the API concept "Nodes: rate limits on eviction".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf

_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
EXCLUDED = "node.kubernetes.io/exclude-disruption"
"""Label of Nodes that say nothing about their zone."""
_FEW = 2
"""So many unhealthy Nodes are no disruption of a part, however small the zone is."""


class State(Enum):
    """Of a zone."""

    INITIAL = "Initial"
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


class Turn(Enum):
    """What a judgement changed for the whole cluster."""

    NONE = 0
    STOPPED = 1
    """Every zone is fully disrupted now: nobody is evicted."""
    RESUMED = 2
    """Some Node answers again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Flags of kube-controller-manager; rates in Nodes a second."""

    eviction: float = 0.1
    secondary: float = 0.01
    large_cluster: int = 50
    """Nodes; a zone of so many or fewer is not emptied at all while a part of it is disrupted."""
    unhealthy_zone: float = 0.55
    """The part of a zone that is not ready from which on it counts as disrupted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a Node says about its zone."""

    uid: str
    zone: str
    ready: bool
    counts: bool = True
    """Whether its zone's health is judged by it."""
    empties: bool = False
    """Whether it is one that should be emptied: it has said that it is not ready, or fell silent."""


def zone_of(labels: Mapping[str, str]) -> str:
    """The zone's name from a Node's labels, as upstream's metrics have it; empty where they say neither region nor zone."""
    region = next((labels[key] for key in _REGION if labels.get(key)), "")
    zone = next((labels[key] for key in _ZONE if labels.get(key)), "")
    return f"{region}:\x00:{zone}" if region or zone else ""


def state_of(size: int, unhealthy: int, rates: Rates) -> State:
    """The state of a zone of `size` Nodes."""
    if 0 < unhealthy == size:
        return State.FULL
    if unhealthy > _FEW and unhealthy / size >= rates.unhealthy_zone:
        return State.PARTIAL
    return State.NORMAL


def rate_of(state: State, size: int, rates: Rates) -> float:
    """Nodes of a zone that may be emptied in a second. A fully disrupted one among others is dealt with as a normal one."""
    if state is not State.PARTIAL:
        return rates.eviction
    return rates.secondary if size > rates.large_cluster else 0.0


class Limiter:
    """A bucket for one token. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self._left, self._at = 1.0, 0.0

    def take(self, now: float) -> bool:
        """Whether there was a token, which is taken."""
        self._fill(now)
        if not self.rate or self._left < 1:
            return False
        self._left -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        return max(0.0, (1 - self._left) / self.rate) if self.rate else inf

    def change(self, rate: float, now: float) -> None:
        """Another rate; a bucket that had no token, or gave none, begins empty."""
        self._fill(now)
        if rate != self.rate:
            self.rate, self._left = rate, float(self._left >= 1 and self.rate != 0)

    def _fill(self, now: float) -> None:
        # A token that is due to the billionth of a second is there: timers count in floats.
        self._left, self._at = min(1.0, self._left + (now - self._at) * (self.rate or 0) + 1e-9), now


@dataclass(slots=True)
class Zone:
    """One zone's books."""

    size: int = 0
    unhealthy: int = 0
    state: State = State.INITIAL
    limiter: Limiter = field(default_factory=Limiter)
    waiting: dict[str, float] = field(default_factory=dict)
    """Nodes to be emptied, in order, and since when each waits."""


class Zones:
    """All zones and Nodes. Tell it what is seen, then let it judge, then ask whose turn has come."""

    def __init__(self) -> None:
        self.zones: dict[str, Zone] = {}
        self.nodes: dict[str, Seen] = {}
        self.stopped = False
        """No Node answers: it may be us who cannot see."""
        self.granted: set[str] = set()
        """Nodes that may be emptied, and are not yet."""

    def saw(self, name: str, seen: Seen, now: float) -> bool:
        """What a Node is now; whether that is news."""
        old = self.nodes.get(name)
        if old == seen:
            return False
        since = self._leave(name, old) if old is not None else None
        self.nodes[name] = seen
        zone = self.zones.setdefault(seen.zone, Zone())
        self._count(zone, seen, 1)
        if not seen.empties:
            self.granted.discard(name)
        elif name not in self.granted:
            zone.waiting[name] = now if since is None else since
        return True

    def gone(self, name: str) -> Seen | None:
        """A Node is no more; what it was."""
        old = self.nodes.pop(name, None)
        if old is not None:
            self._leave(name, old)
            self.granted.discard(name)
        return old

    def emptied(self, name: str) -> None:
        """A Node has its taint: it waits no more."""
        self.granted.discard(name)
        seen = self.nodes.get(name)
        if seen is not None:
            self.zones[seen.zone].waiting.pop(name, None)
            self.nodes[name] = replace(seen, empties=False)

    def judge(self, now: float, rates: Rates) -> Turn:
        """The states of all zones, and the rates that follow."""
        counted = {name: zone for name, zone in self.zones.items() if zone.size}
        states = {name: state_of(zone.size, zone.unhealthy, rates) for name, zone in counted.items()}
        stop = bool(states) and all(state is State.FULL for state in states.values())
        turn = Turn.NONE if stop == self.stopped else Turn.STOPPED if stop else Turn.RESUMED
        self.stopped = stop
        if stop:
            for name in sorted(self.granted):
                self.zones[self.nodes[name].zone].waiting[name] = now
            self.granted.clear()
        for name, zone in self.zones.items():
            zone.state = states.get(name, State.INITIAL)
            zone.limiter.change(0.0 if stop else rate_of(zone.state, zone.size, rates), now)
        return turn

    def grant(self, now: float, patience: float) -> Iterable[str]:
        """The Nodes whose turn has come: each has waited for `patience` seconds, and for a token of its zone."""
        found = []
        for zone in self.zones.values():
            while zone.waiting:
                name, since = next(iter(zone.waiting.items()))
                if now < since + patience or not zone.limiter.take(now):
                    break
                del zone.waiting[name]
                found.append(name)
        self.granted.update(found)
        return found

    def wait(self, now: float, patience: float) -> float:
        """Seconds until somebody's turn may come; infinite where nobody waits for time alone."""
        return min((self._turn(zone, now, patience) for zone in self.zones.values() if zone.waiting), default=inf)

    def _turn(self, zone: Zone, now: float, patience: float) -> float:
        return max(next(iter(zone.waiting.values())) + patience - now, zone.limiter.wait(now))

    def _leave(self, name: str, old: Seen) -> float | None:
        zone = self.zones[old.zone]
        self._count(zone, old, -1)
        return zone.waiting.pop(name, None)

    def _count(self, zone: Zone, seen: Seen, by: int) -> None:
        zone.size += by * seen.counts
        zone.unhealthy += by * (seen.counts and not seen.ready)
