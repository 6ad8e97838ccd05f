"""Which thresholds are met, since when, and which conditions the node has for it: pure. See "Node-pressure Eviction".

readings.py observes, manager.py asks this and acts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.kubelet.thresholds import Threshold
from pybernetes.rules.requests import EPHEMERAL_STORAGE, MEMORY

INODES, PIDS = "inodes", "pids"
MEMORY_PRESSURE, DISK_PRESSURE, PID_PRESSURE = "MemoryPressure", "DiskPressure", "PIDPressure"
MEMORY_AVAILABLE, ALLOCATABLE, PID_AVAILABLE = "memory.available", "allocatableMemory.available", "pid.available"
_BYTES, _INODES = "available", "inodesFree"


class Observation(Struct, frozen=True):
    """What a signal says: bytes, inodes or processes. `at` is when it was read."""

    available: int
    capacity: int
    at: float


Observations: TypeAlias = Mapping[str, Observation]


def condition(signal: str) -> str:
    """The condition of a node for which the signal stands."""
    if signal in (MEMORY_AVAILABLE, ALLOCATABLE):
        return MEMORY_PRESSURE
    return PID_PRESSURE if signal == PID_AVAILABLE else DISK_PRESSURE


def resource(signal: str) -> str:
    """What is short where the signal tells of pressure."""
    if signal in (MEMORY_AVAILABLE, ALLOCATABLE):
        return MEMORY
    if signal == PID_AVAILABLE:
        return PIDS
    return INODES if signal.endswith(_INODES) else EPHEMERAL_STORAGE


def complete(thresholds: Iterable[Threshold], enforced: Iterable[str], dedicated: bool) -> tuple[Threshold, ...]:
    """With those that follow from others: of all Pods' own memory, and of the file system that holds containers.

    `dedicated`: images have a file system of their own, and then so have containers. `enforced`: enforceNodeAllocatable.
    """
    found = [t for t in thresholds if not t.signal.startswith("containerfs.")]
    if "pods" in enforced:
        found += [replace(t, signal=ALLOCATABLE) for t in found if t.signal == MEMORY_AVAILABLE and t.grace is None]
    same = "imagefs." if dedicated else "nodefs."
    found += [
        replace(t, signal=f"containerfs.{t.signal.partition('.')[2]}") for t in found if t.signal.startswith(same)
    ]
    return tuple(found)


def met(thresholds: Iterable[Threshold], observed: Observations, *, reclaim: bool = False) -> tuple[Threshold, ...]:
    """Those that are met now, whatever their grace. With `reclaim`, as long as the minimum is not reclaimed."""
    found = []
    for threshold in thresholds:
        seen = observed.get(threshold.signal)
        if seen is None:
            continue
        least = threshold.amount.of(seen.capacity)
        if reclaim:
            least += threshold.minimum_reclaim.of(seen.capacity)
        if seen.available < least:
            found.append(threshold)
    return tuple(found)


class Pressure(Struct, frozen=True):
    """What is remembered from one look to the next."""

    since: Mapping[Threshold, float] = {}
    """When each threshold that is met was first met."""
    seen: Mapping[str, float] = {}
    """When each condition was last seen to hold."""
    unresolved: tuple[Threshold, ...] = ()
    """Met for longer than their grace, and less than the minimum reclaimed since."""
    observed: Observations = {}
    act: tuple[Threshold, ...] = ()
    """On which to act now: those that were read anew; memory first."""

    def conditions(self, now: float, period: float) -> frozenset[str]:
        """Conditions that hold, and those that held within the transition period."""
        return frozenset(name for name, at in self.seen.items() if now - at < period or at == now)


def look(before: Pressure, thresholds: Sequence[Threshold], observed: Observations, now: float) -> Pressure:
    """The pressure after another observation."""
    holding = dict.fromkeys((*met(thresholds, observed), *met(before.unresolved, observed, reclaim=True)))
    since = {t: before.since.get(t, now) for t in holding}
    seen = {**before.seen, **dict.fromkeys((condition(t.signal) for t in holding), now)}
    due = tuple(t for t, at in since.items() if now - at >= (t.grace or 0.0))
    fresh = [t for t in due if _newer(observed[t.signal], before.observed.get(t.signal))]
    return Pressure(since, seen, due, observed, tuple(sorted(fresh, key=_turn)))


def _newer(seen: Observation, last: Observation | None) -> bool:
    return last is None or seen.at > last.at


def _turn(threshold: Threshold) -> bool:
    """Memory goes first: what runs out of it is killed, what runs out of disk only fails."""
    return condition(threshold.signal) != MEMORY_PRESSURE
