"""Arithmetic that workload controllers share: int-or-percent fields, and which Pods to delete first."""

from collections.abc import Iterable, Sequence

from pybernetes.api.types.core_v1 import Pod
from pybernetes.rules.ownership import controller_of
from pybernetes.rules.readiness import is_ready, ready_since

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def scaled(value: int | str | None, total: int, *, round_up: bool, default: int | str = 0) -> int:
    """An IntOrString of `total`: `"25%"` of it, or the number itself. Raises ValueError for other texts."""
    chosen = default if value is None else value
    if isinstance(chosen, int):
        return chosen
    if not chosen.endswith("%") or not chosen[:-1].isdigit():
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {chosen!r}")
    product = int(chosen[:-1]) * total
    return -(-product // 100) if round_up else product // 100


def surge_and_unavailable(surge: int | str | None, unavailable: int | str | None, wanted: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) of a rolling update as numbers; never both zero, or it could not move."""
    most = scaled(surge, wanted, round_up=True, default="25%")
    missing = scaled(unavailable, wanted, round_up=False, default="25%")
    return (most, missing) if most or missing else (0, 1)


def deletion_order(pods: Iterable[Pod], related: Iterable[Pod] = ()) -> Sequence[Pod]:
    """The Pods, those to delete first in front, as ReplicaSets choose (ActivePodsWithRanks).

    Unassigned before assigned, Pending before Unknown before Running, unready before ready, lower deletion cost, more
    Pods of the same owner on the node (`related`: all active Pods that count for that), ready for a shorter time, more
    restarts, younger.
    """
    on_node: dict[str, int] = {}
    for pod in related:
        on_node[pod.spec.nodeName] = on_node.get(pod.spec.nodeName, 0) + 1
    newest_first = sorted(pods, key=lambda pod: pod.metadata.creationTimestamp or "", reverse=True)
    shortest_first = sorted(newest_first, key=lambda pod: ready_since(pod) or "", reverse=True)
    return sorted(shortest_first, key=lambda pod: _rank(pod, on_node))


def same_controller(one: Pod, other: Pod) -> bool:
    """Whether one object manages both."""
    first, second = controller_of(one.metadata), controller_of(other.metadata)
    return first is not None and second is not None and first.uid == second.uid


def _rank(pod: Pod, on_node: dict[str, int]) -> tuple[bool, int, bool, int, int, int]:
    restarts = max((s.restartCount for s in pod.status.containerStatuses), default=0)
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase, 1),
        is_ready(pod),
        _deletion_cost(pod),
        -on_node.get(pod.spec.nodeName, 0),
        -restarts if not is_ready(pod) else 0,
    )


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0
