"""Who makes room for a critical Pod: as few Pods as can be, of the least guaranteed class, and the smallest. Pure.

admission.py asks it. See "Guaranteed Scheduling For Critical Add-On Pods".
"""

from collections.abc import Sequence

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.resources import is_critical
from pybernetes.rules.qos import qos_class
from pybernetes.rules.requests import CPU, MEMORY, PODS, pod_requests

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
CONDITION_MESSAGE = "Pod was preempted by Kubelet to accommodate a critical pod."


class Shortage(Struct, frozen=True):
    """One resource of which there is too little; CPU in thousandths, else whole units."""

    name: str
    wanted: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        """How much must become free."""
        return self.wanted - (self.capacity - self.used)


def victims(
    pod: core_v1.Pod, others: Sequence[core_v1.Pod], short: Sequence[Shortage]
) -> tuple[core_v1.Pod, ...] | None:
    """Pods to end so that `pod` fits; None where all that may be ended would not do."""
    missing = {s.name: s.missing for s in short}
    may_go = [other for other in others if _preemptable(pod, other)]
    if _left(missing, may_go):
        return None
    classes = {name: [p for p in may_go if qos_class(p) == name] for name in ("BestEffort", "Burstable", "Guaranteed")}
    chosen: dict[str, list[core_v1.Pod]] = {"BestEffort": classes["BestEffort"], "Burstable": classes["Burstable"]}
    for name in ("Guaranteed", "Burstable", "BestEffort"):
        # What this class must give when the classes below give everything, and those above what was chosen of them.
        rest = [p for other, pods in chosen.items() if other != name for p in pods]
        chosen[name] = _nearest(classes[name], _left(missing, rest))
    return (*chosen["BestEffort"], *chosen["Burstable"], *chosen["Guaranteed"])


def _preemptable(preemptor: core_v1.Pod, pod: core_v1.Pod) -> bool:
    """Whatever is not critical gives way, and a critical Pod to one of higher priority."""
    if not is_critical(pod):
        return True
    if pod.metadata.annotations.get("kubernetes.io/config.source", "api") != "api":
        return False
    return (preemptor.spec.priority or 0) > (pod.spec.priority or 0)


def _nearest(pods: Sequence[core_v1.Pod], missing: dict[str, int]) -> list[core_v1.Pod]:
    """Again and again the Pod that leaves least to find; of equals the one that requests least."""
    left, chosen = list(pods), []
    while missing and left:
        best = min(left, key=lambda p: (_distance(p, missing), _size(p)))
        left.remove(best)
        chosen.append(best)
        missing = _left(missing, [best])
    return chosen


def _given(pod: core_v1.Pod, name: str) -> int:
    return 1 if name == PODS else pod_requests(pod).get(name, 0)


def _left(missing: dict[str, int], pods: Sequence[core_v1.Pod]) -> dict[str, int]:
    rest = {name: need - sum(_given(pod, name) for pod in pods) for name, need in missing.items()}
    return {name: need for name, need in rest.items() if need > 0}


def _distance(pod: core_v1.Pod, missing: dict[str, int]) -> float:
    """How much of what is missing a Pod would leave; each resource counts alike."""
    return sum((max(0, need - _given(pod, name)) / need) ** 2 for name, need in missing.items())


def _size(pod: core_v1.Pod) -> tuple[int, int]:
    wanted = pod_requests(pod)
    return wanted.get(MEMORY, 0), wanted.get(CPU, 0)
