"""PodDisruptionBudget: how many Pods of a kind must stay while others are evicted."""

from pybernetes.api import names
from pybernetes.api.errors import invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import spec, status
from pybernetes.apiserver.validation.conditions import validate_conditions
from pybernetes.apiserver.validation.fields import FieldErrors, optional_one_of
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.meta import label_selector
from pybernetes.apiserver.validation.workloads import at_most_all, int_or_percent, validate_status_counts

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    if own.get("minAvailable") is not None and own.get("maxUnavailable") is not None:
        shown = internal(own, "io.k8s.api.policy.v1.PodDisruptionBudgetSpec")
        yield invalid_value("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        yield from int_or_percent(f"spec.{field}", own.get(field))
        yield from at_most_all(f"spec.{field}", own.get(field))
    yield from label_selector(own.get("selector") or {}, "spec.selector")
    yield from optional_one_of("spec.unhealthyPodEvictionPolicy", own.get("unhealthyPodEvictionPolicy"), _POLICIES)


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from validate_conditions(status(obj))
    yield from validate_status_counts(status(obj), _COUNTS)


def _amount(field: str, name: str, description: str) -> Column:
    def cell(obj: Object) -> str:
        value = spec(obj).get(field)
        return "N/A" if value is None else str(value)

    return Column(name, cell, description=description)


RESOURCE = Resource(
    group="policy",
    plural="poddisruptionbudgets",
    validate=_validate,
    validate_status=_validate_status,
    validate_name=names.path_segment,
    unconditional_update=False,
    columns=(
        _amount("minAvailable", "Min Available", "Pods that must stay."),
        _amount("maxUnavailable", "Max Unavailable", "Pods that may be missing."),
        Column(
            "Allowed Disruptions",
            lambda obj: status(obj).get("disruptionsAllowed", 0),
            "integer",
            description="Pods that may be evicted now.",
        ),
    ),
)
