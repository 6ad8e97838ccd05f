"""CronJob controller: a Job at every time of a schedule, exactly one a time. _cron_times.py knows the times.

The Job's name holds its time: a controller that ended after it made the Job, and before it said so, finds it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime

from msgspec.structs import replace

from pybernetes.aio.clock import parse_time, rfc3339
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.batch_v1 import CronJob, CronJobStatus, Job
from pybernetes.client.events import reference
from pybernetes.client.rest import key_of
from pybernetes.controllers._batches import of_ending_namespace
from pybernetes.controllers._claim import INDEX, by_controller, names_kind, reference_to
from pybernetes.controllers._cron_times import MANY, Due, due, following
from pybernetes.controllers._expectations import PATIENCE, LastWrites
from pybernetes.controllers._job_books import finished
from pybernetes.controllers.runtime import EVENTS, Again, Context, Controller, Done, Outcome, Watch, allow
from pybernetes.rules.cron import Schedule, parse, time_zone
from pybernetes.rules.goquote import quoted
from pybernetes.rules.ownership import controller_of
from pybernetes.wire.metrics import Distribution, exponential

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
LATER = 0.1
"""Seconds after a scheduled time at which it is looked at."""
TOLD = 200
"""Things that are said a single time, and remembered; then they may be said again."""
SOON = 60.0
"""Seconds after which Jobs are removed that could not be."""
LONGEST = 3600.0
"""Seconds without a look at most: clocks are set."""


@dataclass(slots=True)
class _Known:
    """What one CronJob was, and what has been said of it. May be lost."""

    uid: str
    schedule: tuple[str, str | None]
    since: float = 0.0
    """When its schedule was seen to change: earlier times are not those of the new one."""
    told: set[tuple[str, str]] = field(default_factory=set)


class _Memory:
    """By key."""

    def __init__(self) -> None:
        self.known: dict[Key, _Known] = {}

    def of(self, cron: CronJob, now: float) -> _Known:
        """What is known of it; also notes a change of its schedule."""
        schedule = (cron.spec.schedule, cron.spec.timeZone)
        known = self.known.get(key_of(cron))
        if known is None or known.uid != cron.metadata.uid:
            known = self.known[key_of(cron)] = _Known(cron.metadata.uid, schedule)
        elif known.schedule != schedule:
            known.schedule, known.since = schedule, now
        return known


def _of_job(job: Job, ctx: Context) -> Iterable[Key]:
    ref = controller_of(job.metadata)
    return (Key(job.metadata.namespace, ref.name),) if ref is not None and names_kind(ref, CronJob) else ()


def _job_matters(old: Job, new: Job) -> bool:
    return _facts(old) != _facts(new)


def _facts(job: Job) -> tuple[object, ...]:
    meta = job.metadata
    return meta.uid, meta.ownerReferences, meta.deletionTimestamp, finished(job) is None


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One CronJob."""
    memory = ctx.state(_Memory)
    cron = ctx.cache(CronJob).get(key)
    if cron is None:
        memory.known.pop(key, None)
        ctx.state(LastWrites).forget(key)
        return Done()
    now = ctx.clock.now()
    known = memory.of(cron, now)
    if ctx.state(LastWrites).behind(cron, now):
        return Again(PATIENCE)  # the cache is late; its event will come
    return await _Sync(ctx, cron, known, now).run()


class _Sync:
    """One look at one CronJob."""

    def __init__(self, ctx: Context, cron: CronJob, known: _Known, now: float) -> None:
        self._ctx, self._cron, self._known = ctx, cron, known
        self._now = datetime.fromtimestamp(now, UTC)
        self._jobs = ctx.api(Job)

    async def run(self) -> Outcome:
        cron = self._cron
        children = self._ctx.cache(Job).by(INDEX, cron.metadata.uid)
        status = await self._seen(cron.status, children)
        old = self._beyond_limits(children) if cron.metadata.deletionTimestamp is None else []
        if old or status.lastScheduleTime != cron.status.lastScheduleTime:
            await self._write(status)  # before the Jobs that tell it can go
        # First of all: a quota that is full of old Jobs refuses the next one.
        refused = not all([await self._forget(job) for job in old])
        outcome: Outcome = Done()
        try:
            if cron.metadata.deletionTimestamp is None:
                status, outcome = await self._scheduled(status)
        finally:
            await self._write(status)
        if refused:  # its next time is not to wait until that succeeds
            return Again(min(SOON, outcome.after if isinstance(outcome, Again) else SOON))
        return outcome

    async def _write(self, status: CronJobStatus) -> None:
        cron = self._cron
        new = await self._ctx.api(CronJob).patch(cron, replace(cron, status=status), subresource="status", lock=True)
        if new is not cron:
            self._ctx.state(LastWrites).wrote(new, self._ctx.clock.now())
            self._cron = new

    def _tell(self, kind: str, reason: str, message: str, once: str = "") -> None:
        """`once`: about what it is said a single time."""
        if once and (reason, once) in self._known.told:
            return
        if once:
            if len(self._known.told) > TOLD:
                self._known.told.clear()
            self._known.told.add((reason, once))
        self._ctx.events.event(self._cron, "Warning" if kind == "Warning" else "Normal", reason, message)

    # --- what has become of its Jobs

    async def _seen(self, status: CronJobStatus, children: Sequence[Job]) -> CronJobStatus:
        active = {ref.uid: ref for ref in status.active}
        by_uid = {job.metadata.uid: job for job in children}
        last, succeeded = status.lastScheduleTime, status.lastSuccessfulTime
        for uid, job in by_uid.items():
            end = finished(job)
            scheduled = self._time_of(job)
            if scheduled is not None and (last is None or parse_time(last) < scheduled):
                last = rfc3339(scheduled)
            if end is not None and uid in active:
                del active[uid]
                self._tell(
                    "Normal", "SawCompletedJob", f"Saw completed job: {job.metadata.name}, condition: {end.type}"
                )
            elif end is None and uid not in active:
                if scheduled is not None:
                    active[uid] = reference(job)  # made by one that ended before it said so
                else:
                    text = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
                    self._tell("Warning", "UnexpectedJob", text, once=uid)
            done = job.status.completionTime if end is not None and end.type == "Complete" else None
            if done and (succeeded is None or parse_time(succeeded) < parse_time(done)):
                succeeded = done
        for uid, ref in tuple(active.items()):
            if uid not in by_uid and not await self._is_there(ref):
                del active[uid]
                self._tell("Normal", "MissingJob", f"Active job went missing: {ref.name}")
        return replace(status, active=tuple(active.values()), lastScheduleTime=last, lastSuccessfulTime=succeeded)

    def _time_of(self, job: Job) -> float | None:
        """The scheduled time that one of our Jobs was made for."""
        text = job.metadata.annotations.get(SCHEDULED, "")
        try:
            at = parse_time(text)
        except ValueError:
            return None
        return at if job.metadata.name == self._name_at(datetime.fromtimestamp(at, UTC)) else None

    def _name_at(self, at: datetime) -> str:
        return f"{self._cron.metadata.name}-{int(at.timestamp()) // 60}"

    async def _is_there(self, ref: core_v1.ObjectReference) -> bool:
        try:
            job = await self._jobs.get(Key(ref.namespace, ref.name))
        except NotFound:
            return False
        return job.metadata.uid == ref.uid

    def _beyond_limits(self, children: Sequence[Job]) -> list[Job]:
        """Ended Jobs that are more than the history limits allow: the oldest."""
        spec, found = self._cron.spec, []
        limits = {"Complete": spec.successfulJobsHistoryLimit, "Failed": spec.failedJobsHistoryLimit}
        for kind, limit in limits.items():
            ended = [j for j in children if (end := finished(j)) is not None and end.type == kind]
            ended = [j for j in ended if j.metadata.deletionTimestamp is None]
            if limit is not None and len(ended) > limit:
                ended.sort(key=lambda j: (j.status.startTime is None, j.status.startTime or "", j.metadata.name))
                found += ended[: len(ended) - limit]
        return found

    async def _forget(self, job: Job) -> bool:
        try:
            await self._delete(job.metadata.name, job.metadata.uid)
        except ApiError:
            return False
        return True

    async def _delete(self, name: str, uid: str) -> None:
        key = Key(self._cron.metadata.namespace, name)
        try:
            await self._jobs.delete(key, uid=uid, propagation="Background")
        except NotFound:
            return
        except ApiError as error:
            self._tell("Warning", "FailedDelete", f"Deleted job: {error.message}")
            raise
        self._tell("Normal", "SuccessfulDelete", f"Deleted job {name}")

    # --- the next Job

    async def _scheduled(self, status: CronJobStatus) -> tuple[CronJobStatus, Outcome]:
        """Starts the Job that is due, if any. Says when to look again."""
        spec = self._cron.spec
        try:
            zone = time_zone(spec.timeZone or "")
        except ValueError as error:
            text = f"invalid timeZone: {quoted(spec.timeZone or '')}: {error}"
            self._tell("Warning", "UnknownTimeZone", text, once=spec.timeZone or "")
            return status, Done()
        if spec.suspend:
            return status, Done()
        try:
            schedule = parse(spec.schedule)
        except ValueError as error:
            text = f"unparseable schedule: {quoted(spec.schedule)} : {error}"
            self._tell("Warning", "UnparseableSchedule", text, once=spec.schedule)
            return status, Done()
        found = self._due(schedule, zone, status)
        if "TZ" in spec.schedule:
            text = (
                f"CRON_TZ or TZ used in schedule {quoted(spec.schedule)} is not officially supported, see"
                " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self._tell("Warning", "UnsupportedSchedule", text, once=f"{spec.schedule} {found.at}")
        if found.at is not None:
            if found.times > MANY:
                text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
                self._tell("Warning", "TooManyMissedTimes", text, once=rfc3339(found.at.timestamp()))
            status = await self._start(status, found.at, zone)
        return status, self._again(schedule, zone, self._last(status))

    def _due(self, schedule: Schedule, zone: tzinfo, status: CronJobStatus) -> Due:
        """What has come since the last time, and since the schedule is this one. `@every` counts on from the last time."""
        last, changed = self._last(status), datetime.fromtimestamp(self._known.since, UTC)
        if schedule.every is not None:
            found = due(schedule, zone, last, self._now)
            return found if found.at is not None and found.at > changed else Due()
        earliest, limit = max(last, changed), self._cron.spec.startingDeadlineSeconds
        if limit is not None:
            earliest = max(earliest, self._now - timedelta(seconds=limit))
        return due(schedule, zone, earliest, self._now)

    def _last(self, status: CronJobStatus) -> datetime:
        last = status.lastScheduleTime or self._cron.metadata.creationTimestamp
        return datetime.fromtimestamp(parse_time(last) if last else 0.0, UTC)

    def _again(self, schedule: Schedule, zone: tzinfo, since: datetime) -> Outcome:
        at = following(schedule, zone, since, self._now)
        if at is None:
            # Upstream finds it so: the time of none is always the same.
            words = self._cron.spec.schedule
            text = f"invalid schedule: {words} : time difference between two schedules is less than 1 second"
            self._tell("Warning", "InvalidSchedule", text, once=words)
            return Done()
        return Again(min(LONGEST, (at - self._now).total_seconds() + LATER))

    async def _start(self, status: CronJobStatus, at: datetime, zone: tzinfo) -> CronJobStatus:
        spec, name, stamp = self._cron.spec, self._name_at(at), rfc3339(at.timestamp())
        if (
            spec.startingDeadlineSeconds is not None
            and at + timedelta(seconds=spec.startingDeadlineSeconds) < self._now
        ):
            text = f"Missed scheduled time to start a job: {format_datetime(at)}"
            self._tell("Warning", "MissSchedule", text, once=stamp)
            return status
        if status.lastScheduleTime == stamp or any(ref.name == name for ref in status.active):
            return status
        if status.active and spec.concurrencyPolicy == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._tell("Normal", "JobAlreadyActive", text, once=stamp)
            return status
        if spec.concurrencyPolicy == "Replace":
            for ref in status.active:
                await self._delete(ref.name, ref.uid)
            status = replace(status, active=())
        job = await self._make(at, zone)
        if job is None:
            return status
        active = status.active if finished(job) else (*status.active, reference(job))
        return replace(status, active=active, lastScheduleTime=stamp)

    async def _make(self, at: datetime, zone: tzinfo) -> Job | None:
        """The Job of a time, made now or before; None where another's Job has its name."""
        wanted = _job_at(self._cron, self._name_at(at), at.astimezone(zone))
        try:
            job = await self._jobs.create(wanted)
        except AlreadyExists:
            job = await self._jobs.get(key_of(wanted))
            ref = controller_of(job.metadata)
            return job if ref is not None and ref.uid == self._cron.metadata.uid else None
        except ApiError as error:
            if not of_ending_namespace(error):
                self._tell("Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        self._tell("Normal", "SuccessfulCreate", f"Created job {job.metadata.name}")
        self._ctx.metrics(Figures).skew.observe((self._now - at).total_seconds())
        return job


class Figures:
    """Upstream's metric."""

    def __init__(self) -> None:
        self.skew = Distribution(
            "cronjob_controller_job_creation_skew_duration_seconds",
            "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
            stability="STABLE",
            bounds=exponential(1, 2, 10),
        )


def _job_at(cron: CronJob, name: str, at: datetime) -> Job:
    template = cron.spec.jobTemplate
    stamp = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Job(
        metadata=meta_v1.ObjectMeta(
            name=name,
            namespace=cron.metadata.namespace,
            labels=template.metadata.labels,
            annotations={**template.metadata.annotations, SCHEDULED: stamp},
            ownerReferences=(reference_to(CronJob, cron.metadata),),
        ),
        spec=template.spec,
    )


CONTROLLER = Controller(
    name="cronjob-controller",
    watches=(
        Watch(kind=Job, keys=_of_job, changed=_job_matters, indexes={INDEX: by_controller}),
        Watch(kind=CronJob),
    ),
    reconcile=reconcile,
    rules=(
        allow("get list watch update", "cronjobs", "batch"),
        allow("create delete get list patch update watch", "jobs", "batch"),
        allow("update patch", "cronjobs/status", "batch"),
        allow("update", "cronjobs/finalizers", "batch"),
        allow("delete list", "pods"),
        EVENTS,
    ),
)
