"""What a Job's Pods come to, and how the status keeps the books of it. Pure; job.py reads and writes.

A Pod is counted once, whatever ends in between: its uid is written into status.uncountedTerminatedPods, then it loses the
tracking finalizer, then the number grows and the uid goes. Of an Indexed Job the index itself is what cannot count twice.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from dataclasses import replace as with_changed

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.api.types.batch_v1 import Job, JobCondition, JobStatus, UncountedTerminatedPods
from pybernetes.controllers._job_backoff import finished_at
from pybernetes.controllers._job_policies import (
    IGNORE,
    failure_counts,
    index_is_lost,
    is_failed,
    match,
    only_failed_are_replaced,
)
from pybernetes.rules import indexes
from pybernetes.rules.conditions import find, put
from pybernetes.rules.readiness import SUCCEEDED, is_active, is_finished

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer of Pods that are not counted yet."""
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
AT_ONCE = 500
"""Uids in the status at most: about 20 kB."""


def is_indexed(job: Job) -> bool:
    """Its Pods have completion indexes."""
    return job.spec.completionMode == "Indexed"


def completion_index(pod: core_v1.Pod) -> int | None:
    """The Pod's index, None without a valid one."""
    return _number(pod, COMPLETION_INDEX)


def failures_before(pod: core_v1.Pod, name: str = FAILURES) -> int:
    """How often its index failed before this Pod."""
    return _number(pod, name) or 0


def _number(pod: core_v1.Pod, name: str) -> int | None:
    text = pod.metadata.annotations.get(name, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None
    return number if number is not None and number < 2**31 else None


def condition(job: Job, kind: str) -> JobCondition | None:
    """The condition of that type, if it is true."""
    return next((c for c in job.status.conditions if c.type == kind and c.status == "True"), None)


def finished(job: Job) -> JobCondition | None:
    """Complete or Failed, once it is."""
    return condition(job, "Complete") or condition(job, "Failed")


@dataclass(frozen=True, slots=True)
class Tally:
    """One look at a Job's Pods, counted ones included."""

    job: Job
    pods: Sequence[core_v1.Pod]
    tracked: Set[str]
    """Uids of Pods that are not through with the books."""
    active: Sequence[core_v1.Pod]
    terminating: int
    new_succeeded: Sequence[core_v1.Pod]
    new_failed: Sequence[core_v1.Pod]
    succeeded: int
    failed: int
    done_before: indexes.Intervals = ()
    """Indexes that the status has."""
    done: indexes.Intervals = ()
    lost: indexes.Intervals = ()
    kept: Mapping[int, core_v1.Pod] = field(default_factory=dict)
    """By index, the failed Pod that stays until its replacement has taken over its count of failures."""


def tally(job: Job, pods: Iterable[core_v1.Pod], released: Set[str] = frozenset()) -> Tally:
    """`released`: uids of Pods whose finalizer is gone though they still show it."""
    pods = list(pods)
    tracked = {p.metadata.uid for p in pods if TRACKING in p.metadata.finalizers} - released
    waiting = job.status.uncountedTerminatedPods or UncountedTerminatedPods()
    valid = [p for p in pods if p.metadata.uid in tracked and _has_place(p, job)]
    # What is entered as failed stays so: a Pod that was to go may end well nevertheless, and would count twice.
    well = [p for p in valid if p.status.phase == SUCCEEDED and p.metadata.uid not in waiting.failed]
    new_succeeded = [p for p in well if p.metadata.uid not in waiting.succeeded]
    new_failed = [p for p in valid if is_failed(p, job) and p.metadata.uid not in waiting.failed]
    counted_failures = sum(failure_counts(p, job) for p in new_failed)
    seen = Tally(
        job=job,
        pods=pods,
        tracked=tracked,
        active=[p for p in pods if is_active(p)],
        terminating=sum(p.metadata.deletionTimestamp is not None and not is_finished(p) for p in pods),
        new_succeeded=new_succeeded,
        new_failed=new_failed,
        succeeded=job.status.succeeded + len(new_succeeded) + len(waiting.succeeded),
        failed=job.status.failed + counted_failures + len(waiting.failed),
    )
    return _with_indexes(seen, valid, well) if is_indexed(job) else seen


def _has_place(pod: core_v1.Pod, job: Job) -> bool:
    if not is_indexed(job):
        return True
    index = completion_index(pod)
    return index is not None and index < (job.spec.completions or 0)


def _with_indexes(seen: Tally, valid: Sequence[core_v1.Pod], well: Sequence[core_v1.Pod]) -> Tally:
    job, completions = seen.job, seen.job.spec.completions or 0
    before = indexes.readable(job.status.completedIndexes, completions)
    lost = indexes.readable(job.status.failedIndexes or "", completions)
    succeeded = set(_places(well))
    done = indexes.merged(before, indexes.of(index for index in succeeded if not indexes.holds(lost, index)))
    kept: dict[int, core_v1.Pod] = {}
    if job.spec.backoffLimitPerIndex is not None:
        failed = [p for p in valid if is_failed(p, job)]
        new = {
            index
            for p in failed
            if (index := completion_index(p)) is not None
            and index_is_lost(p, job, failures_before(p))
            and not indexes.holds(done, index)
        }
        lost = indexes.merged(lost, indexes.of(new))
        kept = _kept(failed, indexes.merged(done, lost), set(_places(seen.active)))
    return with_changed(
        seen,
        pods=sorted(seen.pods, key=lambda p: -1 if (index := completion_index(p)) is None else index),
        succeeded=indexes.total(done),
        done_before=before,
        done=done,
        lost=lost,
        kept=kept,
    )


def _places(pods: Iterable[core_v1.Pod]) -> Iterable[int]:
    for pod in pods:
        index = completion_index(pod)
        if index is not None:
            yield index


def _kept(failed: Iterable[core_v1.Pod], over: indexes.Intervals, active: Set[int]) -> dict[int, core_v1.Pod]:
    kept: dict[int, core_v1.Pod] = {}
    for pod in failed:
        index = completion_index(pod)
        if index is None or index in active or indexes.holds(over, index):
            continue
        if index not in kept or _rank(pod) >= _rank(kept[index]):
            kept[index] = pod
    return kept


def _rank(pod: core_v1.Pod) -> tuple[int, float]:
    return all_failures_before(pod), finished_at(pod)


def all_failures_before(pod: core_v1.Pod) -> int:
    """How often its index failed before, ignored failures included: what its back-off counts."""
    return failures_before(pod) + failures_before(pod, IGNORED_FAILURES)


def taken(seen: Tally) -> indexes.Intervals:
    """Indexes that need no new Pod."""
    found = indexes.merged(seen.done, indexes.merged(seen.lost, indexes.of(set(_places(seen.active)))))
    if only_failed_are_replaced(seen.job):
        going = (p for p in seen.pods if p.metadata.deletionTimestamp is not None and not is_finished(p))
        found = indexes.merged(found, indexes.of(set(_places(going))))
    return found


# --- the books


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written first, and who may go when that is done."""

    status: JobStatus
    release: Sequence[core_v1.Pod]
    more: bool
    """There was not room for all."""
    actions: Mapping[str, int] = field(default_factory=dict)
    """How many failed Pods fit rules of the podFailurePolicy, by the rule's action."""


def enter(seen: Tally, status: JobStatus, verdict: JobCondition | None) -> Entry:
    """The status with the uids of all who ended; `verdict`: the Job ends, and its Pods with it."""
    job = seen.job
    status = settle(status, seen.tracked)
    waiting = status.uncountedTerminatedPods or UncountedTerminatedPods()
    succeeded, failed = list(waiting.succeeded), list(waiting.failed)
    known = {*succeeded, *failed}
    fails_all = verdict is not None and verdict.type != "SuccessCriteriaMet"
    release: list[core_v1.Pod] = []
    actions: dict[str, int] = {}
    more, new_indexes = False, 0
    for pod in seen.pods:
        uid = pod.metadata.uid
        if uid not in seen.tracked or not _may_go(pod, seen, verdict):
            continue
        release.append(pod)
        if pod.status.phase == SUCCEEDED and uid not in waiting.failed:
            if is_indexed(job):
                new_indexes += _has_place(pod, job)
            elif uid not in known:
                succeeded.append(uid)
        elif uid not in known and _has_place(pod, job) and (fails_all or is_failed(pod, job)):
            action = match(pod, job).action
            if action:
                actions[action] = actions.get(action, 0) + 1
            if action != IGNORE:
                failed.append(uid)
        if len(succeeded) + len(failed) + new_indexes >= AT_ONCE:
            more = True
            break
    books = UncountedTerminatedPods(succeeded=tuple(succeeded), failed=tuple(failed))
    status = replace(status, uncountedTerminatedPods=books)
    if is_indexed(job):
        by_index = job.spec.backoffLimitPerIndex is not None
        status = replace(
            status,
            succeeded=indexes.total(seen.done),
            completedIndexes=indexes.written(seen.done),
            failedIndexes=indexes.written(seen.lost) if by_index else None,
        )
    if verdict is not None:
        status = replace(status, conditions=with_condition(status.conditions, verdict))
    return Entry(status, release, more, actions)


def _may_go(pod: core_v1.Pod, seen: Tally, verdict: JobCondition | None) -> bool:
    if seen.job.metadata.deletionTimestamp is not None or verdict is not None or pod.status.phase == SUCCEEDED:
        return True
    if not is_failed(pod, seen.job):
        return False
    index = completion_index(pod)
    kept = seen.kept.get(index) if index is not None else None
    return kept is None or kept.metadata.uid != pod.metadata.uid


def settle(status: JobStatus, tracked: Set[str]) -> JobStatus:
    """Counts those whose finalizer is gone."""
    waiting = status.uncountedTerminatedPods or UncountedTerminatedPods()
    succeeded = tuple(uid for uid in waiting.succeeded if uid in tracked)
    failed = tuple(uid for uid in waiting.failed if uid in tracked)
    return replace(
        status,
        succeeded=status.succeeded + len(waiting.succeeded) - len(succeeded),
        failed=status.failed + len(waiting.failed) - len(failed),
        uncountedTerminatedPods=UncountedTerminatedPods(succeeded=succeeded, failed=failed),
    )


def finish(status: JobStatus, verdict: JobCondition, now: str) -> JobStatus | None:
    """The status of a Job that is over; None while Pods are there or not counted."""
    waiting = status.uncountedTerminatedPods or UncountedTerminatedPods()
    if waiting.succeeded or waiting.failed or status.terminating or status.active:
        return None
    complete = verdict.type == "SuccessCriteriaMet"
    last = replace(verdict, type="Complete" if complete else "Failed", lastProbeTime=now, lastTransitionTime=now)
    return replace(
        status,
        conditions=with_condition(status.conditions, last),
        completionTime=now if complete else status.completionTime,
    )


def with_condition(conditions: tuple[JobCondition, ...], made: JobCondition) -> tuple[JobCondition, ...]:
    """With the condition in its place; the old one where it says the same, None at all where it would be the first to say no."""
    old = find(conditions, made.type)
    if old is None and made.status == "False":
        return conditions
    if old is not None and (old.status, old.reason, old.message) == (made.status, made.reason, made.message):
        return conditions
    return put(conditions, made)
