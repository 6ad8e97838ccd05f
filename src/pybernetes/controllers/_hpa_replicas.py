"""How many replicas a metric asks for (HorizontalPodAutoscaler): the ratio to its target times the Pods that count. Pure.

Amounts are thousandths. Who is not ready yet, or tells nothing, counts such that it weakens the change: as idle when
that would be up, as fully used when down. _hpa_behavior.py limits what comes out of here.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from math import ceil, isfinite

from msgspec import Struct

from pybernetes.aio.clock import seconds_of
from pybernetes.api.quantity import parse
from pybernetes.api.types.core_v1 import Pod
from pybernetes.rules.readiness import POD_READY, condition, is_finished, is_ready, is_terminating
from pybernetes.rules.requests import CPU, pod_requests
from pybernetes.rules.resourcenames import is_pod_level

MOST = 2**31 - 1
"""Replicas that a Scale can say."""
_MOST_VALUE = 2**63 - 1
_PERCENT = 100
"""All of a request."""


class CannotCompute(Exception):
    """A metric says nothing; the text is upstream's, for events and conditions."""


class Sample(Struct, frozen=True):
    """What one Pod uses: thousandths, at a time (seconds since 1970), over a window of so many seconds."""

    value: int
    at: float = 0.0
    window: float = 60.0


Samples = dict[str, Sample]
"""By the name of the Pod."""


class Tolerances(Struct, frozen=True):
    """How far the ratio may be above and below 1 before anything changes."""

    up: float = 0.1
    down: float = 0.1

    def hold(self, ratio: float) -> bool:
        """Whether the change would be too small."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Start(Struct, frozen=True):
    """How long the CPU time of a Pod that starts says nothing of its load. Seconds."""

    initialization: float = 300.0
    readiness_delay: float = 30.0


class Proposal(Struct, frozen=True):
    """Replicas, and what was measured: a value (average, total) in thousandths, and percent of the requests."""

    replicas: int
    value: int
    percent: int | None = None


class Groups(Struct, frozen=True):
    """Pods of a target: how many count, and the names of the others."""

    ready: int
    unready: Collection[str] = ()
    missing: Collection[str] = ()
    ignored: Collection[str] = ()


class Seen(Struct, frozen=True):
    """What a proposal is made from: replicas that are wanted now, the target's Pods, tolerances, and the time."""

    current: int
    pods: tuple[Pod, ...]
    tolerances: Tolerances
    start: Start
    now: float


def grouped(pods: Iterable[Pod], samples: Mapping[str, Sample], resource: str, start: Start, now: float) -> Groups:
    """Who counts. Only CPU is known to mislead while a Pod starts."""
    ready = 0
    unready, missing, ignored = set(), set(), set()
    for pod in pods:
        name = pod.metadata.name
        sample = samples.get(name)
        if is_terminating(pod) or is_finished(pod):
            ignored.add(name)
        elif pod.status.phase == "Pending":
            unready.add(name)
        elif sample is None:
            missing.add(name)
        elif resource == CPU and _starts(pod, sample, start, now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, unready, missing, ignored)


def _starts(pod: Pod, sample: Sample, start: Start, now: float) -> bool:
    found = condition(pod, POD_READY)
    if found is None or not pod.status.startTime:
        return True
    began, changed = seconds_of(pod.status.startTime), seconds_of(found.lastTransitionTime or "")
    not_ready = found.status == "False"
    if began + start.initialization > now:
        # One whole window since it became ready: what is older shows how it started.
        return not_ready or sample.at < changed + sample.window
    return not_ready and began + start.readiness_delay > changed


# --- what Pods use


def by_utilization(seen: Seen, samples: Samples, resource: str, container: str, target: int) -> Proposal:
    """By percent of the requests. Raises CannotCompute."""
    groups, counted = _counted(seen, samples, resource)
    if not counted:
        gone = samples.keys() - {pod.metadata.name for pod in seen.pods}
        told = "no metrics returned matched known pods" if gone else _NOTHING
        raise CannotCompute(told)
    requests = {pod.metadata.name: requested(pod, resource, container) for pod in seen.pods}
    percent, value = _utilization(counted, requests)
    # A target above all of the request is a limit somebody chose: what is not known is taken to be there.
    whole = max(_PERCENT, target)
    replicas = _weighed(
        seen,
        groups,
        counted,
        missing=lambda name: requests[name] * whole // _PERCENT,
        ratio=lambda metrics: _ratio(_utilization(metrics, requests)[0], target),
    )
    return Proposal(replicas, value, percent)


def by_average(seen: Seen, samples: Samples, resource: str, target: int) -> Proposal:
    """By an amount for each Pod; `resource` is empty for a metric of Pods. Raises CannotCompute."""
    groups, counted = _counted(seen, samples, resource)
    if not counted:
        raise CannotCompute(_NOTHING)
    value = _average(counted)
    replicas = _weighed(
        seen,
        groups,
        counted,
        missing=lambda name: target,
        ratio=lambda metrics: _ratio(_average(metrics), target),
    )
    return Proposal(replicas, value)


_NOTHING = "did not receive metrics for targeted pods (pods might be unready)"


def _counted(seen: Seen, samples: Samples, resource: str) -> tuple[Groups, Samples]:
    """The Pods in groups, and what those tell that count. Pods that are gone tell nothing."""
    if not seen.pods:
        raise CannotCompute("no pods returned by selector while calculating replica count")
    groups = grouped(seen.pods, samples, resource, seen.start, seen.now)
    names = {pod.metadata.name for pod in seen.pods} - set(groups.ignored) - set(groups.unready)
    return groups, {name: sample for name, sample in samples.items() if name in names}


def _weighed(
    seen: Seen,
    groups: Groups,
    counted: Samples,
    *,
    missing: Callable[[str], int],
    ratio: Callable[[Samples], float],
) -> int:
    """Replicas, where those that are not ready or tell nothing never make the change greater, nor turn it round."""
    current, first = seen.current, ratio(counted)
    upwards = first > 1.0
    if not groups.missing and not (groups.unready and upwards):
        return current if seen.tolerances.hold(first) else _replicas(first * groups.ready)
    filled = dict(counted)
    if first != 1.0:
        filled |= {name: Sample(0 if upwards else missing(name)) for name in groups.missing}
    if upwards:
        filled |= {name: Sample(0) for name in groups.unready}
    second = ratio(filled)
    if seen.tolerances.hold(second) or (first < 1.0 < second) or (second < 1.0 < first):
        return current
    found = _replicas(second * len(filled))
    turned = (second < 1.0 and found > current) or (second > 1.0 and found < current)
    return current if turned else found


def requested(pod: Pod, resource: str, container: str = "") -> int:
    """What a Pod (or one container of it) requests, in thousandths. Raises CannotCompute: that is an error, not zero."""
    level = pod.spec.resources
    if not container and level is not None and any(map(is_pod_level, level.requests)):
        found = pod_requests(pod)
        if resource not in found:
            raise CannotCompute(f"missing pod-level request for {resource} in Pod {pod.metadata.name}")
        return found[resource] if resource == CPU else found[resource] * 1000
    sidecars = (c for c in pod.spec.initContainers if c.restartPolicy == "Always")
    total, seen = 0, not container
    for one in (*pod.spec.containers, *sidecars):
        if container and one.name != container:
            continue
        text = one.resources.requests.get(resource) if one.resources else None
        if text is None:
            where = f"in container {one.name} of Pod {pod.metadata.name}"
            raise CannotCompute(f"missing request for {resource} {where}")
        total, seen = total + parse(text).milli_value(), True
    if not seen:
        raise CannotCompute(f"container {container} not found in Pod {pod.metadata.name}")
    return total


def _utilization(samples: Samples, requests: Mapping[str, int]) -> tuple[int, int]:
    """Percent of the requests, and the average value."""
    used = sum(sample.value for sample in samples.values())
    whole = sum(requests[name] for name in samples)
    if not whole:
        raise CannotCompute("no metrics returned matched known pods")
    return _within(_quotient(used * _PERCENT, whole), MOST), _quotient(used, len(samples))


def _average(samples: Samples) -> int:
    return _quotient(sum(sample.value for sample in samples.values()), len(samples))


# --- what something else tells


def by_total(seen: Seen, value: int, target: int) -> Proposal:
    """By one number for all Pods, of an object or from outside. Raises CannotCompute.

    Without replicas there is no Pod to multiply with: the ratio itself says how many there are to be.
    """
    ratio = _ratio(value, target)
    if seen.current == 0:
        return Proposal(_replicas(ratio), _within(value, _MOST_VALUE))
    if seen.tolerances.hold(ratio):
        return Proposal(seen.current, _within(value, _MOST_VALUE))
    if not seen.pods:
        told = "no pods returned by selector while calculating replica count"
        raise CannotCompute(f"unable to calculate ready pods: {told}")
    ready = sum(pod.status.phase == "Running" and is_ready(pod) for pod in seen.pods)
    return Proposal(_replicas(ratio * ready), _within(value, _MOST_VALUE))


def by_share(replicas: int, value: int, target: int, tolerances: Tolerances) -> Proposal:
    """By one number that the replicas there are share. Raises CannotCompute."""
    needed = _ratio(value, target)
    steady = replicas > 0 and tolerances.hold(needed / replicas)
    share = _within(-(-value // max(replicas, 1)), _MOST_VALUE)
    return Proposal(replicas if steady else _replicas(needed), share)


# --- numbers


def _ratio(value: int, target: int) -> float:
    if target <= 0:
        raise CannotCompute(f"invalid target {target}m: must be positive")
    return value / target


def _replicas(replicas: float) -> int:
    return _within(ceil(replicas), MOST) if isfinite(replicas) else MOST


def _within(value: int, most: int) -> int:
    return max(-most, min(value, most))


def _quotient(value: int, by: int) -> int:
    """As Go divides: towards zero."""
    return value // by if value >= 0 else -(-value // by)


def milli(text: str | None) -> int:
    """A quantity of a target in thousandths, 0 where there is none. Raises ValueError."""
    return parse(text).milli_value() if text else 0
