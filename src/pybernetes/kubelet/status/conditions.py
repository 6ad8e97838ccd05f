"""A node's conditions: Ready and the three pressures, with upstream's reasons and texts, and the events of a change."""

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1


class _Face(Struct, frozen=True):
    """How a pressure looks, there or not."""

    reason: str
    message: str
    event: str


_PRESSURES = {
    "MemoryPressure": (
        _Face("KubeletHasSufficientMemory", "kubelet has sufficient memory available", "NodeHasSufficientMemory"),
        _Face("KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "NodeHasInsufficientMemory"),
    ),
    "DiskPressure": (
        _Face("KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"),
        _Face("KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure"),
    ),
    "PIDPressure": (
        _Face("KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID"),
        _Face("KubeletHasInsufficientPID", "kubelet has insufficient PID available", "NodeHasInsufficientPID"),
    ),
}


class Changed(Struct, frozen=True):
    """The conditions now, and the reasons of the events that tell what changed."""

    conditions: tuple[core_v1.NodeCondition, ...]
    events: tuple[str, ...]


def conditions(
    old: Sequence[core_v1.NodeCondition], wrong: Sequence[str], pressures: Collection[str], now: float
) -> Changed:
    """Ours with heartbeat and transition times, Ready last; those of others are kept. `wrong`: why it is not ready."""
    before = {c.type: c for c in old}
    stamp = rfc3339(now)
    found: list[core_v1.NodeCondition] = []
    events: list[str] = []

    def add(kind: str, status: str, face: _Face, silent: bool) -> None:
        last = before.get(kind)
        same = last is not None and last.status == status
        found.append(
            core_v1.NodeCondition(
                type=kind,
                status=status,
                lastHeartbeatTime=stamp,
                lastTransitionTime=last.lastTransitionTime if last is not None and same else stamp,
                reason=face.reason,
                message=face.message,
            )
        )
        if not same and not (silent and last is None):
            events.append(face.event)

    for kind, faces in _PRESSURES.items():
        held = kind in pressures
        add(kind, "True" if held else "False", faces[held], silent=False)
    if wrong:
        text = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        add("Ready", "False", _Face("KubeletNotReady", text, "NodeNotReady"), silent=True)
    else:
        add("Ready", "True", _Face("KubeletReady", "kubelet is posting ready status", "NodeReady"), silent=True)
    ours = {c.type for c in found}
    return Changed((*(c for c in old if c.type not in ours), *found), tuple(events))


def without_heartbeats(status: core_v1.NodeStatus) -> core_v1.NodeStatus:
    """What of a status is worth a write of its own."""
    quiet = tuple(replace(c, lastHeartbeatTime=None) for c in status.conditions)
    return replace(status, conditions=tuple(sorted(quiet, key=lambda c: c.type)))
