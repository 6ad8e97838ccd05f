"""Pod queue: decides which Pod is tried next, and when a rejected one is tried again. Feeds loop.py.

As upstream: active (by priority, then age), backoff (1 s, doubling to 10 s), unschedulable (until an event may help, five
minutes at most), and gated (until the Pod itself changes). Time is an argument, in seconds of a monotonic clock.
"""

import heapq
from collections.abc import Callable
from itertools import islice
from typing import Literal, TypeAlias

from msgspec import Struct

from pybernetes.api.objects import Key
from pybernetes.rules.backoff import exponential
from pybernetes.scheduler.snapshot import PodInfo

BACKOFF_FIRST, BACKOFF_MOST = 1.0, 10.0
UNSCHEDULABLE_MOST = 300.0
"""Seconds after which a rejected Pod is tried although nothing happened: a safety net for events that were missed."""

Place: TypeAlias = Literal["active", "backoff", "unschedulable", "gated", "in flight"]


class Queued(Struct):
    """A Pod that waits for a Node."""

    info: PodInfo
    since: float
    """When it came to the active queue: older first among equals."""
    place: Place = "active"
    attempts: int = 0
    backoff_until: float = 0.0
    rejected_at: float = 0.0
    rejecting: frozenset[str] = frozenset()
    """Plugins that rejected it; empty: not known."""
    ticket: int = 0
    """Of its one valid entry in a heap; older entries are skipped."""


class PodQueue:
    """All Pods without a Node that this scheduler is responsible for."""

    def __init__(self, gate: Callable[[PodInfo], str | None] = lambda info: None) -> None:
        self._gate = gate
        self._pods: dict[Key, Queued] = {}
        self._unschedulable: dict[Key, Queued] = {}  # in the order in which they were rejected
        self._active: list[tuple[int, float, int, Key]] = []
        self._backoff: list[tuple[float, int, Key]] = []
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._pods)

    def put(self, info: PodInfo, now: float) -> None:
        """A Pod came or changed. A change of what it wants ends its waiting for events, not its backoff."""
        queued = self._pods.get(info.key)
        if queued is None or queued.info.pod.metadata.uid != info.pod.metadata.uid:
            self._unschedulable.pop(info.key, None)
            queued = self._pods[info.key] = Queued(info, now)
            self._admit(queued, now)
            return
        changed = _wants_otherwise(queued.info, info)
        queued.info = info
        if changed and queued.place in ("unschedulable", "gated", "active"):
            self._admit(queued, now)

    def remove(self, key: Key) -> None:
        """A Pod is gone, or has a Node."""
        self._pods.pop(key, None)
        self._unschedulable.pop(key, None)

    def pop(self, now: float) -> Queued | None:
        """The next Pod to try; it is in flight until done(), rejected() or retry()."""
        self._wake(now)
        while self._active:
            *_, ticket, key = heapq.heappop(self._active)
            queued = self._pods.get(key)
            if queued is not None and queued.ticket == ticket:
                queued.place = "in flight"
                queued.attempts += 1
                return queued
        return None

    def next_wake(self) -> float | None:
        """When pop() may have something although nothing happens; None: never."""
        times = [queued.rejected_at + UNSCHEDULABLE_MOST for queued in islice(self._unschedulable.values(), 1)]
        if self._backoff:
            times.append(self._backoff[0][0])
        return min(times, default=None)

    def done(self, queued: Queued) -> None:
        """It has a Node, or is no longer wanted."""
        if self._pods.get(queued.info.key) is queued:
            del self._pods[queued.info.key]

    def rejected(self, queued: Queued, rejecting: frozenset[str], now: float) -> None:
        """No Node takes it now: wait for an event that may help."""
        if self._pods.get(queued.info.key) is not queued:
            return
        queued.rejecting, queued.rejected_at = rejecting, now
        queued.backoff_until = now + backoff(queued.attempts)
        queued.place = "unschedulable"
        self._unschedulable[queued.info.key] = queued

    def retry(self, queued: Queued, now: float) -> None:
        """Something failed that may work next time: only back off."""
        known = self._pods.setdefault(queued.info.key, queued)
        if known is queued:
            queued.backoff_until = now + backoff(queued.attempts)
            self._push(queued, now)

    def happened(self, may_help: Callable[[PodInfo, frozenset[str]], bool], now: float) -> bool:
        """An event: moves back the Pods that it may help; whether there was any."""
        moved = False
        for queued in tuple(self._unschedulable.values()):
            if may_help(queued.info, queued.rejecting):
                self._push(queued, now)
                moved = True
        return moved

    def look_again(self, now: float) -> bool:
        """What was held back is asked for again; whether any may be tried."""
        held = [queued for queued in self._pods.values() if queued.place == "gated"]
        for queued in held:
            self._admit(queued, now)
        return any(queued.place != "gated" for queued in held)

    def _admit(self, queued: Queued, now: float) -> None:
        if self._gate(queued.info):
            self._unschedulable.pop(queued.info.key, None)
            queued.place = "gated"
            self._ticket += 1
            queued.ticket = self._ticket
        else:
            self._push(queued, now)

    def _push(self, queued: Queued, now: float) -> None:
        self._ticket += 1
        queued.ticket = self._ticket
        key = queued.info.key
        self._unschedulable.pop(key, None)
        if queued.backoff_until > now:
            queued.place = "backoff"
            heapq.heappush(self._backoff, (queued.backoff_until, self._ticket, key))
        else:
            queued.place, queued.since = "active", now
            priority = queued.info.pod.spec.priority or 0
            heapq.heappush(self._active, (-priority, now, self._ticket, key))

    def _wake(self, now: float) -> None:
        """Moves what has backed off long enough, and what waited too long for events."""
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, key = heapq.heappop(self._backoff)
            queued = self._pods.get(key)
            if queued is not None and queued.ticket == ticket:
                self._push(queued, now)
        while self._unschedulable:
            queued = next(iter(self._unschedulable.values()))
            if queued.rejected_at + UNSCHEDULABLE_MOST > now:
                return
            self._push(queued, now)


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts."""
    return exponential(attempts - 1, BACKOFF_FIRST, BACKOFF_MOST)


def _wants_otherwise(old: PodInfo, new: PodInfo) -> bool:
    """Whether a change may matter to plugins: our own condition in the status does not."""
    before, after = old.pod, new.pod
    return before.spec != after.spec or before.metadata.labels != after.metadata.labels
