"""What the Job controller counts, under upstream's names. job.py says when."""

from pybernetes.api.types.batch_v1 import Job, JobStatus
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

    def synced(self, job: Job, action: str, seconds: float, *, failed: bool) -> None:
        """One look at a Job: `action` is reconciling, tracking, pods_created or pods_deleted."""
        labels = (_mode(job), "error" if failed else "success", action)
        self.syncs.add(*labels)
        self.seconds.observe(seconds, *labels)

    def made(self, job: Job, *, replaces: bool, failed: bool) -> None:
        """A Pod was to be made; `replaces` one that has ended."""
        policy = "failed" if job.spec.podReplacementPolicy == "Failed" else "terminating_or_failed"
        self.creations.add(f"recreate_{policy}" if replaces else "new", "failed" if failed else "succeeded")

    def counted(self, job: Job, old: JobStatus, new: JobStatus) -> None:
        """Pods that are counted for good."""
        for result, more in (("succeeded", new.succeeded - old.succeeded), ("failed", new.failed - old.failed)):
            if more > 0:
                self.pods.add(_mode(job), result, by=more)

    def ended(self, job: Job, result: str, reason: str) -> None:
        """A Job is over: `result` is succeeded or failed."""
        self.finished.add(_mode(job), result, reason)


def _mode(job: Job) -> str:
    return job.spec.completionMode or "NonIndexed"
