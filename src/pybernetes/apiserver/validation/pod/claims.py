"""Claims that a Pod spec carries: the template of an ephemeral volume, and resourceClaims (DRA)."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.quantity import parse
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import annotations, label_selector, labels

_ACCESS = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_MODES = ("Block", "Filesystem")
_ONE_OF = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
_EITHER = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"


def validate_claim_template(template: Mapping[str, Any], path: str) -> FieldErrors:
    """A PersistentVolumeClaimTemplate: labels and annotations are all that its metadata may have."""
    meta = template.get("metadata") or {}
    yield from annotations(meta.get("annotations") or {}, f"{path}.metadata.annotations")
    yield from labels(meta.get("labels") or {}, f"{path}.metadata.labels")
    for field, value in meta.items():
        if value and field not in ("annotations", "labels"):
            yield field_forbidden(f"{path}.metadata.{field}", "cannot be set")
    yield from _claim(template.get("spec") or {}, f"{path}.spec")


def _claim(spec: Mapping[str, Any], path: str) -> FieldErrors:
    modes = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from label_selector(spec["selector"], f"{path}.selector")
    for mode in modes:
        if mode not in _ACCESS:
            yield not_supported(f"{path}.accessModes", mode, _ACCESS)
    if "ReadWriteOncePod" in modes and any(mode in _ACCESS for mode in modes if mode != "ReadWriteOncePod"):
        yield field_forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    yield from _storage(spec, path)
    if spec.get("storageClassName"):
        name = spec["storageClassName"]
        yield from check(f"{path}.storageClassName", name, names.dns1123_subdomain(name))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in _MODES:
        yield not_supported(f"{path}.volumeMode", spec["volumeMode"], _MODES)
    for field in ("dataSource", "dataSourceRef"):
        if spec.get(field) is not None:
            yield from _source(spec[field], f"{path}.{field}")


def _source(source: Mapping[str, Any], path: str) -> FieldErrors:
    for part in ("name", "kind"):
        if not source.get(part):
            yield required(f"{path}.{part}")
    if not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield invalid_value(path, source.get("kind") or "", why)


def _storage(spec: Mapping[str, Any], path: str) -> FieldErrors:
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = f"{path}.resources[storage]"
    if amount is None:
        yield required(at)
        return
    try:
        if parse(amount).nanos <= 0:
            yield invalid_value(at, amount, "must be greater than zero")
    except ValueError:
        return


def validate_resource_claims(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """spec.resourceClaims."""
    seen: set[str] = set()
    for at, claim in each(spec, "resourceClaims", path):
        name = claim.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            yield from check(f"{at}.name", name, names.dns1123_label(name))
            seen.add(name)
        given = [f for f in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(f) is not None]
        if len(given) != 1:
            yield invalid_value(at, claim, _ONE_OF if given else _EITHER)
        for field in given:
            yield from check(f"{at}.{field}", claim[field], names.dns1123_subdomain(claim[field]))
