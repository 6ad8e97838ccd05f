"""When a Job is over, and whether a Pod's failure counts: limits, deadline, podFailurePolicy, successPolicy. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.types import core_v1
from pybernetes.api.types.batch_v1 import (
    Job,
    JobCondition,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
)
from pybernetes.rules import indexes
from pybernetes.rules.readiness import FAILED, SUCCEEDED

MET, TARGET = "SuccessCriteriaMet", "FailureTarget"
"""What a Job gets when it is decided; Complete or Failed follow when its Pods are gone."""
IGNORE = "Ignore"
"""The action of rules whose failures do not count."""


@dataclass(frozen=True, slots=True)
class Match:
    """What the podFailurePolicy says of a failed Pod."""

    action: str = ""
    message: str = ""
    """Why the Job fails, if it does."""


NO_MATCH = Match()


def is_suspended(job: Job) -> bool:
    """It is to have no Pods for now."""
    return bool(job.spec.suspend)


def only_failed_are_replaced(job: Job) -> bool:
    """A Pod that is being deleted is replaced only when it has ended."""
    return job.spec.podReplacementPolicy == "Failed" or job.spec.podFailurePolicy is not None


def is_failed(pod: core_v1.Pod, job: Job) -> bool:
    """A deleted Pod counts, too, where it is replaced at once: it may never get to say how it ended."""
    if pod.status.phase == FAILED:
        return True
    deleted = pod.metadata.deletionTimestamp is not None and pod.status.phase != SUCCEEDED
    return deleted and not only_failed_are_replaced(job)


def match(pod: core_v1.Pod, job: Job) -> Match:
    """The first rule that fits the failed Pod."""
    policy = job.spec.podFailurePolicy
    for at, rule in enumerate(policy.rules if policy is not None else ()):
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        why = ""
        if rule.onExitCodes is not None:
            ended = _with_exit_code(pod, rule.onExitCodes)
            if ended is not None and ended.state.terminated is not None:
                code = ended.state.terminated.exitCode
                why = f"Container {ended.name} for pod {name} failed with exit code {code}"
        else:
            kind = _with_condition(pod, rule)
            why = f"Pod {name} has condition {kind}" if kind else ""
        if why:
            message = f"{why} matching {rule.action} rule at index {at}" if rule.action == "FailJob" else ""
            return Match(rule.action, message)
    return NO_MATCH


def _with_exit_code(pod: core_v1.Pod, wanted: PodFailurePolicyOnExitCodesRequirement) -> core_v1.ContainerStatus | None:
    for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses):
        ended = status.state.terminated
        if ended is None or ended.exitCode == 0 or wanted.containerName not in (None, status.name):
            continue
        if (ended.exitCode in wanted.values) == (wanted.operator == "In"):
            return status
    return None


def _with_condition(pod: core_v1.Pod, rule: PodFailurePolicyRule) -> str:
    wanted = {(pattern.type, pattern.status) for pattern in rule.onPodConditions}
    return next((c.type for c in pod.status.conditions if (c.type, c.status) in wanted), "")


def failure_counts(pod: core_v1.Pod, job: Job) -> bool:
    """Whether its failure is one of the Job's."""
    return match(pod, job).action != IGNORE


def index_is_lost(pod: core_v1.Pod, job: Job, failures_before: int) -> bool:
    """Whether this failed Pod was the last of its index."""
    action = match(pod, job).action
    return action == "FailIndex" or (action != IGNORE and failures_before >= (job.spec.backoffLimitPerIndex or 0))


def success_rule(job: Job, done: indexes.Intervals) -> str:
    """Which rule of the successPolicy is met, in upstream's words; empty for none."""
    policy = job.spec.successPolicy
    for at, rule in enumerate(policy.rules if policy is not None and done else ()):
        if rule.succeededIndexes is not None:
            wanted = indexes.readable(rule.succeededIndexes, job.spec.completions or 0)
            found = indexes.shared(wanted, done)
            enough = rule.succeededCount is not None and found >= rule.succeededCount
            met = bool(wanted) and (found == indexes.total(wanted) or enough)
        else:
            met = rule.succeededCount is not None and indexes.total(done) >= rule.succeededCount
        if met:
            return f"Matched rules at index {at}"
    return ""


def deadline_in(job: Job, now: float) -> float | None:
    """Seconds until activeDeadlineSeconds are over, None without."""
    limit, started = job.spec.activeDeadlineSeconds, job.status.startTime
    if limit is None or started is None or is_suspended(job):
        return None
    return parse_time(started) + limit - now


def verdict(
    job: Job,
    pods: Sequence[core_v1.Pod],
    failed: int,
    books: tuple[indexes.Intervals, indexes.Intervals],
    now: float,
) -> JobCondition | None:
    """How the Job ends, if that is decided: now or before. `books`: indexes that are done, and that are lost."""
    for kind in (MET, TARGET):
        known = next((c for c in job.status.conditions if c.type == kind and c.status == "True"), None)
        if known is not None:
            return known
    done, lost = books
    failure = _failure(job, pods, failed, indexes.total(done), indexes.total(lost), now)
    if failure is not None:
        return made(TARGET, *failure, now)
    rule = success_rule(job, done)
    return made(MET, "SuccessPolicy", rule, now) if rule else None


def _failure(
    job: Job, pods: Sequence[core_v1.Pod], failed: int, done: int, lost: int, now: float
) -> tuple[str, str] | None:
    spec = job.spec
    if spec.podFailurePolicy is not None:
        for pod in pods:
            message = match(pod, job).message if is_failed(pod, job) else ""
            if message:
                return "PodFailurePolicy", message
    if spec.backoffLimit is not None and (failed > spec.backoffLimit or _restarted_too_often(job, pods)):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_in(job, now)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if lost and spec.maxFailedIndexes is not None and lost > spec.maxFailedIndexes:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if lost and lost + done >= (spec.completions or 0):
        return "FailedIndexes", "Job has failed indexes"
    return None


def _restarted_too_often(job: Job, pods: Iterable[core_v1.Pod]) -> bool:
    """With restartPolicy OnFailure the kubelet's restarts count as failures."""
    if job.spec.template.spec.restartPolicy != "OnFailure":
        return False
    restarts = sum(
        status.restartCount
        for pod in pods
        if pod.status.phase in ("Running", "Pending")
        for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    )
    return restarts >= max(1, job.spec.backoffLimit or 0)


def made(kind: str, reason: str, message: str, now: float, *, status: str = "True") -> JobCondition:
    """A condition as of now."""
    stamp = rfc3339(now)
    return JobCondition(
        type=kind, status=status, reason=reason, message=message, lastProbeTime=stamp, lastTransitionTime=stamp
    )
