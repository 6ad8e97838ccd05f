"""Rules of Jobs and CronJobs: every Pod counts once, no index runs twice, and every time of a schedule has one Job."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from pybernetes.aio.clock import parse_time
from pybernetes.aio.simulation import EPOCH
from tools.soak.worlds.ledger import Attempt, Ledger, Life, Obj, Rule, Write, controller_of
from tools.soak.worlds.pods import condition, finished, is_active, is_ended, is_going

JOBS = "job-controller"
CRONJOBS = "cronjob-controller"
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
STAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def is_indexed(job: Obj) -> bool:
    """completionMode Indexed."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_tracked(pod: Obj) -> bool:
    """It is not counted yet."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def index_of(pod: Obj) -> str:
    """Its completion index."""
    return str((pod["metadata"].get("annotations") or {}).get(INDEX, ""))


def phase(pod: Obj) -> str:
    """status.phase."""
    return str(pod.get("status", {}).get("phase", ""))


def _of(job: Life, pod: Obj) -> bool:
    return controller_of(pod) == job.uid


def _is_running(job: Life, pod: Obj) -> bool:
    return _of(job, pod) and is_active(pod)


def _did(job: Life, what: str, pod: Obj) -> bool:
    return _of(job, pod) and phase(pod) == what


def _once_did(ledger: Ledger, pod: Life, by: Attempt, what: str) -> bool:
    """Whether it ended so before it lost its finalizer, and the sender must know that."""
    first = next((v for v in pod.versions if phase(v.obj) == what and is_tracked(v.obj)), None)
    return first is not None and ledger.knows(first, "Pod", by)


def pods_within_parallelism(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod is made only for a Job that goes on, within parallelism and completions, and for an index that nobody has."""
    by = write.by
    if write.verb != "create" or by.part != JOBS or by.late:
        return
    job = ledger.lives[controller_of(write.life.obj)]
    specs, pods = ledger.recent(job), list(ledger.owned(job.uid, "Pod"))
    active = [p for p in pods if ledger.must_hold(p, by, partial(_is_running, job))]
    most = max((int(spec["spec"].get("parallelism", 1)) for spec in specs), default=0)
    if len(active) > most:
        yield f"{len(active)} active Pods of {job}, whose parallelism is {most}"
    if all(spec["spec"].get("suspend") for spec in specs):
        yield f"made for {job}, which is suspended"
    if specs and all(finished(spec) for spec in specs):
        yield f"made for {job}, which has ended"
    if specs and all(is_going(spec) for spec in specs):
        yield f"made for {job}, which is being deleted"
    failed = _entered_as_failed(job)
    done = [p for p in pods if p.uid not in failed and _once_did(ledger, p, by, "Succeeded")]
    completions = job.obj["spec"].get("completions")
    if is_indexed(job.obj):
        index = index_of(write.life.obj)
        twins = [p.name for p in (*active, *done) if p is not write.life and index_of(p.obj) == index]
        if twins:
            yield f"made for index {index}, which {twins} have"
    elif completions is not None and len(active) + len(done) > completions:
        yield f"{len(active)} active and {len(done)} succeeded Pods of {job}, which wants {completions}"
    yield from _within_backoff(ledger, write, job, specs)


def _within_backoff(ledger: Ledger, write: Write, job: Life, specs: list[Obj]) -> Iterator[str]:
    spec = job.obj["spec"]
    if spec.get("podFailurePolicy") or spec.get("backoffLimitPerIndex") is not None or not specs:
        return
    failed = [p for p in ledger.owned(job.uid, "Pod") if _once_did(ledger, p, write.by, "Failed")]
    # A Pod that was removed for less parallelism, or while the Job rests, may end as Failed and does not count.
    counted = [p for p in failed if p.asked is None or p.asked.by.part != JOBS]
    if len(counted) > spec.get("backoffLimit", 6):
        yield f"made for {job}, {len(counted)} of whose Pods have failed; its backoffLimit is {spec.get('backoffLimit')}"


def uids_before_finalizers(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod loses its finalizer only after the Job's status has its uid; or after the Job has ended."""
    by, old, new = write.by, write.old, write.new
    if (
        by.part != JOBS
        or old is None
        or not is_tracked(old)
        or not is_ended(old)
        or (new is not None and is_tracked(new))
    ):
        return  # the last finalizer of a Pod that is being deleted goes with the Pod
    job = ledger.lives.get(controller_of(old))
    if job is None or job.gone is not None or is_going(job.obj) or finished(job.obj):
        return
    if is_indexed(job.obj) or (
        phase(old) == "Failed" and (job.obj["spec"].get("podFailurePolicy") or write.life.asked)
    ):
        return
    books = job.obj.get("status", {}).get("uncountedTerminatedPods") or {}
    if write.life.uid not in (*books.get("succeeded", ()), *books.get("failed", ())):
        yield f"lost its finalizer before {job} had its uid"


def _entered_as_failed(job: Life) -> set[str]:
    """What was about to go, or ran when its Job failed, counts as failed, however it ends."""
    books = [version.obj.get("status", {}).get("uncountedTerminatedPods") or {} for version in job.versions]
    return {uid for book in books for uid in (book.get("failed") or ())}


def released(ledger: Ledger, job: Life, what: str) -> int:
    """How many Pods of a Job had ended so when they lost their finalizer; what becomes of them later does not count."""
    otherwise = _entered_as_failed(job) if what == "Succeeded" else set()
    count = 0
    for pod in ledger.owned(job.uid, "Pod"):
        if pod.uid in otherwise:
            continue
        states = [v.obj for v in pod.versions]
        held = [number for number, obj in enumerate(states) if is_tracked(obj)]
        if held and (pod.gone is not None or held[-1] < len(states) - 1):
            count += phase(states[min(held[-1] + 1, len(states) - 1)]) == what
    return count


def counted_once(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Job counts what has ended, once each, only after its finalizer is gone; and what has ended stays as it is."""
    old, new, job = write.old, write.new, write.life
    if write.by.part != JOBS or new is None or old is None:
        return
    before, after = old.get("status", {}), new.get("status", {})
    failed, succeeded = int(after.get("failed", 0)), int(after.get("succeeded", 0))
    ended = [
        pod for pod in ledger.owned(job.uid, "Pod") if any(is_ended(v.obj) or is_going(v.obj) for v in pod.versions)
    ]
    if not is_indexed(new):
        most = released(ledger, job, "Succeeded")
        if succeeded > most:
            yield f"counts {succeeded} succeeded Pods, {most} have ended so and lost their finalizers"
        if succeeded < int(before.get("succeeded", 0)):
            yield f"counted {before.get('succeeded')} succeeded Pods, and now {succeeded}"
    else:
        indexes = {index_of(p.obj) for p in ended if any(phase(v.obj) == "Succeeded" for v in p.versions)}
        if succeeded > len(indexes):
            yield f"counts {succeeded} succeeded indexes, {sorted(indexes)} have"
    if succeeded + failed > len(ended):
        yield f"counts {succeeded} succeeded and {failed} failed Pods, {len(ended)} have ended"
    if failed < int(before.get("failed", 0)):
        yield f"counted {before.get('failed')} failed Pods, and now {failed}"
    end = finished(old)
    if end and (after.get("succeeded"), after.get("failed")) != (before.get("succeeded"), before.get("failed")):
        yield f"was {end}, and counts on"
    elif finished(new) and not end and not write.by.late:
        running = [p.name for p in ledger.owned(job.uid, "Pod")
                   if ledger.must_hold(p, write.by, lambda pod: _of(job, pod) and not is_ended(pod))]  # fmt: skip
        if running:
            yield f"is {finished(new)} while {running} have not ended"


def uids_are_pods(ledger: Ledger, write: Write) -> Iterator[str]:
    """What a Job is about to count are its own Pods, each once."""
    if write.new is None:
        return
    books = write.new.get("status", {}).get("uncountedTerminatedPods") or {}
    uids = [*books.get("succeeded", ()), *books.get("failed", ())]
    if len(uids) != len(set(uids)):
        yield f"is about to count twice: {uids}"
    for uid in uids:
        pod = ledger.lives.get(uid)
        if pod is None or all(controller_of(v.obj) != write.life.uid for v in pod.versions):
            yield f"is about to count {uid}, which is no Pod of it"


# --- CronJobs


def _goes_on(cron: Life, job: Obj) -> bool:
    return controller_of(job) == cron.uid and not finished(job) and not is_going(job)


def one_job_a_time(ledger: Ledger, write: Write) -> Iterator[str]:
    """Each time of a schedule has one Job, ever; with Forbid no Job begins while another goes on."""
    by = write.by
    if write.verb != "create" or by.part != CRONJOBS:
        return
    cron = ledger.lives[controller_of(write.life.obj)]
    specs, stamp = ledger.recent(cron), _stamp(write.life.obj)
    others = [job for job in ledger.owned(cron.uid, "Job") if job is not write.life]
    twins = [job for job in others if _stamp(job.versions[0].obj) == stamp and job.versions[0].by.answered is not False]
    if twins and not by.late:
        yield f"a second Job for {stamp}; the first was {twins[0].uid}"
    at = parse_time(stamp) - EPOCH
    if at > ledger.now() or parse_time(stamp) <= parse_time(cron.obj["metadata"]["creationTimestamp"]):
        yield f"made for {stamp}, which is not due"
    if by.late or not specs:
        return
    if all(spec["spec"].get("suspend") for spec in specs):
        yield f"made for {cron}, which is suspended"
    if all(spec["spec"].get("concurrencyPolicy") == "Forbid" for spec in specs):
        going = [job.name for job in others if ledger.must_hold(job, by, partial(_goes_on, cron))]
        if going:
            yield f"made while {going} go on; {cron} forbids that"


def _stamp(job: Obj) -> str:
    return str((job["metadata"].get("annotations") or {}).get(STAMP, ""))


def is_suspended(job: Obj) -> bool:
    """It rests, by its condition."""
    return condition(job, "Suspended").get("status") == "True"


RULES: Mapping[str, Iterable[Rule]] = {
    "Pod": (pods_within_parallelism, uids_before_finalizers),
    "Job": (counted_once, uids_are_pods, one_job_a_time),
}
