"""StorageVersionMigration: rewrite all objects of a resource in the version that is stored now. Only asked for, so far."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import NAME, spec, status
from pybernetes.apiserver.validation.conditions import is_true, validate_conditions
from pybernetes.apiserver.validation.fields import FieldErrors, immutable, non_negative


def _asked(obj: Object) -> Mapping[str, Any]:
    return spec(obj).get("resource") or {}


def _validate(obj: Object) -> FieldErrors:
    if not _asked(obj).get("resource"):
        yield required("spec.resource.resource", "resource is required")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    for field in ("group", "resource"):
        yield from immutable(field, _asked(obj).get(field) or "", _asked(old).get(field))


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    path = "status.resourceVersion"
    version, before = status(obj).get("resourceVersion") or "", status(old).get("resourceVersion") or ""
    if version and not re.fullmatch("[-+]?[0-9]{1,18}", version):
        why = f'failed to parse resource version "{version}": strconv.ParseInt: parsing "{version}": invalid syntax'
        yield invalid_value(path, version, why)
    elif version:
        yield from non_negative(path, int(version))
    yield from validate_conditions(status(obj))
    if before and version != before:
        yield invalid_value(path, version, "cannot be updated")
    yield from _validate_states(obj, old)


def _validate_states(obj: Object, old: Object) -> FieldErrors:
    """It runs, or has succeeded or failed, and the end is the end."""
    succeeded, failed, running = (is_true(obj, kind) for kind in ("Succeeded", "Failed", "Running"))
    rules = (
        (succeeded and failed, "Both success and failed conditions cannot be true at the same time"),
        (succeeded and running, "Running condition cannot be true when success condition is true"),
        (failed and running, "Running condition cannot be true when failed condition is true"),
        (is_true(old, "Succeeded") and not succeeded, "Success condition cannot be set to false once it is true"),
        (is_true(old, "Failed") and not failed, "Failed condition cannot be set to false once it is true"),
    )
    for broken, text in rules:
        if broken:
            yield invalid_value("status.conditions", status(obj).get("conditions") or [], text)


def _resource(obj: Object) -> str:
    asked = _asked(obj)
    name, group = asked.get("resource") or "", asked.get("group") or ""
    return f"{name}.{group}" if group else str(name)


RESOURCE = Resource(
    group="storagemigration.k8s.io",
    plural="storageversionmigrations",
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    generation=False,
    unconditional_update=False,
    columns=(
        NAME,
        Column("Resource", _resource, description="The resource whose objects are rewritten."),
    ),
)
