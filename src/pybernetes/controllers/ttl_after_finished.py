"""TTL controller: removes Jobs so many seconds after their end, with all that they own."""

from pybernetes.aio.clock import parse_time
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types.batch_v1 import Job
from pybernetes.controllers._job_books import finished
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.wire.metrics import Distribution, exponential


def left(job: Job, now: float) -> float | None:
    """Seconds until the Job is to go, None where nobody asked for it or it has not ended."""
    end, seconds = finished(job), job.spec.ttlSecondsAfterFinished
    if seconds is None or end is None or not end.lastTransitionTime or job.metadata.deletionTimestamp is not None:
        return None
    return parse_time(end.lastTransitionTime) + seconds - now


def _matters(old: Job, new: Job) -> bool:
    return _facts(old) != _facts(new)


def _facts(job: Job) -> tuple[object, ...]:
    return finished(job), job.spec.ttlSecondsAfterFinished, job.metadata.deletionTimestamp, job.metadata.uid


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Job; the cache says when to look, a live read whether it goes."""
    job = ctx.cache(Job).get(key)
    wait = left(job, ctx.clock.now()) if job is not None else None
    if wait is None:
        return Done()
    if wait > 0:
        return Again(wait)
    try:
        live = await ctx.api(Job).get(key)
        wait = left(live, ctx.clock.now())
        if wait is not None and wait <= 0:
            meta = live.metadata
            await ctx.api(Job).delete(key, uid=meta.uid, revision=meta.resourceVersion, propagation="Foreground")
            ctx.metrics(Figures).seconds.observe(-wait)
            return Done()
    except NotFound:
        return Done()
    return Done() if wait is None else Again(wait)


class Figures:
    """Upstream's metric."""

    def __init__(self) -> None:
        self.seconds = Distribution(
            "ttl_after_finished_controller_job_deletion_duration_seconds",
            "The time it took to delete the job since it became eligible for deletion",
            bounds=exponential(0.1, 2, 14),
        )


CONTROLLER = Controller(
    name="ttl-after-finished-controller",
    queue="ttl_jobs_to_delete",
    watches=(Watch(kind=Job, changed=_matters),),
    reconcile=reconcile,
    rules=(allow("delete get list watch", "jobs", "batch"), EVENTS),
)
