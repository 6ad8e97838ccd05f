"""ConfigMap: data for Pods."""

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors, check

MAX_SIZE = 1024 * 1024
"""Bytes of all values together."""


def _data(obj: Object) -> dict[str, str]:
    return {**(obj.get("data") or {}), **(obj.get("binaryData") or {})}


def _validate(obj: Object) -> FieldErrors:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for field, values in (("data", data), ("binaryData", binary)):
        for key in values:
            yield from check(f"{field}[{key}]", key, names.config_key(key))
    for key in sorted(set(data) & set(binary)):
        yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(value.encode()) for value in data.values()) + sum(len(value) * 3 // 4 for value in binary.values())
    if size > MAX_SIZE:
        yield too_long("", MAX_SIZE)


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield field_forbidden("immutable", "field is immutable when `immutable` is set")
    for field in ("data", "binaryData"):
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield field_forbidden(field, "field is immutable when `immutable` is set")


RESOURCE = Resource(
    group="",
    plural="configmaps",
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    columns=(
        Column("Data", lambda obj: len(_data(obj)), "integer", description="Number of keys in data and binaryData."),
        AGE,
    ),
)
