"""What is said of the spec of a Job that is odd, but no fault; Jobs and CronJobs alike."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.apiserver.validation.job import INDEXED
from pybernetes.apiserver.validation.pod.warnings import warn_template

_MANY, _MANY_AT_ONCE = 100_000, 10_000
_TOO_MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might"
    " not be able to track completedIndexes when a big number of indexes fail"
)


def warn_job_spec(spec: Mapping[str, Any], old: Mapping[str, Any] | None, path: str) -> Iterable[str]:
    """Warnings about a new spec, or one that has changed."""
    if spec == old:
        return
    many = (spec.get("completions") or 0) > _MANY and (spec.get("parallelism") or 0) > _MANY_AT_ONCE
    if spec.get("completionMode") == INDEXED and many:
        yield f"{path}: {_TOO_MANY}"
    template = spec.get("template") or {}
    if old is None or template != old.get("template"):
        yield from warn_template(template, f"{path}.template")
