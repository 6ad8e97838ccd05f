"""Levels: priority levels as their objects say, with their seats. Pure, on the time it is given; filter.py drives it.

digest() takes in the objects whenever they have changed, adjust() moves seats to where they are wanted.
"""

import logging
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.flowcontrol.objects import mandatory_levels
from pybernetes.apiserver.flowcontrol.queues import QueueSet, Queuing
from pybernetes.apiserver.flowcontrol.retry import RetryAfter
from pybernetes.apiserver.flowcontrol.sharing import Limits, Observed, Want, allocated, limits_of, rounded, smoothed

log = logging.getLogger(__name__)

_WIDEST = 0.15
"""Of a level's seats, what one request may take (upstream's priorityLevelMaxSeatsPercent)."""


class Level:
    """One priority level: its queues, its bounds, its demand."""

    def __init__(self, name: str, spec: Mapping[str, Any], now: Callable[[], float]) -> None:
        self.name = name
        self.uid = ""
        self.spec = spec
        self.queues = QueueSet(now, exempt=spec.get("type") == "Exempt")
        self.retry = RetryAfter()
        self.quiescing = False
        """Its object is gone; it goes when it is empty."""
        self.limits = Limits()
        self.widest = 0
        """Seats that one request may take; 0: no limit of this level's."""
        self.observed = Observed(0.0, 0.0, 0.0, 0.0)
        self.smoothed = self.target = 0.0
        """Demand, and what of it is asked for."""

    @property
    def _part(self) -> Mapping[str, Any]:
        return self.spec.get("exempt" if self.queues.exempt else "limited") or {}

    @property
    def shares(self) -> int:
        """Its part of all shares."""
        return self._part.get("nominalConcurrencyShares") or 0

    def resize(self, server: int, shares: int) -> None:
        """Its bounds on a server of so many seats, where all levels have so many shares."""
        part = self._part
        self.limits = limits_of(
            server, self.shares, shares, part.get("lendablePercent") or 0, part.get("borrowingLimitPercent")
        )
        queuing = _queuing(part)
        nominal = self.limits.nominal
        self.widest = max(1, min(ceil(nominal * _WIDEST), nominal // queuing.hand_size)) if queuing is not None else 0

    def wanted(self, *, used: bool) -> Want:
        """What it asks for after the demand of the time that ends now. `used`: somebody came, however short his stay."""
        self.observed = self.queues.demand.reset()
        self.smoothed = smoothed(self.smoothed, self.observed)
        highest = max(self.observed.highest, 1.0 if used else 0.0)
        least = max(float(self.limits.lower), min(float(self.limits.nominal), highest))
        self.target = max(least, self.smoothed)
        return Want(self.target, least, float(self.limits.upper))

    def limit(self, seats: int) -> None:
        """It has so many seats from now on."""
        self.queues.configure(_queuing(self._part), seats)


def _queuing(part: Mapping[str, Any]) -> Queuing | None:
    given = (part.get("limitResponse") or {}).get("queuing")
    return Queuing(given["queues"], given["handSize"], given["queueLengthLimit"]) if given else None


class Levels:
    """All levels of a server with so many seats."""

    def __init__(self, seats: int, now: Callable[[], float]) -> None:
        self.seats = seats
        self.fraction = 0.0
        """Of its target, what a level gets that no bound holds."""
        self.by_name: dict[str, Level] = {}
        self._now = now
        self.digest({})

    def digest(self, objects: Mapping[str, Object]) -> None:
        """These are the PriorityLevelConfigurations now. Those that every cluster must have are there in any case."""
        found = {name: self._of(name, obj) for name, obj in objects.items() if _sound(name, obj.get("spec") or {})}
        for name, spec in mandatory_levels().items():
            if name not in found:
                found[name] = self.by_name.get(name) or Level(name, spec, self._now)
        for name, level in self.by_name.items():
            if name not in found and not level.queues.idle:
                level.quiescing = True
                found[name] = level
        self.by_name = found
        shares = sum(level.shares for level in found.values())
        for level in found.values():
            level.resize(self.seats, shares)
        self.adjust(frozenset())

    def adjust(self, used: frozenset[str]) -> None:
        """Gives the seats to who wants them, now that the demand since the last time is known. Called every ten seconds.

        `used` are the levels where requests were answered that needed no seat, since they did not wait for anything.
        """
        levels = list(self.by_name.values())
        wants = [level.wanted(used=level.name in used) for level in levels]
        try:
            parts, self.fraction = allocated(sum(level.limits.nominal for level in levels), wants)
        except ValueError as error:
            log.error("seats stay as they are cause=%s", error)
            parts = [float(level.queues.limit) for level in levels]
        for level, part in zip(levels, parts, strict=True):
            level.limit(rounded(part))

    def reap(self) -> bool:
        """Whether a level is empty at last whose object is gone."""
        return any(level.quiescing and level.queues.idle for level in self.by_name.values())

    def _of(self, name: str, obj: Object) -> Level:
        spec = obj.get("spec") or {}
        level = self.by_name.get(name)
        if level is None or level.queues.exempt != (spec.get("type") == "Exempt"):
            level = Level(name, spec, self._now)
        level.spec, level.uid, level.quiescing = spec, obj["metadata"].get("uid") or "", False
        return level


def _sound(name: str, spec: Mapping[str, Any]) -> bool:
    """Whether it can be followed; validation lets nothing else in."""
    response = (spec.get("limited") or {}).get("limitResponse") or {}
    known = {"Exempt": True, "Limited": bool(response)}.get(spec.get("type") or "", False)
    if known and (response.get("type") == "Queue") == bool(response.get("queuing")):
        return True
    log.warning("priority level cannot be followed name=%s", name)
    return False
