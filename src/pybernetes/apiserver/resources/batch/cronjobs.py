"""CronJob: a Job of a template at every time of a schedule."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api.errors import invalid_value, not_supported
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, since
from pybernetes.apiserver.resources._columns import AGE, NONE, selector_text, spec, status, wide
from pybernetes.apiserver.resources.batch._warnings import warn_job_spec
from pybernetes.apiserver.validation.fields import FieldErrors, non_negative, one_of, set_missing
from pybernetes.apiserver.validation.job import validate_job_spec
from pybernetes.apiserver.validation.schedule import validate_schedule, validate_time_zone
from pybernetes.apiserver.validation.workloads import warn_pod_names
from pybernetes.rules.poddefaults import default_template

_POLICIES = ("Allow", "Forbid", "Replace")
_NAME_LIMIT = 63 - 11
"""The Jobs are called after it, with a dash and their time."""


def _default(obj: Object) -> None:
    own = obj["spec"] = obj.get("spec") or {}
    if not own.get("concurrencyPolicy"):
        own["concurrencyPolicy"] = "Allow"
    set_missing(own, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job = _job(obj)
    if job.get("template") is not None:
        default_template(job["template"])


def _job(obj: Object) -> Object:
    job: Object = (spec(obj).get("jobTemplate") or {}).get("spec") or {}
    return job


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None or _job(old).get("scheduling") is None:
        _job(obj).pop("scheduling", None)  # behind a gate that is off


def _validate(obj: Object) -> FieldErrors:
    own, name = spec(obj), obj["metadata"].get("name") or ""
    yield from validate_schedule(own.get("schedule") or "", "spec.schedule")
    yield from non_negative("spec.startingDeadlineSeconds", own.get("startingDeadlineSeconds"))
    yield from validate_time_zone(own.get("timeZone"), "spec.timeZone")
    yield from one_of("spec.concurrencyPolicy", own.get("concurrencyPolicy"), _POLICIES)
    yield from _template(_job(obj), "spec.jobTemplate.spec")
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from non_negative(f"spec.{field}", own.get(field))
    if len(name.encode()) > _NAME_LIMIT:
        yield invalid_value("metadata.name", name, f"must be no more than {_NAME_LIMIT} characters")


def _template(job: Mapping[str, Any], path: str) -> FieldErrors:
    yield from validate_job_spec(job, path)
    if job.get("selector") is not None:
        yield invalid_value(f"{path}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield not_supported(f"{path}.manualSelector", True, ("nil", "false"))


def _warn(obj: Object, old: Object | None) -> Iterable[str]:
    yield from warn_pod_names(obj, old)
    yield from warn_job_spec(_job(obj), None if old is None else _job(old), "spec.jobTemplate.spec")


def _containers(field: str) -> Column:
    def cell(obj: Object) -> str:
        pod = (_job(obj).get("template") or {}).get("spec") or {}
        return ",".join(container.get(field, "") for container in pod.get("containers") or ())

    title, what = ("Containers", "Names") if field == "name" else ("Images", "Images")
    return wide(Column(title, cell, description=f"{what} of the template's containers."))


def _last(obj: Object) -> object:
    time = status(obj).get("lastScheduleTime")
    return since(time) if time else NONE


RESOURCE = Resource(
    group="batch",
    plural="cronjobs",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    warn=_warn,
    columns=(
        Column("Schedule", lambda obj: spec(obj).get("schedule", ""), description="When, as cron writes it."),
        Column("Timezone", lambda obj: spec(obj).get("timeZone") or NONE, description="Whose clock counts."),
        Column("Suspend", lambda obj: str(spec(obj).get("suspend", False)), "boolean", description="Whether it rests."),
        Column("Active", lambda obj: len(status(obj).get("active") or ()), "integer", description="Jobs that run."),
        Column("Last Schedule", _last, description="How long ago the last Job began."),
        AGE,
        _containers("name"),
        _containers("image"),
        wide(Column("Selector", lambda obj: selector_text(_job(obj).get("selector")), description="Of its Jobs.")),
    ),
)
