"""Namespace: gone only when its content is: spec.finalizers hold it, the namespace controller empties it, lets go."""

from pybernetes.api import names
from pybernetes.api.errors import invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Part, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, status
from pybernetes.apiserver.validation.fields import FieldErrors
from pybernetes.apiserver.validation.meta import finalizer

NAME_LABEL = "kubernetes.io/metadata.name"


def _default(obj: Object) -> None:
    meta = obj.setdefault("metadata", {})
    if meta.get("name"):
        meta["labels"] = {**(meta.get("labels") or {}), NAME_LABEL: meta["name"]}
    current = obj["status"] = obj.get("status") or {}
    if not current.get("phase"):
        current["phase"] = "Active"


def _prepare(obj: Object, old: Object | None) -> None:
    spec = obj["spec"] = obj.get("spec") or {}
    if old is not None:
        obj["spec"] = old.get("spec") or {}
    else:
        obj["status"] = {"phase": "Active"}
        if "kubernetes" not in (spec.get("finalizers") or ()):
            spec["finalizers"] = [*(spec.get("finalizers") or ()), "kubernetes"]


def _finalizers(obj: Object, *, indexed: bool) -> FieldErrors:
    for index, value in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
        yield from finalizer(value, f"spec.finalizers[{index}]" if indexed else "spec.finalizers")


def _validate(obj: Object) -> FieldErrors:
    yield from _finalizers(obj, indexed=False)


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    phase = status(obj).get("phase") or ""
    for wanted, word, ends in (("Active", "empty", False), ("Terminating", "not empty", True)):
        if bool(obj["metadata"].get("deletionTimestamp")) == ends and phase != wanted:
            yield invalid_value("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` is {word}")


def _stays(obj: Object) -> bool:
    held = bool((obj.get("spec") or {}).get("finalizers"))
    if held:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return held


def _only_finalizers(obj: Object, old: Object) -> None:
    """PUT /finalize takes spec.finalizers over; the update that removes the last one removes the namespace."""
    obj["status"] = old.get("status") or {}


RESOURCE = Resource(
    group="",
    plural="namespaces",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_status=_validate_status,
    validate_name=names.dns1123_label,
    stays=_stays,
    generation=False,
    subresources={
        "finalize": Subresource(
            part=Part(prepare=_only_finalizers, validate=lambda obj, old: _finalizers(obj, indexed=True))
        )
    },
    columns=(
        Column("Status", lambda obj: status(obj).get("phase", ""), description="The status of the namespace."),
        AGE,
    ),
    selectable_fields={"status.phase": lambda obj: status(obj).get("phase", "")},
)
