"""What the state of a Pod or Node means to others: ready, available, active, finished."""

from msgspec.structs import replace

from pybernetes.api.types.core_v1 import Node, NodeCondition, Pod, PodCondition
from pybernetes.rules.conditions import find, put_at

POD_READY, POD_SCHEDULED, CONTAINERS_READY = "Ready", "PodScheduled", "ContainersReady"
DISRUPTION_TARGET = "DisruptionTarget"
"""The Pod is ended for the sake of the node or of another Pod, not its own."""
SUCCEEDED, FAILED = "Succeeded", "Failed"


def condition(pod: Pod, kind: str) -> PodCondition | None:
    """The Pod's condition of that type."""
    return find(pod.status.conditions, kind)


def disrupted(pod: Pod, reason: str, message: str, now: str) -> Pod:
    """The Pod with the condition that tells its owner why it is about to be deleted; `now` is RFC 3339."""
    seen = pod.metadata.generation
    made = PodCondition(type=DISRUPTION_TARGET, status="True", reason=reason, message=message, observedGeneration=seen)
    return replace(pod, status=replace(pod.status, conditions=put_at(pod.status.conditions, made, now)))


def is_ready(pod: Pod) -> bool:
    """Condition Ready is True: it may get a Service's traffic."""
    found = condition(pod, POD_READY)
    return found is not None and found.status == "True"


def is_finished(pod: Pod) -> bool:
    """All containers ended for good. Its resources and its address are free."""
    return pod.status.phase in (SUCCEEDED, FAILED)


def is_terminating(pod: Pod) -> bool:
    """Somebody deleted it; it may still run."""
    return pod.metadata.deletionTimestamp is not None


def is_active(pod: Pod) -> bool:
    """Neither finished nor being deleted: counts as a replica."""
    return not is_finished(pod) and not is_terminating(pod)


def ready_since(pod: Pod) -> str | None:
    """When it became ready, as RFC 3339; None while it is not."""
    found = condition(pod, POD_READY)
    return found.lastTransitionTime if found is not None and found.status == "True" else None


def available_in(pod: Pod, min_ready_seconds: int, ready_at: float | None, now: float) -> float | None:
    """Seconds until the ready Pod counts as available (0: it does), None while it is not ready.

    `ready_at` is ready_since() in seconds since 1970: parsing times is the caller's.
    """
    if not is_ready(pod):
        return None
    if min_ready_seconds == 0:
        return 0.0
    if ready_at is None:
        return float(min_ready_seconds)
    return max(0.0, ready_at + min_ready_seconds - now)


def node_condition(node: Node, kind: str) -> NodeCondition | None:
    """The Node's condition of that type."""
    return find(node.status.conditions, kind)


def node_is_ready(node: Node) -> bool:
    """Condition Ready is True."""
    found = node_condition(node, "Ready")
    return found is not None and found.status == "True"
