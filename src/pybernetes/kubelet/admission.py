"""What fits on the node: asked once for each Pod before it starts. See "Node-pressure and admission" of the kubelet.

The scheduler has counted already; this catches races, and Pods that name their node themselves.
"""

from collections.abc import Iterable, Mapping

from pybernetes.api.types import core_v1
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.rules.requests import PODS, amount, pod_requests


def admit(pod: core_v1.Pod, others: Iterable[core_v1.Pod], allocatable: Mapping[str, str]) -> Verdict | None:
    """None, or why the Pod is Failed. `others` are the Pods that were admitted and have not ended."""
    used: dict[str, int] = {}
    count = 0
    for other in others:
        count += 1
        for name, wanted in pod_requests(other).items():
            used[name] = used.get(name, 0) + wanted
    most = int(allocatable.get(PODS, "110"))
    if count + 1 > most:
        return _refusal(PODS, 1, count, most)
    for name, wanted in sorted(pod_requests(pod).items()):
        if name not in allocatable or not wanted:
            continue  # what the node does not have at all is somebody else's to grant
        have, taken = amount(name, allocatable[name]), used.get(name, 0)
        if wanted + taken > have:
            return _refusal(name, wanted, taken, have)
    return None


def _refusal(name: str, wanted: int, used: int, have: int) -> Verdict:
    message = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {have}"
    return Verdict(f"OutOf{name}", message)
