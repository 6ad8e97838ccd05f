"""Which taints a Pod tolerates. Used by the scheduler, kubelet admission, node lifecycle and daemon sets."""

from collections.abc import Container, Iterable

from pybernetes.api.types.core_v1 import Taint, Toleration

NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "PreferNoSchedule", "NoExecute"
EFFECTS = (NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE)
HARD = frozenset({NO_SCHEDULE, NO_EXECUTE})
"""Effects that keep a new Pod away."""

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
MEMORY_PRESSURE = "node.kubernetes.io/memory-pressure"
DISK_PRESSURE = "node.kubernetes.io/disk-pressure"
PID_PRESSURE = "node.kubernetes.io/pid-pressure"
NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether one toleration covers one taint. An empty key or effect covers all of them."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return bool(toleration.key) and toleration.value == taint.value
        case "Exists":
            return True
        case "Lt" | "Gt":
            return _compares(toleration, taint)
    return False


def untolerated(
    taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: Container[str] = HARD
) -> Taint | None:
    """The first taint of those effects that no toleration covers."""
    held = tuple(tolerations)
    for taint in taints:
        if taint.effect in effects and not any(tolerates(toleration, taint) for toleration in held):
            return taint
    return None


def eviction_seconds(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> float | None:
    """How long the Pod may stay on a Node with these NoExecute taints: 0 at once, None for ever."""
    held = tuple(tolerations)
    shortest: float | None = None
    for taint in taints:
        if taint.effect != NO_EXECUTE:
            continue
        covering = [toleration for toleration in held if tolerates(toleration, taint)]
        if not covering:
            return 0.0
        limits = [max(0.0, float(t.tolerationSeconds)) for t in covering if t.tolerationSeconds is not None]
        if limits and (shortest is None or min(limits) < shortest):
            shortest = min(limits)
    return shortest


def _compares(toleration: Toleration, taint: Taint) -> bool:
    try:
        wanted, there = int(toleration.value), int(taint.value)
    except ValueError:
        return False
    return there < wanted if toleration.operator == "Lt" else there > wanted
