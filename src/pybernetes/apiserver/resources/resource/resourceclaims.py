"""ResourceClaim: devices that Pods of a namespace ask for, what they were given, and who uses them."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.validation.deviceclaims import (
    default_claim,
    default_given,
    forget_devices,
    refuse_admin_access,
    validate_claim,
    validate_claim_status,
)
from pybernetes.apiserver.validation.devices import GROUP
from pybernetes.apiserver.validation.fields import FieldErrors, immutable


def _default(obj: Object) -> None:
    default_claim(obj.setdefault("spec", {}))
    default_given(status(obj))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec", spec(obj), spec(old))


def _state(obj: Object) -> str:
    words = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if status(obj).get("allocation") is not None:
        words.append("allocated")
        words += ["reserved"] if status(obj).get("reservedFor") else []
    elif not words:
        words.append("pending")
    return ",".join(words)


RESOURCE = Resource(
    group=GROUP,
    plural="resourceclaims",
    default=_default,
    validate=lambda obj: validate_claim(spec(obj), "spec"),
    validate_update=_validate_update,
    validate_status=validate_claim_status,
    prepare_status=forget_devices,
    before_write=refuse_admin_access,
    generation=False,
    columns=(Column("State", _state, description="Whether it has been given devices, and to whom."), AGE),
)
