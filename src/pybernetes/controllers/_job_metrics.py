"""What the Job controller counts, under upstream's names. job.py says when."""

from collections.abc import Mapping

from pybernetes.api.types.batch_v1 import Job, JobStatus
from pybernetes.controllers._expectations import stale_syncs
from pybernetes.rules import indexes
from pybernetes.wire.metrics import Counter, Distribution, exponential

_SYNC = "completion_mode result action"


class JobMetrics:
    """job_controller_*."""

    def __init__(self) -> None:
        name = "job_controller"
        self.syncs = Counter(f"{name}_job_syncs_total", "The number of job syncs", _SYNC, "STABLE")
        self.seconds = Distribution(
            f"{name}_job_sync_duration_seconds",
            "The time it took to sync a job",
            _SYNC,
            "STABLE",
            exponential(0.004, 2, 15),
        )
        self.finished = Counter(
            f"{name}_jobs_finished_total", "The number of finished jobs", "completion_mode result reason", "STABLE"
        )
        self.pods = Counter(
            f"{name}_job_pods_finished_total",
            "The number of finished Pods that are fully tracked",
            "completion_mode result",
            "STABLE",
        )
        self.creations = Counter(
            f"{name}_job_pods_creation_total",
            "The number of Pods created by the Job controller labelled with a reason for the Pod creation.",
            "reason status",
        )
        self.indexes = Counter(
            f"{name}_job_finished_indexes_total", "The number of finished indexes.", "status backoffLimit"
        )
        self.external = Counter(
            f"{name}_jobs_by_external_controller_total",
            "The number of Jobs managed by an external controller",
            "controller_name",
        )
        self.policy = Counter(
            f"{name}_pod_failures_handled_by_failure_policy_total",
            "The number of failed Pods handled by failure policy with respect to the failure policy action applied"
            " based on the matched rule.",
            "action",
            "BETA",
        )
        self.finalizers = Counter(
            f"{name}_terminated_pods_tracking_finalizer_total",
            "The number of terminated pods (phase=Failed|Succeeded) that have the finalizer"
            ' batch.kubernetes.io/job-tracking. The event label can be "add" or "delete".',
            "event",
            "BETA",
        )
        self.stale = stale_syncs("job", "Job")

    def synced(self, job: Job, action: str, seconds: float, *, failed: bool) -> None:
        """One look at a Job: `action` is reconciling, tracking, pods_created or pods_deleted."""
        labels = (_mode(job), "error" if failed else "success", action)
        self.syncs.add(*labels)
        self.seconds.observe(seconds, *labels)

    def made(self, job: Job, *, failures: int, terminating: int, failed: bool) -> None:
        """A Pod was to be made, of a Job that has had so many failures, and has so many Pods that are going."""
        if failures and job.spec.podReplacementPolicy == "Failed":
            reason = "recreate_failed"
        else:
            reason = "recreate_terminating_or_failed" if failures or terminating else "new"
        self.creations.add(reason, "failed" if failed else "succeeded")

    def counted(self, job: Job, old: JobStatus, new: JobStatus) -> None:
        """Pods that are counted for good. Of an Indexed Job its indexes count, as far as they are those of now."""
        succeeded, completions = new.succeeded - old.succeeded, job.spec.completions or 0
        if _mode(job) == "Indexed":
            limit = "global" if job.spec.backoffLimitPerIndex is None else "perIndex"
            succeeded = _more(old.completedIndexes, new.completedIndexes, completions)
            lost = _more(old.failedIndexes or "", new.failedIndexes or "", completions)
            for result, more in (("succeeded", succeeded), ("failed", lost)):
                if more > 0:
                    self.indexes.add(result, limit, by=more)
        for result, more in (("succeeded", succeeded), ("failed", new.failed - old.failed)):
            if more > 0:
                self.pods.add(_mode(job), result, by=more)

    def handled(self, actions: Mapping[str, int]) -> None:
        """Failed Pods by the action of the podFailurePolicy's rule that they fit."""
        for action, pods in actions.items():
            self.policy.add(action, by=pods)

    def ended(self, job: Job, result: str, reason: str) -> None:
        """A Job is over: `result` is succeeded or failed."""
        self.finished.add(_mode(job), result, reason)


def _more(old: str, new: str, completions: int) -> int:
    return indexes.total(indexes.readable(new, completions)) - indexes.total(indexes.readable(old, completions))


def _mode(job: Job) -> str:
    return job.spec.completionMode or "NonIndexed"
