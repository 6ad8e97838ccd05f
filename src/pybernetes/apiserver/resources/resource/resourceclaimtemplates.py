"""ResourceClaimTemplate: the ResourceClaims that Pods get for themselves are made after it."""

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources._columns import AGE, spec
from pybernetes.apiserver.validation.deviceclaims import default_claim, refuse_admin_access, validate_claim
from pybernetes.apiserver.validation.devices import GROUP
from pybernetes.apiserver.validation.fields import FieldErrors, immutable
from pybernetes.apiserver.validation.meta import only_labels


def _default(obj: Object) -> None:
    default_claim(obj.setdefault("spec", {}).setdefault("spec", {}))


def _validate(obj: Object) -> FieldErrors:
    yield from only_labels(spec(obj).get("metadata") or {}, "spec.metadata")
    yield from validate_claim(spec(obj).get("spec") or {}, "spec.spec")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec", spec(obj), spec(old))


RESOURCE = Resource(
    group=GROUP,
    plural="resourceclaimtemplates",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    before_write=refuse_admin_access,
    generation=False,
    columns=(AGE,),
)
