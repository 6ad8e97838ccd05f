"""When a Pod counts as active, ready and available. Workload controllers, endpoints and the scheduler share it."""

from datetime import datetime

from pybernetes.api.types import core_v1


def condition(pod: core_v1.Pod, kind: str) -> core_v1.PodCondition | None:
    """The condition of that type."""
    return next((c for c in pod.status.conditions if c.type == kind), None)


def is_terminal(pod: core_v1.Pod) -> bool:
    """All its containers have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: core_v1.Pod) -> bool:
    """Neither ended nor being deleted: it counts as a replica."""
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is None


def is_ready(pod: core_v1.Pod) -> bool:
    """The condition Ready is True."""
    ready = condition(pod, "Ready")
    return ready is not None and ready.status == "True"


def available_at(pod: core_v1.Pod, min_ready_seconds: int) -> float | None:
    """Since when (or from when on) a ready Pod is available, seconds since 1970; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.status != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    if ready.lastTransitionTime is None:
        return None
    return datetime.fromisoformat(ready.lastTransitionTime).timestamp() + min_ready_seconds


def is_available(pod: core_v1.Pod, min_ready_seconds: int, now: float) -> bool:
    """Ready for at least that long."""
    since = available_at(pod, min_ready_seconds)
    return since is not None and since <= now
