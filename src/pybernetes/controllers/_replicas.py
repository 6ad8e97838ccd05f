"""Keeping N Pods of one template: the work that ReplicaSets and ReplicationControllers share.

Pods are claimed first, then made or removed in batches, then the status says what was seen: never what was only asked
for. While the cache has not shown the last writes, nothing is made or removed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import ApiError
from pybernetes.api.objects import Key
from pybernetes.api.selectors import Selector
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.client.informer import Cache
from pybernetes.controllers._batches import of_ending_namespace, slow_start, together
from pybernetes.controllers._claim import INDEX, Claim
from pybernetes.controllers._expectations import PATIENCE, Expectations, stale_syncs
from pybernetes.controllers._pod_writes import PodWrites, pod_of
from pybernetes.controllers.runtime import Again, Context, Done, Outcome
from pybernetes.rules.conditions import find
from pybernetes.rules.readiness import available_in, is_active, is_finished, is_ready, ready_since
from pybernetes.rules.scaledown import victims_first
from pybernetes.wire.metrics import Distribution, exponential

T = TypeVar("T", bound=Struct)
C = TypeVar("C", apps_v1.ReplicaSetCondition, core_v1.ReplicationControllerCondition)

BURST = 500
"""Pods made or removed in one go at most."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a status says."""

    replicas: int
    labeled: int
    ready: int
    available: int
    terminating: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated(Generic[T]):
    """What differs between the two kinds."""

    kind: type[T]
    selector: Callable[[T], Selector]
    siblings: Callable[[Context, T], Iterable[core_v1.Pod]]
    """Pods that count when a node is crowded (rules.scaledown)."""
    status: Callable[[T, Counts, tuple[Any, ...]], T]
    """The object with its new status: counts and conditions."""
    condition: type[Any]


async def reconcile(key: Key, ctx: Context, how: Replicated[T]) -> Outcome:
    """One look at one owner."""
    expectations = ctx.state(Expectations)
    owner: Any = ctx.cache(how.kind).get(key)
    if owner is None:
        expectations.forget(key)
        return Done()
    met = expectations.met(key, ctx.informer(core_v1.Pod), ctx.clock.now())
    if not met:
        ctx.metrics(Figures).skips.add("", "pods")
    selector = how.selector(owner)
    pods = await Claim(ctx, owner, selector, core_v1.Pod).run(is_active)
    failure: ApiError | None = None
    if met and owner.metadata.deletionTimestamp is None:
        scaling = _Scaling(ctx, how, owner)
        failure = await scaling.run(pods)
        if scaling.done:
            return Again(PATIENCE)  # one status says it all, once the cache shows what was done
    # One moment for both: a Pod that becomes available in between must be in the count or in the timer.
    now = ctx.clock.now()
    waits = [until_available(pod, owner.spec.minReadySeconds, now) for pod in pods]
    updated = _with_status(ctx, how, owner, pods, waits, failure)
    await ctx.api(how.kind).patch(owner, updated, subresource="status", lock=True)
    if failure is not None:
        raise failure
    # Time alone changes something when a Pod becomes available, or an expectation is given up.
    times = [wait for wait in waits if wait] + ([] if met else [PATIENCE])
    return Again(min(times)) if times else Done()


def until_available(pod: core_v1.Pod, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until a ready Pod is available; None while it is not ready."""
    since = ready_since(pod) if min_ready_seconds else None
    return available_in(pod, min_ready_seconds, parse_time(since) if since else None, now)


class _Scaling(Generic[T]):
    """Makes or removes Pods of one owner."""

    def __init__(self, ctx: Context, how: Replicated[T], owner: Any) -> None:
        self._ctx, self._how, self._owner = ctx, how, owner
        self._writes = PodWrites(ctx, owner)
        self.done = False
        """Whether Pods were made or removed, without any refusal."""

    async def run(self, pods: Sequence[core_v1.Pod]) -> ApiError | None:
        """Returns the refusal that stopped it."""
        missing = _wanted(self._owner) - len(pods)
        if missing > 0:
            made = pod_of(self._how.kind, self._owner)
            failure = await slow_start([partial(self._writes.make, made)] * min(missing, BURST))
            self.done = failure is None
            return None if failure is not None and of_ending_namespace(failure) else failure
        if missing < 0:
            siblings = tuple(self._how.siblings(self._ctx, self._owner))
            ordered = victims_first(pods, siblings, self._ctx.clock.now())
            chosen = ordered[: min(-missing, BURST)]
            if len(chosen) < len(pods):
                self._ctx.metrics(Figures).shrinks(pods, chosen, self._ctx.clock.now())
            failure = await together([partial(self._writes.remove, pod) for pod in chosen])
            self.done = failure is None
            return failure
        return None


class Figures:
    """Upstream's metrics."""

    def __init__(self) -> None:
        self.skips = stale_syncs("replicaset", "ReplicaSet")
        self.ages = Distribution(
            "replicaset_controller_sorting_deletion_age_ratio",
            "The ratio of chosen deleted pod's ages to the current youngest pod's age (at the time). Should be <2. The intent"
            " of this metric is to measure the rough efficacy of the LogarithmicScaleDown feature gate's effect on the"
            " sorting (and deletion) of pods when a replicaset scales down. This only considers Ready pods when calculating"
            " and reporting.",
            bounds=exponential(0.25, 2, 6),
        )

    def shrinks(self, pods: Sequence[core_v1.Pod], chosen: Sequence[core_v1.Pod], now: float) -> None:
        """Pods that were chosen of all, so that some stay."""
        made = {pod.metadata.uid: pod.metadata.creationTimestamp for pod in pods if is_ready(pod)}
        ages = {uid: now - parse_time(since) for uid, since in made.items() if since}
        youngest = min(ages.values(), default=0.0)
        if youngest > 0:
            for pod in chosen:
                if pod.metadata.uid in ages:
                    self.ages.observe(ages[pod.metadata.uid] // youngest)  # whole numbers, as upstream's


def _wanted(owner: Any) -> int:
    return 1 if owner.spec.replicas is None else int(owner.spec.replicas)


def count(owner: Any, pods: Sequence[core_v1.Pod], waits: Sequence[float | None], terminating: int) -> Counts:
    """Counts over Pods that were seen before this reconcile changed anything; `waits` is their until_available()."""
    labels = owner.spec.template.metadata.labels.items() if owner.spec.template else ()
    return Counts(
        replicas=len(pods),
        labeled=sum(labels <= pod.metadata.labels.items() for pod in pods) if labels else len(pods),
        ready=sum(wait is not None for wait in waits),
        available=sum(wait == 0 for wait in waits),
        terminating=terminating,
    )


def _with_status(
    ctx: Context,
    how: Replicated[T],
    owner: Any,
    pods: Sequence[core_v1.Pod],
    waits: Sequence[float | None],
    failure: ApiError | None,
) -> T:
    cache: Cache[core_v1.Pod] = ctx.cache(core_v1.Pod)
    going = [p for p in cache.by(INDEX, owner.metadata.uid) if p.metadata.deletionTimestamp and not is_finished(p)]
    going = [pod for pod in going if how.selector(owner).matches(pod.metadata.labels)] if going else []
    counts = count(owner, pods, waits, len(going))
    others = tuple(c for c in owner.status.conditions if c.type != "ReplicaFailure")
    old = find(owner.status.conditions, "ReplicaFailure")
    if failure is not None and old is None:
        creating = len(pods) < _wanted(owner)
        old = how.condition(
            type="ReplicaFailure",
            status="True",
            reason="FailedCreate" if creating else "FailedDelete",
            message=failure.message if creating else f"unable to delete pods: {failure.message}",
            lastTransitionTime=rfc3339(ctx.clock.now()),
        )
    if failure is not None:
        # Once there it stays as it is, as upstream's: refusals name the Pod, each another one, and a status that is
        # always new would be seen as a change, and be tried again at once.
        others = (*others, old)
    return how.status(owner, counts, others)
