"""How long a Job waits before it makes Pods again: 10 s after a failure, doubling, until one succeeds. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from pybernetes.aio.clock import parse_time
from pybernetes.api.types import core_v1
from pybernetes.rules.backoff import exponential
from pybernetes.rules.readiness import POD_READY, condition

FIRST, MOST = 10.0, 600.0
"""Seconds: upstream's numbers."""


class Backoff(Struct, frozen=True):
    """What was seen of failures since the last success."""

    failures: int = 0
    last: float = 0.0
    """When the last of them was."""


def after(before: Backoff, succeeded: Iterable[core_v1.Pod], failed: Iterable[core_v1.Pod]) -> Backoff:
    """With Pods that have ended since."""
    ends = sorted(finished_at(pod) for pod in failed)
    last_success = max((finished_at(pod) for pod in succeeded), default=None)
    if last_success is not None:
        before = Backoff()
        ends = [end for end in ends if end > last_success]
    return Backoff(before.failures + len(ends), ends[-1]) if ends else before


def wait(backoff: Backoff, now: float) -> float:
    """Seconds until Pods may be made again."""
    if not backoff.failures:
        return 0.0
    return max(0.0, backoff.last + delay(backoff.failures) - now)


def delay(failures: int) -> float:
    """Seconds after so many failures in a row."""
    return exponential(failures - 1, FIRST, MOST) if failures else 0.0


def finished_at(pod: core_v1.Pod) -> float:
    """When its containers had ended; else when it ceased to be ready, was deleted, or was made."""
    found = _containers_ended(pod)
    if found is None:
        ready = condition(pod, POD_READY)
        if ready is not None and ready.status == "False" and ready.lastTransitionTime:
            found = parse_time(ready.lastTransitionTime)
        elif pod.metadata.deletionTimestamp:
            found = parse_time(pod.metadata.deletionTimestamp) - (pod.metadata.deletionGracePeriodSeconds or 0)
        else:
            found = parse_time(pod.metadata.creationTimestamp) if pod.metadata.creationTimestamp else 0.0
    return found


def _containers_ended(pod: core_v1.Pod) -> float | None:
    spec = pod.spec
    sidecars = {c.name for c in spec.initContainers if c.restartPolicy == "Always"}
    statuses = [*pod.status.containerStatuses, *(s for s in pod.status.initContainerStatuses if s.name in sidecars)]
    ends = [status.state.terminated for status in statuses]
    if not ends or any(end is None or not end.finishedAt for end in ends):
        return None
    return max(parse_time(end.finishedAt) for end in ends if end is not None and end.finishedAt)
