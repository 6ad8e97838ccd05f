"""ObjectMeta of every kind: names, labels, annotations, owners, finalizers. The pipeline calls it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, field_forbidden, invalid_value, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable, non_negative
from pybernetes.apiserver.validation.spelling import fine

NameRule = Callable[[str], Iterable[str]]

ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes of all annotation keys and values together."""

_NO_OWNERS = {("v1", "Event")}
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def validate_object_meta(
    obj: Object, old: Object | None, namespaced: bool, name_rule: NameRule | None = None, *, core: bool = True
) -> list[FieldError]:
    """All faults of `metadata`; on update also of what may not change. `name_rule` None is a DNS-1123 subdomain.

    Not `core` are custom objects: their finalizers need no domain.
    """
    meta = obj.get("metadata") or {}
    errors = [*_names(meta, namespaced, name_rule or names.dns1123_subdomain)]
    errors += non_negative("metadata.generation", meta.get("generation"))
    errors += labels(meta.get("labels") or {}, "metadata.labels")
    errors += annotations(meta.get("annotations") or {}, "metadata.annotations")
    errors += _owners(meta.get("ownerReferences") or (), "metadata.ownerReferences")
    errors += _finalizers(meta.get("finalizers") or (), "metadata.finalizers", core)
    errors += _managed_fields(meta.get("managedFields") or (), "metadata.managedFields")
    if old is not None:
        errors += _update(meta, old.get("metadata") or {})
    return errors


def _names(meta: Mapping[str, Any], namespaced: bool, rule: NameRule) -> FieldErrors:
    if prefix := meta.get("generateName"):
        yield from check("metadata.generateName", prefix, rule(_before_suffix(prefix)))
    if name := meta.get("name"):
        yield from check("metadata.name", name, rule(name))
    else:
        yield required("metadata.name", "name or generateName is required")
    namespace = meta.get("namespace")
    if not namespaced:
        if namespace:
            yield field_forbidden("metadata.namespace", "not allowed on this type")
    elif not namespace:
        yield required("metadata.namespace")
    else:
        yield from check("metadata.namespace", namespace, names.dns1123_label(namespace))


def labels(values: Mapping[str, str], path: str) -> FieldErrors:
    """Keys and values of labels; also of nodeSelector and matchLabels."""
    for key, value in values.items():
        if not fine(names.qualified_name, key):
            yield from check(path, key, names.qualified_name(key))
        if not fine(names.label_value, value):
            yield from check(path, value, names.label_value(value))


def annotations(values: Mapping[str, str], path: str) -> FieldErrors:
    """Keys, and the size of all together."""
    for key in values:
        if not fine(names.qualified_name, key.lower()):
            yield from check(path, key, names.qualified_name(key.lower()))
    if sum(len(key.encode()) + len(value.encode()) for key, value in values.items()) > ANNOTATIONS_LIMIT:
        yield too_long(path, ANNOTATIONS_LIMIT)


def label_selector(selector: Mapping[str, Any], path: str) -> FieldErrors:
    """metav1.LabelSelector."""
    yield from labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, term in enumerate(selector.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        operator, values = term.get("operator", ""), term.get("values")
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                yield field_forbidden(
                    f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )
        else:
            yield invalid_value(f"{at}.operator", operator, "not a valid selector operator")
        key = term.get("key", "")
        yield from check(f"{at}.key", key, names.qualified_name(key))
        for position, value in enumerate(values or ()):
            yield from check(f"{at}.values[{position}]", value, names.label_value(value))


def template_meta(template: Mapping[str, Any], path: str) -> FieldErrors:
    """Labels and annotations of a template, whose name and the like nobody reads."""
    meta = template.get("metadata") or {}
    yield from labels(meta.get("labels") or {}, f"{path}.labels")
    yield from annotations(meta.get("annotations") or {}, f"{path}.annotations")


def only_labels(meta: Mapping[str, Any], path: str) -> FieldErrors:
    """metadata of a template whose objects are named by the server: labels and annotations, and nothing else."""
    yield from annotations(meta.get("annotations") or {}, f"{path}.annotations")
    yield from labels(meta.get("labels") or {}, f"{path}.labels")
    for field, value in meta.items():
        if value and field not in ("annotations", "labels"):
            yield field_forbidden(f"{path}.{field}", "cannot be set")


def _owners(owners: Iterable[Mapping[str, Any]], path: str) -> FieldErrors:
    controller = ""
    for index, owner in enumerate(owners):
        at = f"{path}[{index}]"
        version = owner.get("apiVersion", "")
        if not version.rpartition("/")[2]:
            yield invalid_value(f"{at}.apiVersion", version, "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"{at}.{field}", "", "must not be empty")
        if (version, owner.get("kind")) in _NO_OWNERS:
            yield invalid_value(path, owner, f"{version}, Kind={owner['kind']} is disallowed from being an owner")
        if owner.get("controller"):
            if controller:
                yield invalid_value(
                    path,
                    list(owners),
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {owner.get('name', '')}",
                )
            controller = owner.get("name", "")


def finalizer(value: str, path: str) -> FieldErrors:
    """The name of one finalizer."""
    yield from check(path, value, names.qualified_name(value))
    if "/" not in value and value not in _STANDARD_FINALIZERS:
        yield invalid_value(path, value, "name is neither a standard finalizer name nor is it fully qualified")


def _finalizers(values: Iterable[str], path: str, core: bool) -> FieldErrors:
    values = list(values)
    for value in values:
        yield from finalizer(value, path) if core else check(path, value, names.qualified_name(value))
    if "orphan" in values and "foregroundDeletion" in values:
        yield invalid_value(path, values, "finalizer orphan and foregroundDeletion cannot be both set")


def _managed_fields(entries: Iterable[Mapping[str, Any]], path: str) -> FieldErrors:
    for index, entry in enumerate(entries):
        at = f"{path}[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            yield invalid_value(f"{at}.operation", entry.get("operation", ""), "must be `Apply` or `Update`")
        if entry.get("fieldsType", "FieldsV1") != "FieldsV1":
            yield invalid_value(f"{at}.fieldsType", entry["fieldsType"], "must be `FieldsV1`")
        if len(entry.get("manager", "").encode()) > 128:
            yield too_long(f"{at}.manager", 128)


def _update(meta: Mapping[str, Any], old: Mapping[str, Any]) -> FieldErrors:
    if old.get("deletionTimestamp"):
        added = sorted(set(meta.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            text = ", ".join(f'"{name}"' for name in added)
            yield field_forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{text}}}",
            )
    if (meta.get("generation") or 0) < (old.get("generation") or 0):
        yield invalid_value("metadata.generation", meta.get("generation") or 0, "must not be decremented")
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        yield from immutable(f"metadata.{field}", meta.get(field), old.get(field))


def _before_suffix(prefix: str) -> str:
    """A generateName as names are checked: its last dash stands for what will follow."""
    return f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def keep_metadata(obj: Object, old: Object) -> None:
    """For writes of a part that touch nothing else: what the client may change in metadata stays as stored."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        _keep(field, obj, old)


def keep_labels(obj: Object, old: Object) -> None:
    """For writes of the status of a kind whose labels only a write of the whole changes."""
    _keep("labels", obj, old)


def _keep(field: str, obj: Object, old: Object) -> None:
    if field in old["metadata"]:
        obj["metadata"][field] = old["metadata"][field]
    else:
        obj["metadata"].pop(field, None)


def changes_only_ownership(obj: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    """Whether an update touches nothing but finalizers and owner references: the garbage collector's work."""
    return old is not None and _without_ownership(obj) == _without_ownership(old)


def _without_ownership(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    left_out = ("finalizers", "ownerReferences", "managedFields", "resourceVersion")
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in left_out}
    return {**obj, "metadata": metadata}
