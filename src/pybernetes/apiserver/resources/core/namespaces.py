"""Namespace: gone only when its content is: spec.finalizers hold it, the namespace controller empties it, lets go."""

from pybernetes.api import names
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.resource import Call, Column, Resource, Subresource
from pybernetes.apiserver.resources._columns import AGE, status
from pybernetes.apiserver.validation.fields import FieldErrors, check, optional_one_of

NAMESPACES = GroupResource("", "namespaces")
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


def _validate(obj: Object) -> FieldErrors:
    for value in (obj.get("spec") or {}).get("finalizers") or ():
        yield from check("spec.finalizers", value, names.qualified_name(value))


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    phase = status(obj).get("phase")
    yield from optional_one_of("status.phase", phase, ("Active", "Terminating"))


def _stays(obj: Object) -> bool:
    held = bool((obj.get("spec") or {}).get("finalizers"))
    if held:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return held


async def _finalize(call: Call, body: Object) -> Object:
    """PUT /finalize: takes spec.finalizers over; the last one's removal removes the namespace."""
    wanted = (body.get("spec") or {}).get("finalizers") or []

    def change(obj: Object) -> Object:
        spec = {**(obj.get("spec") or {})}
        spec.pop("finalizers", None)
        obj["spec"] = {**spec, "finalizers": wanted} if wanted else spec
        return obj

    if call.dry_run:
        return change(await call.registry.get(NAMESPACES, "", call.name))
    updated = await call.registry.update(NAMESPACES, "", call.name, change)
    meta = updated["metadata"]
    if meta.get("deletionTimestamp") and not wanted and not meta.get("finalizers"):
        await call.registry.delete(NAMESPACES, "", call.name)
    return updated


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
    subresources={"finalize": Subresource(create=_finalize)},
    columns=(
        Column("Status", lambda obj: status(obj).get("phase", ""), description="The status of the namespace."),
        AGE,
    ),
    selectable_fields={"status.phase": lambda obj: status(obj).get("phase", "")},
)
