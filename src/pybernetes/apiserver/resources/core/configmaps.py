"""ConfigMap: data for Pods."""

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE
from pybernetes.apiserver.validation.fields import FieldErrors, check

MAX_SIZE = 1024 * 1024
"""Bytes of all values together."""
SET = "field is immutable when `immutable` is set"


def decoded_size(text: str) -> int:
    """Bytes that base64 stands for."""
    return len(text) * 3 // 4 - (len(text) - len(text.rstrip("=")))


def _validate(obj: Object) -> FieldErrors:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for key in data:
        yield from check(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    for key in binary:
        yield from check(f"binaryData[{key}]", key, names.config_key(key))
    size = sum(len(value.encode()) for value in data.values()) + sum(map(decoded_size, binary.values()))
    if size > MAX_SIZE:
        yield too_long("[]", MAX_SIZE)  # the path of the whole object, as Go prints it


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield field_forbidden("immutable", SET)
    for field in ("data", "binaryData"):
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield field_forbidden(field, SET)


RESOURCE = Resource(
    group="",
    plural="configmaps",
    validate=_validate,
    validate_update=_validate_update,
    generation=False,
    columns=(
        Column(
            "Data",
            lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ()),
            description="Number of keys in data and binaryData.",
        ),
        AGE,
    ),
)
