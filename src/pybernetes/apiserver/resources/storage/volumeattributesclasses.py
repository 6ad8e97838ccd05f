"""VolumeAttributesClass: attributes of volumes that can be changed while they live."""

from pybernetes.api.errors import field_forbidden
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.storage import (
    DEFAULT_ATTRIBUTES_ANNOTATIONS,
    GROUP,
    name_column,
    parameters,
    provisioner,
)


def _validate(obj: Object) -> FieldErrors:
    yield from provisioner("driverName", obj.get("driverName") or "")
    yield from parameters(obj.get("parameters") or {}, needed=True)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    for field in ("driverName", "parameters"):
        if (obj.get(field) or None) != (old.get(field) or None):
            yield field_forbidden(field, f"updates to {field} are forbidden.")


RESOURCE = Resource(
    group=GROUP,
    plural="volumeattributesclasses",
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    columns=(
        name_column(DEFAULT_ATTRIBUTES_ANNOTATIONS),
        Column("DriverName", lambda obj: obj.get("driverName", ""), description="The driver that knows them."),
        AGE,
    ),
)
