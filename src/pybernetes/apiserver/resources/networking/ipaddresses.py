"""IPAddress: an address that is taken, and by what."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import NAME, NONE, spec
from pybernetes.apiserver.validation.addresses import canonical_address
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable, reference_name

_PARENT = "spec.parentRef"


def _validate(obj: Object) -> FieldErrors:
    parent = spec(obj).get("parentRef")
    if parent is None:
        yield required(_PARENT)
        return
    group, namespace = parent.get("group") or "", parent.get("namespace") or ""
    if group:
        yield from check(f"{_PARENT}.group", group, names.dns1123_subdomain(group))
    yield from reference_name(f"{_PARENT}.resource", parent.get("resource"))
    yield from reference_name(f"{_PARENT}.name", parent.get("name"))
    if namespace:
        yield from check(f"{_PARENT}.namespace", namespace, names.path_segment(namespace))


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable(_PARENT, spec(obj).get("parentRef"), spec(old).get("parentRef"))


def _parent(obj: Object) -> str:
    parent: Mapping[str, Any] | None = spec(obj).get("parentRef")
    if parent is None:
        return NONE
    resource = ".".join(part for part in (parent.get("resource"), parent.get("group")) if part).lower()
    namespace = f"{parent['namespace']}/" if parent.get("namespace") else ""
    return f"{resource}/{namespace}{parent.get('name') or ''}"


RESOURCE = Resource(
    group="networking.k8s.io",
    plural="ipaddresses",
    validate=_validate,
    validate_update=_validate_update,
    validate_name=canonical_address,
    generation=False,
    columns=(NAME, Column("ParentRef", _parent, description="What has it.")),
)
