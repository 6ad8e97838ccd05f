"""Which Pods go first when a ReplicaSet shrinks: upstream's ActivePodsWithRanks. The replica controllers sort with it."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cmp_to_key
from math import log2

from pybernetes.api.types import core_v1
from pybernetes.rules.readiness import condition, is_active, is_ready

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


def victims_first(pods: Iterable[core_v1.Pod], siblings: Iterable[core_v1.Pod], now: float) -> list[core_v1.Pod]:
    """The Pods in the order in which they go.

    Not scheduled, then Pending, then not ready, then the cheaper, then those with more siblings on their node (Pods of
    all ReplicaSets of one Deployment), then the younger ready, the more restarted (sidecars last), the younger. Ages count in powers
    of two, and within one power the uid decides, so that no node loses its Pods for having started them last (KEP-2185).
    """
    crowd = Counter(pod.spec.nodeName for pod in siblings if is_active(pod))

    def compare(a: core_v1.Pod, b: core_v1.Pod) -> int:
        first, second = _plain(a, crowd), _plain(b, crowd)
        if first != second:
            return -1 if first < second else 1
        return (
            (_younger(_ready_time(a), _ready_time(b), a, b, now) if is_ready(a) else 0)
            or (_restarts(b) > _restarts(a)) - (_restarts(b) < _restarts(a))
            or _younger(a.metadata.creationTimestamp, b.metadata.creationTimestamp, a, b, now)
        )

    return sorted(pods, key=cmp_to_key(compare))


def _plain(pod: core_v1.Pod, crowd: Counter[str]) -> tuple[bool, int, bool, int, int]:
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase, 0),
        is_ready(pod),
        _cost(pod),
        -crowd[pod.spec.nodeName],
    )


def _cost(pod: core_v1.Pod) -> int:
    """A bad value counts as none."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (digits != "0" and digits.startswith("0")):
        return 0
    return int(text) if abs(int(text)) < 2**31 else 0


def _restarts(pod: core_v1.Pod) -> tuple[int, int]:
    """The most of any container, then of any sidecar."""
    most = max((status.restartCount for status in pod.status.containerStatuses), default=0)
    if not pod.status.initContainerStatuses:
        return most, 0
    sidecars = {container.name for container in pod.spec.initContainers if container.restartPolicy == "Always"}
    theirs = [status.restartCount for status in pod.status.initContainerStatuses if status.name in sidecars]
    return most, max(theirs, default=0)


def _ready_time(pod: core_v1.Pod) -> str | None:
    ready = condition(pod, "Ready")
    return ready.lastTransitionTime if ready else None


def _younger(first: str | None, second: str | None, a: core_v1.Pod, b: core_v1.Pod, now: float) -> int:
    """Negative when `first` is the younger time; a time unknown counts as youngest."""
    if first == second:
        return 0
    if not first or not second:
        return -1 if not first else 1
    difference = _bucket(first, now) - _bucket(second, now)
    return difference or (-1 if a.metadata.uid < b.metadata.uid else 1)


def _bucket(time: str, now: float) -> int:
    age = (now - datetime.fromisoformat(time).timestamp()) * 1e9
    return int(log2(age)) if age >= 1 else -1
