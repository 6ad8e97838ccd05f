"""MutatingAdmissionPolicyBinding: which requests a policy is about, and with which parameters."""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.admissionregistration._columns import BINDING_COLUMNS
from pybernetes.apiserver.validation.admissionpolicies import (
    GROUP,
    default_binding,
    refuse_param_ref,
    validate_binding,
)

RESOURCE = Resource(
    group=GROUP,
    plural="mutatingadmissionpolicybindings",
    default=default_binding,
    validate=lambda obj: validate_binding(obj, mutating=True),
    before_write=refuse_param_ref,
    unconditional_update=False,
    columns=BINDING_COLUMNS,
)
