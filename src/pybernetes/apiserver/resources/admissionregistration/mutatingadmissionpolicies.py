"""MutatingAdmissionPolicy: how expressions change objects on their way in. Stored here; nothing evaluates them yet."""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.admissionregistration._columns import policy_columns
from pybernetes.apiserver.validation.admissionpolicies import (
    GROUP,
    default_policy,
    refuse_param_kind,
    validate_mutating,
)

RESOURCE = Resource(
    group=GROUP,
    plural="mutatingadmissionpolicies",
    default=default_policy,
    validate=validate_mutating,
    before_write=refuse_param_kind,
    unconditional_update=False,
    columns=policy_columns("mutations"),
)
