"""Lease: who leads, and which nodes live (KEP-589)."""

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.validation.fields import FieldErrors, check


def _validate(obj: Object) -> FieldErrors:
    lease = spec(obj)
    duration, transitions = lease.get("leaseDurationSeconds"), lease.get("leaseTransitions")
    if duration is not None and duration <= 0:
        yield invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0")
    if transitions is not None and transitions < 0:
        yield invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0")
    if strategy := lease.get("strategy"):
        yield from check("spec.strategy", strategy, names.qualified_name(strategy))
    if lease.get("preferredHolder") and not lease.get("strategy"):
        yield field_forbidden("spec.preferredHolder", "may only be specified when `strategy` is defined")


RESOURCE = Resource(
    group="coordination.k8s.io",
    plural="leases",
    validate=_validate,
    validate_update=lambda obj, old: (),
    generation=False,
    unconditional_update=False,
    update_creates=True,
    columns=(
        Column("Holder", lambda obj: spec(obj).get("holderIdentity") or "", description="Who holds the lease."),
        AGE,
    ),
)
