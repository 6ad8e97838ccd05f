"""StorageClass: how volumes are made for claims that name it."""

from collections.abc import Iterator

from pybernetes.api.errors import field_forbidden, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors, immutable, optional_one_of
from pybernetes.apiserver.validation.node_labels import deprecated_label
from pybernetes.apiserver.validation.storage import (
    DEFAULT_ANNOTATIONS,
    GROUP,
    name_column,
    parameters,
    provisioner,
    topologies,
)

_MODES = ("Immediate", "WaitForFirstConsumer")


def _default(obj: Object) -> None:
    for field, value in (("reclaimPolicy", "Delete"), ("volumeBindingMode", "Immediate")):
        if obj.get(field) is None:
            obj[field] = value


def _validate(obj: Object) -> FieldErrors:
    yield from provisioner("provisioner", obj.get("provisioner") or "")
    yield from parameters(obj.get("parameters") or {})
    yield from optional_one_of("reclaimPolicy", obj.get("reclaimPolicy") or None, ("Delete", "Retain"))
    if obj.get("volumeBindingMode") is None:
        yield required("volumeBindingMode")
    yield from optional_one_of("volumeBindingMode", obj.get("volumeBindingMode"), _MODES)
    yield from topologies(obj)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if (obj.get(field) or None) != (old.get(field) or None):
            yield field_forbidden(field, f"updates to {field} are forbidden.")
    yield from immutable("volumeBindingMode", obj.get("volumeBindingMode"), old.get("volumeBindingMode"))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    for i, term in enumerate(obj.get("allowedTopologies") or ()):
        for j, rule in enumerate(term.get("matchLabelExpressions") or ()):
            path = f"allowedTopologies[{i}].matchLabelExpressions[{j}].key"
            yield from deprecated_label(path, rule.get("key") or "")


RESOURCE = Resource(
    group=GROUP,
    plural="storageclasses",
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    warn=_warn,
    generation=False,
    columns=(
        name_column(DEFAULT_ANNOTATIONS),
        Column("Provisioner", lambda obj: obj.get("provisioner", ""), description="Who makes the volumes."),
        Column("ReclaimPolicy", lambda obj: obj.get("reclaimPolicy") or "Delete", description="What unused ones meet."),
        Column(
            "VolumeBindingMode",
            lambda obj: obj.get("volumeBindingMode") or "Immediate",
            description="When they are made.",
        ),
        Column(
            "AllowVolumeExpansion",
            lambda obj: obj.get("allowVolumeExpansion") or False,
            description="Whether they may grow.",
        ),
        AGE,
    ),
)
