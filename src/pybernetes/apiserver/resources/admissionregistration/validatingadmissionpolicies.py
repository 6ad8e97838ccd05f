"""ValidatingAdmissionPolicy: what expressions say of objects on their way in. Stored here; nothing evaluates them yet."""

from pybernetes.api.errors import required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources._columns import status
from pybernetes.apiserver.resources.admissionregistration._columns import policy_columns
from pybernetes.apiserver.validation.admissionpolicies import (
    GROUP,
    default_policy,
    refuse_param_kind,
    validate_validating,
)
from pybernetes.apiserver.validation.conditions import validate_conditions
from pybernetes.apiserver.validation.fields import FieldErrors, each


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    for at, warning in each(status(obj).get("typeChecking") or {}, "expressionWarnings", "status.typeChecking"):
        if not warning.get("warning"):
            yield required(f"{at}.warning")
        if not (warning.get("fieldRef") or "").strip():
            yield required(f"{at}.fieldRef")
    yield from validate_conditions(status(obj))


RESOURCE = Resource(
    group=GROUP,
    plural="validatingadmissionpolicies",
    default=default_policy,
    validate=validate_validating,
    validate_status=_validate_status,
    before_write=refuse_param_kind,
    unconditional_update=False,
    columns=policy_columns("validations"),
)
