"""PersistentVolumeClaim: what a Pod wants of storage. Once bound only its size and its attributes may change."""

from collections.abc import Iterator, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.validation.amounts import amount_value, capacity, quantity
from pybernetes.apiserver.validation.claims import (
    CLASS_ANNOTATION,
    CLASS_WARNING,
    claim_warnings,
    class_of,
    default_claim_spec,
    difference,
    normalize_sources,
    storage_of,
    validate_claim_spec,
)
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable
from pybernetes.rules.accessmodes import short_modes
from pybernetes.rules.resourcenames import is_native

_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_SIZE = "spec.resources.requests.storage"
_ATTRIBUTES = "volumeAttributesClassName"
_RESIZE = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def _default(obj: Object) -> None:
    own = obj["spec"] = obj.get("spec") or {}
    default_claim_spec(own)
    current = obj["status"] = obj.get("status") or {}
    if not current.get("phase"):
        current["phase"] = "Pending"


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"phase": "Pending"}
    normalize_sources(obj["spec"], spec(old) if old is not None else None)


def _validate(obj: Object) -> FieldErrors:
    yield from validate_claim_spec(spec(obj), "spec")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    new, before = dict(spec(obj)), dict(spec(old))
    if not before.get("volumeName"):
        before["volumeName"] = new.get("volumeName")  # given once, by whoever binds
    yield from _class_change(obj, old, new, before)
    if status(obj).get("phase") == "Bound":
        if (new.get("resources") or {}).get("requests") is not None:
            new["resources"] = _with_storage(new["resources"], storage_of(before))
        if new.get(_ATTRIBUTES) is not None:
            new[_ATTRIBUTES] = before.get(_ATTRIBUTES)
    new, before = _given(new), _given(before)
    if new != before:
        yield field_forbidden("spec", f"{_FIXED}\n{difference(new, before)}")
    yield from _shrinking(obj, old)
    yield from immutable("volumeMode", spec(obj).get("volumeMode"), spec(old).get("volumeMode"))
    yield from attributes_change(spec(obj), spec(old), empty=True)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _with_storage(resources: Mapping[str, Any], storage: str | None) -> Mapping[str, Any]:
    requests = {name: text for name, text in resources["requests"].items() if name != "storage"}
    return {**resources, "requests": requests if storage is None else {**requests, "storage": storage}}


def _class_change(obj: Object, old: Object, new: dict[str, Any], before: dict[str, Any]) -> FieldErrors:
    """The class may come out of the annotation of old, or to a claim that has none."""
    noted = (old["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    note = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    wanted, held = new.get("storageClassName"), before.get("storageClassName")
    if noted is not None and held is None and wanted == noted and note in (None, noted):
        new["storageClassName"] = None
        return
    if (note or "") != (noted or ""):
        yield invalid_value(f"metadata.annotations.{CLASS_ANNOTATION}", note or "", "field is immutable")
    if wanted is not None and held is None and noted in (None, wanted):
        new["storageClassName"] = None


def _shrinking(obj: Object, old: Object) -> FieldErrors:
    """An expansion that failed may be asked for again with less, yet with more than there is."""
    size, before = (quantity(storage_of(spec(one))) or Quantity() for one in (obj, old))
    held = quantity((status(old).get("capacity") or {}).get("storage")) or Quantity()
    if size < before and size <= held:
        yield field_forbidden(_SIZE, "field can not be less than status.capacity")


def attributes_change(new: Mapping[str, Any], old: Mapping[str, Any], *, empty: bool) -> FieldErrors:
    """volumeAttributesClassName is never taken away; a claim's not even emptied."""
    if old.get(_ATTRIBUTES) is None:
        return
    if new.get(_ATTRIBUTES) is None:
        yield field_forbidden(f"spec.{_ATTRIBUTES}", "update from non-nil value to nil is forbidden")
    elif empty and not new[_ATTRIBUTES] and old[_ATTRIBUTES]:
        yield field_forbidden(f"spec.{_ATTRIBUTES}", "update from non-nil value to an empty string is forbidden")


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    current = status(obj)
    if not spec(obj).get("accessModes"):
        yield required("Spec.accessModes")
    for name, text in (current.get("capacity") or {}).items():
        yield from capacity(text, f"status.capacity[{name}]")
    for name, state in (current.get("allocatedResourceStatuses") or {}).items():
        yield from _resource(name, "status.allocatedResourceStatus")
        if state not in _RESIZE:
            yield not_supported("status.allocatedResourceStatus", name, sorted(_RESIZE))
    for name, text in (current.get("allocatedResources") or {}).items():
        at = f"status.allocatedResources[{name}]"
        faults = list(_resource(name, "status.allocatedResources")) or list(capacity(text, at))
        yield from faults or amount_value("storage", text, at)


def _resource(name: str, path: str) -> FieldErrors:
    faults = list(check(path, name, names.qualified_name(name)))
    yield from faults
    if not faults and is_native(name) and name != "storage":
        yield not_supported(path, name, ("storage",))


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    if CLASS_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        yield CLASS_WARNING
    yield from claim_warnings(spec(obj), "spec")


def phase(obj: Object) -> str:
    """As tables show it."""
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else status(obj).get("phase") or ""


def _of_bound(value: str, obj: Object) -> str:
    return value if spec(obj).get("volumeName") else ""


RESOURCE = Resource(
    group="",
    plural="persistentvolumeclaims",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warn=_warn,
    generation=False,
    columns=(
        Column("Status", phase, description="Where the claim is in its life."),
        Column("Volume", lambda obj: spec(obj).get("volumeName") or "", description="The volume it is bound to."),
        Column(
            "Capacity",
            lambda obj: _of_bound((status(obj).get("capacity") or {}).get("storage") or "0", obj),
            description="Size of the volume.",
        ),
        Column(
            "Access Modes",
            lambda obj: _of_bound(short_modes(status(obj).get("accessModes")), obj),
            description="How the volume can be mounted.",
        ),
        Column("StorageClass", class_of, description="StorageClass of the pvc."),
        Column(
            "VolumeAttributesClass",
            lambda obj: "<unset>" if spec(obj).get(_ATTRIBUTES) is None else spec(obj)[_ATTRIBUTES],
            description="VolumeAttributesClass of the pvc.",
        ),
        AGE,
        Column(
            "VolumeMode",
            lambda obj: spec(obj).get("volumeMode") or "<unset>",
            description="Whether it is a block device or a file system.",
            priority=1,
        ),
    ),
)
