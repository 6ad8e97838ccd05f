"""Eviction thresholds as KubeletConfiguration writes them: signal -> `100Mi` or `10%`. See "Node-pressure Eviction".

status/node.py keeps the hard ones out of allocatable; eviction acts on all.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from pybernetes.api import quantity
from pybernetes.kubelet.configuration import Configuration
from pybernetes.rules import durations

SIGNALS = (
    "memory.available",
    "allocatableMemory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
)


class Amount(Struct, frozen=True):
    """Bytes (or inodes, or pids), or a part of the capacity from 0 to 1."""

    number: int = 0
    part: float | None = None

    def of(self, capacity: int) -> int:
        """The number, where the whole is `capacity`."""
        return self.number if self.part is None else int(capacity * self.part)


class Threshold(Struct, frozen=True):
    """Below `amount` the signal tells pressure: at once, or (a soft one) after `grace` seconds."""

    signal: str
    amount: Amount
    grace: float | None = None
    minimum_reclaim: Amount = Amount()


def thresholds(config: Configuration) -> tuple[Threshold, ...]:
    """The hard ones, then the soft ones. Raises ValueError with every problem, a line each."""
    problems: list[str] = []
    graces = dict(_graces(config.eviction_soft_grace_period, problems))
    reclaims = dict(_amounts(config.eviction_minimum_reclaim, problems, reclaim=True))
    found = [
        Threshold(signal, amount, None, reclaims.get(signal, Amount()))
        for signal, amount in _amounts(config.eviction_hard, problems)
    ]
    for signal, amount in _amounts(config.eviction_soft, problems):
        if signal not in graces:
            problems.append(f"grace period must be specified for the soft eviction threshold {signal}")
        found.append(Threshold(signal, amount, graces.get(signal, 0.0), reclaims.get(signal, Amount())))
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(found)


def hard(config: Configuration) -> dict[str, Amount]:
    """The hard thresholds by signal, for allocatable. Raises ValueError."""
    return {t.signal: t.amount for t in thresholds(config) if t.grace is None}


def _amounts(said: Mapping[str, str], problems: list[str], *, reclaim: bool = False) -> Iterator[tuple[str, Amount]]:
    """What is 0% or 100% is no threshold."""
    for signal, text in said.items():
        if signal not in SIGNALS:
            problems.append(f"unsupported eviction signal {signal}")
        elif text not in ("0%", "100%"):
            try:
                yield signal, _amount(signal, text, reclaim)
            except ValueError as error:
                problems.append(str(error))


def _amount(signal: str, text: str, reclaim: bool) -> Amount:
    if text.endswith("%"):
        try:
            part = float(text[:-1]) / 100
        except ValueError:
            raise ValueError(f"eviction percentage threshold {signal} is no percentage: {text}") from None
        if part < 0:
            raise ValueError(f"eviction percentage threshold {signal} must be >= 0%: {text}")
        if not part <= 1:
            raise ValueError(f"eviction percentage threshold {signal} must be <= 100%: {text}")
        return Amount(part=part)
    try:
        number = quantity.parse(text).value()
    except ValueError as error:
        raise ValueError(f"eviction threshold {signal}: {error}") from None
    if reclaim and number < 0:
        raise ValueError(f"negative eviction minimum reclaim specified for {signal}")
    if not reclaim and number <= 0:
        raise ValueError(f"eviction threshold {signal} must be positive: {text}")
    return Amount(number)


def _graces(said: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, float]]:
    for signal, text in said.items():
        if signal not in SIGNALS:
            problems.append(f"unsupported eviction signal {signal}")
            continue
        try:
            seconds = durations.seconds_of(text)
        except ValueError as error:
            problems.append(str(error))
            continue
        if seconds < 0:
            problems.append(f"invalid eviction grace period specified: {text}, must be a positive value")
        yield signal, seconds
