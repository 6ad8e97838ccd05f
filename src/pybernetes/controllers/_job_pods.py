"""Which Pods a Job makes and removes next, and what they are. Pure; job.py does it."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes.api.types import core_v1
from pybernetes.api.types.batch_v1 import Job
from pybernetes.controllers._job_backoff import Backoff, delay, finished_at, wait
from pybernetes.controllers._job_books import (
    COMPLETION_INDEX,
    FAILURES,
    IGNORED_FAILURES,
    TRACKING,
    Tally,
    all_failures_before,
    completion_index,
    failures_before,
    is_indexed,
    taken,
)
from pybernetes.controllers._job_policies import failure_counts, is_suspended, only_failed_are_replaced
from pybernetes.controllers._pod_writes import pod_of
from pybernetes.rules import indexes
from pybernetes.rules.scaledown import victims_first

BURST = 500
"""Pods made or removed in one go at most."""
ENVIRONMENT = "JOB_COMPLETION_INDEX"
_NAME_LIMIT = 58
"""Of what the server puts a random end to."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Either removal or creation: never both in one go."""

    remove: Sequence[core_v1.Pod] = ()
    create: Sequence[int | None] = ()
    """An index each, None where there are none."""
    wait: float | None = None
    """Seconds until Pods may be made that may not yet."""


def plan(seen: Tally, backoff: Backoff, now: float) -> Plan:
    """What the Job needs, as far as it goes on at all."""
    job, active = seen.job, len(seen.active)
    wanted = _wanted(seen)
    remove = _surplus(seen, active - wanted, now)
    if remove:
        return Plan(remove=remove if is_suspended(job) else remove[:BURST])
    missing = wanted - active - (seen.terminating if only_failed_are_replaced(job) else 0)
    if missing <= 0:
        return Plan()
    by_index = job.spec.backoffLimitPerIndex is not None
    left = 0.0 if by_index else wait(backoff, now)
    if left > 0:
        return Plan(wait=left)
    missing = min(missing, BURST)
    if not is_indexed(job):
        return Plan(create=(None,) * missing)
    free = indexes.missing(taken(seen), job.spec.completions or 0, missing)
    waits = {index: _index_wait(seen.kept.get(index), now) for index in free}
    later = [left for left in waits.values() if left > 0]
    return Plan(create=[index for index in free if not waits[index]], wait=min(later) if later else None)


def _wanted(seen: Tally) -> int:
    spec = seen.job.spec
    parallelism = 1 if spec.parallelism is None else spec.parallelism
    if is_suspended(seen.job):
        return 0
    if spec.completions is None:
        return len(seen.active) if seen.succeeded else parallelism
    return max(0, min(spec.completions - seen.succeeded, parallelism))


def _index_wait(failed: core_v1.Pod | None, now: float) -> float:
    if failed is None:
        return 0.0
    return max(0.0, finished_at(failed) + delay(all_failures_before(failed) + 1) - now)


def _surplus(seen: Tally, least: int, now: float) -> list[core_v1.Pod]:
    """Pods that must go: those whose index is of no use, then the least advanced."""
    if not is_indexed(seen.job):
        return victims_first(seen.active, (), now)[: max(0, least)] if least > 0 else []
    by_index: dict[int, list[core_v1.Pod]] = {}
    useless: list[core_v1.Pod] = []
    for pod in seen.active:
        index = completion_index(pod)
        if index is None or index >= (seen.job.spec.completions or 0):
            useless.append(pod)
        else:
            by_index.setdefault(index, []).append(pod)
    left = []
    for _, pods in sorted(by_index.items()):
        *rest, best = victims_first(pods, (), now) if len(pods) > 1 else pods
        useless += rest
        left.append(best)
    more = least - len(useless)
    return useless + (victims_first(left, (), now)[:more] if more > 0 else [])


def new_pod(job: Job, index: int | None, replaced: core_v1.Pod | None = None) -> core_v1.Pod:
    """A Pod; `replaced` is the failed one of its index, whose failures it takes over."""
    pod = pod_of(Job, job)
    meta, spec = pod.metadata, pod.spec
    if TRACKING not in meta.finalizers:
        meta = replace(meta, finalizers=(*meta.finalizers, TRACKING))
    if index is not None:
        end, place = f"-{index}-", {COMPLETION_INDEX: str(index)}
        failures = _failures(job, replaced) if job.spec.backoffLimitPerIndex is not None else {}
        meta = replace(
            meta,
            generateName=job.metadata.name[: _NAME_LIMIT - len(end)] + end,
            labels={**meta.labels, **place},
            annotations={**meta.annotations, **place, **failures},
        )
        spec = replace(
            spec,
            hostname=f"{job.metadata.name}-{index}",
            containers=tuple(map(_with_index, spec.containers)),
            initContainers=tuple(map(_with_index, spec.initContainers)),
        )
    return replace(pod, metadata=meta, spec=spec)


def _failures(job: Job, replaced: core_v1.Pod | None) -> dict[str, str]:
    if replaced is None:
        return {FAILURES: "0"}
    failures, ignored = failures_before(replaced), failures_before(replaced, IGNORED_FAILURES)
    if failure_counts(replaced, job):
        failures += 1
    else:
        ignored += 1
    return {FAILURES: str(failures)} | ({IGNORED_FAILURES: str(ignored)} if ignored else {})


def _with_index(container: core_v1.Container) -> core_v1.Container:
    if any(variable.name == ENVIRONMENT for variable in container.env):
        return container
    field = core_v1.ObjectFieldSelector(fieldPath=f"metadata.labels['{COMPLETION_INDEX}']")
    made = core_v1.EnvVar(name=ENVIRONMENT, valueFrom=core_v1.EnvVarSource(fieldRef=field))
    return replace(container, env=(*container.env, made))
