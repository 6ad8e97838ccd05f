"""status of Jobs: what may be said at all, and what may become of it. Whoever runs the Job (managedBy) is held to it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import duplicate, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors, invalid_whole
from pybernetes.apiserver.validation.job import INDEXED
from pybernetes.apiserver.validation.workloads import validate_status_counts
from pybernetes.rules import indexes

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_CONDITIONS = "status.conditions"
_TRUE_BOTH = (
    ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
    ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
)


class _View:
    """A Job as these rules see it."""

    def __init__(self, job: Object) -> None:
        self.spec: Mapping[str, Any] = job.get("spec") or {}
        self.status: Mapping[str, Any] = job.get("status") or {}
        conditions = self.status.get("conditions") or ()
        self.true = {c.get("type") for c in conditions if c.get("status") == "True"}
        self.false = {c.get("type") for c in conditions if c.get("status") == "False"}
        self.complete = "Complete" in self.true
        self.failed = "Failed" in self.true
        self.finished = self.complete or self.failed
        self.target = "FailureTarget" in self.true
        self.met = "SuccessCriteriaMet" in self.true

    def count(self, field: str) -> int:
        """A number that is zero when absent."""
        return self.status.get(field) or 0


def validate_job_status(obj: Object, old: Object) -> FieldErrors:
    """Faults of a write of status. Most rules look only at what changes: a spec that changed may have left the rest behind."""
    now, before = _View(obj), _View(old)
    yield from validate_status_counts(now.status, _COUNTS)
    yield from _uncounted(now.status.get("uncountedTerminatedPods") or {})
    yield from _ends(now, before)
    yield from _finished(now, before)
    yield from _indexes(now, before)
    yield from _rest(now, before)
    yield from _transitions(now, before)


def _changed(now: _View, before: _View, *fields: str) -> bool:
    return any((now.status.get(field) or None) != (before.status.get(field) or None) for field in fields)


def _uncounted(pods: Mapping[str, Any]) -> FieldErrors:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(field) or ()):
            at = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                yield invalid_value(at, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(at, uid)
            seen.add(uid)


def _ends(now: _View, before: _View) -> FieldErrors:
    """Complete, Failed and the times that go with them."""
    completes = now.complete != before.complete
    for one, other, text in _TRUE_BOTH:
        if now.true >= {one, other} and (completes or (other in now.true) != (other in before.true)):
            yield invalid_whole(_CONDITIONS, text)
    completed = now.status.get("completionTime")
    timed = _changed(now, before, "completionTime")
    if completes or timed:
        if completed and not now.complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            yield invalid_value("status.completionTime", completed, text)
        if now.complete and not completed:
            yield required("status.completionTime", "completionTime is required for Complete jobs")
    started = now.status.get("startTime")
    if started and completed and completed < started and (timed or _changed(now, before, "startTime")):
        yield invalid_value("status.completionTime", completed, "must be equal to or after `startTime`")
    if now.failed and not now.target and (not before.failed or _changed(now, before, "failedIndexes")):
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        yield invalid_whole(_CONDITIONS, text)
    if now.complete and not now.met and (completes or now.met != before.met):
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        yield invalid_whole(_CONDITIONS, text)


def _finished(now: _View, before: _View) -> FieldErrors:
    """What a finished Job has no longer, and what it must have."""
    if not now.finished:
        return
    finishes = not before.finished
    if now.count("active") > 0 and (finishes or _changed(now, before, "active")):
        yield invalid_value("status.active", now.count("active"), "active>0 is invalid for finished job")
    nothing_to_do = now.spec.get("suspend") is True and now.spec.get("completions") == 0
    if not now.status.get("startTime") and not nothing_to_do and (finishes or _changed(now, before, "startTime")):
        yield required("status.startTime", "startTime is required for finished job")
    pods = now.status.get("uncountedTerminatedPods") or {}
    if any(pods.values()) and (finishes or _changed(now, before, "uncountedTerminatedPods")):
        shown = {"Succeeded": pods.get("succeeded"), "Failed": pods.get("failed")}
        yield invalid_value("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _indexes(now: _View, before: _View) -> FieldErrors:
    completed, failed = now.status.get("completedIndexes") or "", now.status.get("failedIndexes")
    completions, by_index = now.spec.get("completions"), now.spec.get("backoffLimitPerIndex") is not None
    other_completed = completed != (before.status.get("completedIndexes") or "")
    other_failed = failed != before.status.get("failedIndexes")
    if other_completed and completions is not None:
        yield from _readable("completedIndexes", completed, completions)
    if other_failed and completions is not None and by_index and failed is not None:
        yield from _readable("failedIndexes", failed, completions)
    if other_completed and completed and now.spec.get("completionMode") != INDEXED:
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid_value("status.completedIndexes", completed, text)
    if other_failed and failed is not None and not by_index:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid_value("status.failedIndexes", failed, text)
    if (other_completed or other_failed) and completions is not None and failed is not None:
        both = indexes.overlap(completed, failed, completions)
        if both is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {both}"
            yield invalid_value("status.failedIndexes", failed, text)


def _readable(field: str, text: str, completions: int) -> FieldErrors:
    try:
        indexes.count(text, completions)
    except ValueError as error:
        yield invalid_value(f"status.{field}", text, f"error parsing {field}: {error}")


def _rest(now: _View, before: _View) -> FieldErrors:
    terminating, ready = now.count("terminating"), now.count("ready")
    if terminating > 0 and now.finished and (not before.finished or _changed(now, before, "terminating")):
        yield invalid_value("status.terminating", terminating, "terminating>0 is invalid for finished job")
    given = now.status.get("ready") is not None
    if given and ready > now.count("active") and _changed(now, before, "ready", "active"):
        yield invalid_value("status.ready", ready, "cannot set more ready pods than active")
    if now.met and now.failed:
        yield invalid_whole(_CONDITIONS, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if now.met and now.target:
        yield invalid_whole(_CONDITIONS, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if now.spec.get("successPolicy") is not None and now.complete and not now.met:
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield invalid_whole(_CONDITIONS, text)


def _transitions(now: _View, before: _View) -> FieldErrors:
    for kind in ("Failed", "Complete", "FailureTarget"):
        if kind in before.true and kind not in now.true:
            yield invalid_whole(_CONDITIONS, f"cannot disable the terminal {kind}=True condition")
    if now.count("failed") < before.count("failed"):
        yield invalid_value("status.failed", now.count("failed"), "cannot decrease the failed counter")
    # A Job whose completions follow its parallelism can be scaled down, its books with it.
    elastic = now.spec.get("completionMode") == INDEXED and now.spec.get("completions") == now.spec.get("parallelism")
    if not elastic and now.count("succeeded") < before.count("succeeded"):
        yield invalid_value("status.succeeded", now.count("succeeded"), "cannot decrease the succeeded counter")
    completed, was = now.status.get("completionTime"), before.status.get("completionTime")
    if completed and was and completed != was:
        yield invalid_value("status.completionTime", completed, IMMUTABLE)
    resumes = "Suspended" in before.true and "Suspended" in now.false
    restarted = before.status.get("startTime") and _changed(now, before, "startTime")
    if restarted and not resumes and not now.spec.get("suspend"):
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")
    if before.met and not now.met:
        yield invalid_whole(_CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if before.complete and not before.met and now.met:
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield invalid_whole(_CONDITIONS, text)
