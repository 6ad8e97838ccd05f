"""Job controller: Pods of a template until so many have succeeded, each counted exactly once.

_job_pods.py says which Pods are made and removed, _job_policies.py when the Job is over, _job_books.py what is counted:
here it is written, in an order that may end anywhere. While the caches do not show what was written last, nothing is done.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changed
from functools import partial

from msgspec.structs import replace

from pybernetes.aio.clock import rfc3339
from pybernetes.api.errors import ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.api.types.batch_v1 import Job, JobCondition, JobStatus, UncountedTerminatedPods
from pybernetes.client.informer import Cache
from pybernetes.client.rest import key_of
from pybernetes.controllers import _job_books as books
from pybernetes.controllers._batches import of_ending_namespace, slow_start, together
from pybernetes.controllers._claim import INDEX, Claim, adopters, by_controller, names_kind, selector_of
from pybernetes.controllers._expectations import PATIENCE, Expectations, LastWrites
from pybernetes.controllers._finalizers import with_finalizer, without_finalizer
from pybernetes.controllers._job_backoff import Backoff, after
from pybernetes.controllers._job_books import TRACKING, Tally
from pybernetes.controllers._job_metrics import JobMetrics
from pybernetes.controllers._job_pods import new_pod, plan
from pybernetes.controllers._job_policies import MET, deadline_in, is_suspended, made, verdict
from pybernetes.controllers._pod_writes import PodWrites
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.ownership import controller_of
from pybernetes.rules.readiness import SUCCEEDED, is_active, is_finished, is_ready

NAME = "kubernetes.io/job-controller"
"""managedBy of Jobs that are ours, too."""
ORPHAN = "pods/"
"""Keys that begin so are Pods whose Job is over or gone; no Job can be called so."""
MANY = 20
"""Jobs with more Pods than this are looked at once in PERIOD seconds: their Pods change all the time."""
PERIOD = 1.0


class _Memory:
    """Of what was written and what the caches may not show yet. All of it may be lost together with them."""

    def __init__(self) -> None:
        self.backoff: dict[Key, tuple[str, Backoff]] = {}
        self.looked: dict[Key, float] = {}
        self._released: dict[Key, dict[str, Key]] = {}

    def forget(self, job: Key) -> None:
        """The Job is over or gone."""
        for held in (self.backoff, self.looked, self._released):
            held.pop(job, None)

    def release(self, job: Key, pod: core_v1.Pod) -> None:
        """The Pod has lost its finalizer."""
        self._released.setdefault(job, {})[pod.metadata.uid] = key_of(pod)

    def released(self, job: Key, pods: Cache[core_v1.Pod]) -> set[str]:
        """Uids of Pods that the cache still shows with the finalizer that they have lost."""
        found = self._released.get(job, {})
        for uid, key in tuple(found.items()):
            pod = pods.get(key)
            if pod is None or pod.metadata.uid != uid or not _is_tracked(pod):
                del found[uid]
        return set(found)


class _Counted:
    """For metrics: uids of what was counted when it came, and is to be counted when it goes."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        """Pods that have ended, and have the finalizer yet."""
        self.external: set[str] = set()
        """Jobs that others manage."""


def _is_tracked(pod: core_v1.Pod) -> bool:
    return TRACKING in pod.metadata.finalizers


def _is_ours(job: Job) -> bool:
    return job.spec.managedBy in (None, NAME)


# --- what concerns which key


def _of_job(job: Job, ctx: Context) -> Iterable[Key]:
    yield key_of(job)
    now = ctx.cache(Job).get(key_of(job))
    if not _is_ours(job):
        _count_external(job, now, ctx)
    if now is None or now.metadata.uid != job.metadata.uid or books.finished(now):
        for pod in ctx.cache(core_v1.Pod).by(INDEX, job.metadata.uid):
            if _is_tracked(pod):
                yield _orphan(pod)


def _count_external(job: Job, now: Job | None, ctx: Context) -> None:
    counted, uid = ctx.state(_Counted).external, job.metadata.uid
    if now is None or now.metadata.uid != uid:
        counted.discard(uid)
    elif uid not in counted:
        counted.add(uid)
        ctx.metrics(JobMetrics).external.add(job.spec.managedBy or "")


def _count_ended(pod: core_v1.Pod, ctx: Context) -> None:
    counted, uid = ctx.state(_Counted).ended, pod.metadata.uid
    now = ctx.cache(core_v1.Pod).get(key_of(pod))
    waits = now is not None and now.metadata.uid == uid and is_finished(now) and _is_tracked(now)
    if waits == (uid in counted):
        return
    if waits:
        counted.add(uid)
    else:
        counted.discard(uid)
    ctx.metrics(JobMetrics).finalizers.add("add" if waits else "delete")


def _orphan(pod: core_v1.Pod) -> Key:
    return Key(pod.metadata.namespace, ORPHAN + pod.metadata.name)


def _of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    if _is_tracked(pod):
        _count_ended(pod, ctx)
    ref = controller_of(pod.metadata)
    if ref is None:
        yield from (key_of(job) for job in _adopters(pod, ctx))
        if _is_tracked(pod):
            yield _orphan(pod)
    elif names_kind(ref, Job):
        key = Key(pod.metadata.namespace, ref.name)
        job = ctx.cache(Job).get(key)
        yield key
        if _is_tracked(pod) and (job is None or job.metadata.uid != ref.uid or books.finished(job)):
            yield _orphan(pod)


def _adopters(pod: core_v1.Pod, ctx: Context) -> list[Job]:
    return [job for job in adopters(Job, pod, ctx) if not books.finished(job)]


def _pod_matters(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return _facts(old) != _facts(new)


def _facts(pod: core_v1.Pod) -> tuple[object, ...]:
    meta, status = pod.metadata, pod.status
    restarts = sum(c.restartCount for c in (*status.containerStatuses, *status.initContainerStatuses))
    return (
        *(meta.uid, meta.labels, meta.ownerReferences, meta.finalizers, meta.deletionTimestamp),
        *(status.phase, is_ready(pod), restarts),
    )


# --- one look


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Job, or a Pod that has none."""
    if key.name.startswith(ORPHAN):
        await _let_go(Key(key.namespace, key.name.removeprefix(ORPHAN)), ctx)
        return Done()
    memory, writes, expectations = ctx.state(_Memory), ctx.state(LastWrites), ctx.state(Expectations)
    job = ctx.cache(Job).get(key)
    if job is None or not _is_ours(job) or books.finished(job):
        for held in (memory, writes, expectations):
            held.forget(key)
        return Done()
    now, late = ctx.clock.now(), ""
    if writes.behind(job, now):
        late = "jobs"
    elif not expectations.met(key, ctx.informer(core_v1.Pod), now):
        late = "pods"
    if late:
        ctx.metrics(JobMetrics).stale.add("batch" if late == "jobs" else "", late)
        return Again(PATIENCE)
    sync, began, failed = _Sync(ctx, job, memory), ctx.clock.monotonic(), True
    try:
        outcome = await sync.run()
        failed = False
    finally:
        ctx.metrics(JobMetrics).synced(job, sync.action, ctx.clock.monotonic() - began, failed=failed)
    return outcome


async def _let_go(key: Key, ctx: Context) -> None:
    """Takes the finalizer off a Pod that nobody will count."""
    pod = ctx.cache(core_v1.Pod).get(key)
    if pod is None or not _is_tracked(pod):
        return
    ref = controller_of(pod.metadata)
    if ref is None:
        if pod.metadata.deletionTimestamp is None and _adopters(pod, ctx):
            return
    elif not names_kind(ref, Job):
        return
    else:
        try:
            job = await ctx.api(Job).get(Key(key.namespace, ref.name))
        except NotFound:
            pass
        else:
            if job.metadata.uid == ref.uid and not (_is_ours(job) and books.finished(job)):
                return
    try:
        await ctx.api(core_v1.Pod).patch(pod, without_finalizer(pod, TRACKING))
    except NotFound:
        return


@dataclass(slots=True)
class _Acted:
    """What was done to Pods."""

    created: int = 0
    removed: list[core_v1.Pod] = field(default_factory=list)
    failure: ApiError | None = None
    no_more: bool = False
    """The namespace ends: no Pod can be made any more, and none waits for one that would replace it."""
    wait: float | None = None


class _Sync:
    """One look at one Job."""

    def __init__(self, ctx: Context, job: Job, memory: _Memory) -> None:
        self._ctx, self._job, self._memory = ctx, job, memory
        self._key = key_of(job)
        self._jobs, self._pods = ctx.api(Job), ctx.api(core_v1.Pod)
        self._writes = PodWrites(ctx, job)
        self._metrics = ctx.metrics(JobMetrics)
        self.action = "reconciling"
        """What this look did, as metrics call it."""

    async def run(self) -> Outcome:
        ctx, job = self._ctx, self._job
        cached = ctx.cache(core_v1.Pod)
        if len(cached.by(INDEX, job.metadata.uid)) > MANY:
            due = self._memory.looked.get(self._key, 0.0) + PERIOD - ctx.clock.monotonic()
            if due > 0:
                return Again(due)
            self._memory.looked[self._key] = ctx.clock.monotonic()
        released = self._memory.released(self._key, cached)
        pods = await Claim(ctx, job, selector_of(job), core_v1.Pod, finalizer=TRACKING).run()
        if job.metadata.deletionTimestamp is None:
            pods = [await self._tracked(pod, released) for pod in pods]
        now = ctx.clock.now()
        status = _begun(job, now)
        seen = books.tally(replace(job, status=status), pods, released)
        backoff = self._backoff(seen)
        end = verdict(seen.job, seen.pods, seen.failed, (seen.done, seen.lost), now)
        acted = await self._act(seen, end, backoff, now)
        status = _counted(seen, status, acted)
        if end is None:
            end, status = self._end_or_pause(seen, status, acted, now)
        elif acted.failure is not None:
            end = None  # Pods are left that must go first
        if end is not None and status.startTime is None:
            status = replace(status, startTime=rfc3339(now))  # ended while it rested: what has ended has begun
        if acted.no_more:
            seen = with_changed(seen, kept={})
        await self._keep_books(seen, status, end, backoff)
        if acted.failure is not None:
            raise acted.failure
        times = [left for left in (deadline_in(replace(job, status=status), now), acted.wait) if left is not None]
        return Again(max(0.001, min(times))) if times and end is None else Done()

    async def _tracked(self, pod: core_v1.Pod, released: set[str]) -> core_v1.Pod:
        """A Pod that is to run on is counted, too: one that was about to be removed, and then was not."""
        if _is_tracked(pod) or not is_active(pod) or pod.metadata.uid in released:
            return pod
        return await self._pods.patch(pod, with_finalizer(pod, TRACKING), lock=True)

    def _backoff(self, seen: Tally) -> Backoff:
        """From memory, or from the Pods that are there."""
        uid, before = self._memory.backoff.get(self._key, ("", Backoff()))
        if uid != self._job.metadata.uid:
            new = {p.metadata.uid for p in (*seen.new_succeeded, *seen.new_failed)}
            counted = [p for p in seen.pods if is_finished(p) and p.metadata.uid not in new]
            succeeded = [p for p in counted if p.status.phase == SUCCEEDED]
            before = after(Backoff(), succeeded, [p for p in counted if p.status.phase != SUCCEEDED])
        return after(before, seen.new_succeeded, seen.new_failed)

    # --- Pods

    async def _act(self, seen: Tally, end: JobCondition | None, backoff: Backoff, now: float) -> _Acted:
        acted = _Acted()
        if end is not None:
            acted.failure = await together([partial(self._remove, pod, acted) for pod in seen.active])
            return acted
        if self._job.metadata.deletionTimestamp is not None:
            return acted
        todo = plan(seen, backoff, now)
        acted.wait = todo.wait
        if todo.remove or is_suspended(self._job):
            self.action = "pods_deleted"
        else:
            self.action = "tracking" if todo.wait is None and not todo.create else "pods_created"
        failure = await together([partial(self._remove_uncounted, pod, acted) for pod in todo.remove])
        failure = failure or await slow_start([partial(self._make, index, seen, acted) for index in todo.create])
        if failure is not None and of_ending_namespace(failure):
            acted.no_more = True
        else:
            acted.failure = failure
        return acted

    async def _make(self, index: int | None, seen: Tally, acted: _Acted) -> ApiError | None:
        replaced = seen.kept.get(index) if index is not None else None
        failure = await self._writes.make(new_pod(self._job, index, replaced))
        if failure is None or not of_ending_namespace(failure):
            self._metrics.made(
                self._job, failures=seen.failed, terminating=seen.terminating, failed=failure is not None
            )
        acted.created += failure is None
        return failure

    async def _remove(self, pod: core_v1.Pod, acted: _Acted) -> ApiError | None:
        failure = await self._writes.remove(pod)
        if failure is None:
            acted.removed.append(pod)
        return failure

    async def _remove_uncounted(self, pod: core_v1.Pod, acted: _Acted) -> ApiError | None:
        """It is no failure: its finalizer goes first, but only while it runs. What has ended meanwhile counts."""
        return await self._untrack(pod, as_seen=True) or await self._remove(pod, acted)

    async def _untrack(self, pod: core_v1.Pod, *, as_seen: bool = False) -> ApiError | None:
        """Takes the finalizer off; `as_seen`: only while the Pod is as it was seen, or else a Conflict is returned."""
        try:
            await self._pods.patch(pod, without_finalizer(pod, TRACKING), lock=as_seen)
        except NotFound:
            pass
        except ApiError as error:
            return error
        self._memory.release(self._key, pod)
        return None

    # --- status

    def _end_or_pause(
        self, seen: Tally, status: JobStatus, acted: _Acted, now: float
    ) -> tuple[JobCondition | None, JobStatus]:
        """Whether that was all; else the conditions that a Job has which goes on."""
        completions = self._job.spec.completions
        enough = seen.succeeded > 0 if completions is None else seen.succeeded >= completions
        if enough and not status.active:
            return made(MET, "CompletionsReached", "Reached expected number of succeeded pods", now), status
        if self._job.metadata.deletionTimestamp is not None or acted.failure is not None:
            return None, status
        return None, _paused(self._job, status, now)

    async def _keep_books(self, seen: Tally, status: JobStatus, end: JobCondition | None, backoff: Backoff) -> None:
        entry = books.enter(seen, status, end)
        job = await self._write(self._job, entry.status)
        self._tell(self._job, job)
        self._memory.backoff[self._key] = (job.metadata.uid, backoff)
        self._metrics.handled(entry.actions)
        tracked = set(seen.tracked)
        failure = await self._release(entry.release, tracked)
        status = books.settle(job.status, tracked)
        if end is not None and failure is None and not entry.more:
            status = books.finish(status, end, rfc3339(self._ctx.clock.now())) or status
        over = await self._write(job, status)
        self._tell(job, over)
        self._metrics.counted(job, self._job.status, over.status)
        if failure is not None:
            raise failure

    async def _release(self, pods: Sequence[core_v1.Pod], tracked: set[str]) -> ApiError | None:
        async def one(pod: core_v1.Pod) -> ApiError | None:
            failure = await self._untrack(pod)
            if failure is None:
                tracked.discard(pod.metadata.uid)
            return failure

        return await together([partial(one, pod) for pod in pods])

    async def _write(self, job: Job, status: JobStatus) -> Job:
        new = await self._jobs.patch(job, replace(job, status=status), subresource="status", lock=True)
        if new is not job:
            self._ctx.state(LastWrites).wrote(new, self._ctx.clock.now())
        return new

    def _tell(self, old: Job, new: Job) -> None:
        """Events of what a write has made true."""
        event = self._ctx.events.event
        before = {c.type: c.status for c in old.status.conditions}
        for condition in new.status.conditions:
            if before.get(condition.type) == condition.status:
                continue
            if condition.type == "Suspended":
                event(new, "Normal", "Suspended" if condition.status == "True" else "Resumed", condition.message)
            elif condition.type == "Failed":
                event(new, "Warning", condition.reason, condition.message)
                self._metrics.ended(new, "failed", condition.reason)
            elif condition.type == "Complete":
                self._metrics.ended(new, "succeeded", condition.reason)
                if new.spec.completions is not None and new.status.succeeded > new.spec.completions:
                    text = "Too many succeeded pods running after completion count reached"
                    event(new, "Warning", "TooManySucceededPods", text)
                event(new, "Normal", "Completed", "Job completed")


def _begun(job: Job, now: float) -> JobStatus:
    status = job.status
    if status.startTime is None and not is_suspended(job):
        status = replace(status, startTime=rfc3339(now))
    if status.uncountedTerminatedPods is None:
        status = replace(status, uncountedTerminatedPods=UncountedTerminatedPods())
    return status


def _counted(seen: Tally, status: JobStatus, acted: _Acted) -> JobStatus:
    """Pods that were seen, with what has been done to them since."""
    gone = {pod.metadata.uid for pod in acted.removed}
    ready = sum(is_ready(pod) for pod in seen.active if pod.metadata.uid not in gone)
    return replace(
        status,
        active=len(seen.active) + acted.created - len(gone),
        ready=ready,
        terminating=seen.terminating + len(gone),
    )


def _paused(job: Job, status: JobStatus, now: float) -> JobStatus:
    """The condition Suspended; a Job that rests has no startTime, and its deadline begins anew when it goes on."""
    if is_suspended(job):
        condition = made("Suspended", "JobSuspended", "Job suspended", now)
        changed = books.with_condition(status.conditions, condition)
        return replace(status, conditions=changed, startTime=None)
    condition = made("Suspended", "JobResumed", "Job resumed", now, status="False")
    changed = books.with_condition(status.conditions, condition)
    if changed == status.conditions:
        return status
    return replace(status, conditions=changed, startTime=rfc3339(now))


CONTROLLER = Controller(
    name="job-controller",
    watches=(
        Watch(kind=core_v1.Pod, keys=_of_pod, changed=_pod_matters, indexes={INDEX: by_controller}),
        Watch(kind=Job, keys=_of_job),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update patch", "jobs", "batch"),
        allow("update patch", "jobs/status", "batch"),
        allow("update", "jobs/finalizers", "batch"),
        allow("create delete list patch watch", "pods"),
        EVENTS,
    ),
)
