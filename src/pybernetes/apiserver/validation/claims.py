"""The spec of a PersistentVolumeClaim: its defaults and rules. Claims use it, and templates of claims."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.amounts import amount_value, positive, quantity
from pybernetes.apiserver.validation.fields import FieldErrors, check
from pybernetes.apiserver.validation.meta import label_selector

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
CLASS_WARNING = (
    f'metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use "storageClassName" attribute instead'
)
_OLD_SOURCES = {("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io")}


def default_claim_spec(spec: Object) -> None:
    """Sets defaults in place."""
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"


def normalize_sources(spec: Object, old: Mapping[str, Any] | None) -> None:
    """dataSource and dataSourceRef say the same (KEP-1495): what the client leaves out is copied from the other.

    The older field never held anything but a claim or a snapshot: of another kind it is dropped unless it is there.
    """
    before = old or {}
    ref = spec.get("dataSourceRef")
    if ref and ref.get("namespace") and not before.get("dataSourceRef"):
        spec.pop("dataSourceRef")  # CrossNamespaceVolumeDataSource is not on
        ref = None
    source = spec.get("dataSource")
    in_use = before.get("dataSource") or before.get("dataSourceRef")
    if source and not ref and not in_use and (source.get("kind"), source.get("apiGroup") or "") not in _OLD_SOURCES:
        spec.pop("dataSource")
        source = None
    if source is not None and ref is None:
        spec["dataSourceRef"] = dict(source)
    elif ref is not None and source is None and not ref.get("namespace"):
        spec["dataSource"] = {field: value for field, value in ref.items() if field != "namespace"}


def access_modes(modes: Sequence[str], path: str) -> FieldErrors:
    """Known ones; the one that only a single Pod may use stands alone."""
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and set(modes) & set(ACCESS_MODES) - {"ReadWriteOncePod"}:
        yield field_forbidden(path, "may not use ReadWriteOncePod with other access modes")


def validate_claim_spec(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """All faults of a claim's spec."""
    modes = spec.get("accessModes") or []
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from label_selector(spec["selector"], f"{path}.selector")
    yield from access_modes(modes, f"{path}.accessModes")
    at, storage = f"{path}.resources[storage]", storage_of(spec)
    if storage is None:
        yield required(at)
    else:
        faults = list(positive(storage, at))
        yield from faults or amount_value("storage", storage, at)
    yield from _class(spec, "storageClassName", path)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", mode, VOLUME_MODES)
    yield from _sources(spec, path)
    yield from _class(spec, "volumeAttributesClassName", path)


def _class(spec: Mapping[str, Any], field: str, path: str) -> FieldErrors:
    if spec.get(field):
        yield from check(f"{path}.{field}", spec[field], names.dns1123_subdomain(spec[field]))


def _sources(spec: Mapping[str, Any], path: str) -> FieldErrors:
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, given in (("dataSource", source), ("dataSourceRef", ref)):
        if given is not None:
            yield from _source(given, f"{path}.{field}")
    if source is None or ref is None:
        return
    if ref.get("namespace"):
        why = "may not be specified when dataSourceRef.namespace is specified"
        yield invalid_value(path, f"{path}.dataSource", why)
    elif any((source.get(field) or "") != (ref.get(field) or "") for field in ("apiGroup", "kind", "name")):
        yield invalid_value(path, f"{path}.dataSource", "must match dataSourceRef")


def _source(source: Mapping[str, Any], path: str) -> FieldErrors:
    kind, group, namespace = source.get("kind") or "", source.get("apiGroup") or "", source.get("namespace")
    for field in ("name", "kind"):
        if not source.get(field):
            yield required(f"{path}.{field}")
    if not group and kind != "PersistentVolumeClaim":
        yield invalid_value(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if group:
        yield from check(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    if namespace:
        yield from check(f"{path}.namespace", namespace, names.dns1123_label(namespace))


def storage_of(spec: Mapping[str, Any]) -> str | None:
    """How much a claim asks for."""
    asked: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return asked


def claim_warnings(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    """Of amounts that are no whole bytes."""
    for field in ("requests", "limits"):
        text = ((spec.get("resources") or {}).get(field) or {}).get("storage")
        amount = quantity(text)
        if amount is not None and amount.milli_value() % 1000:
            yield f'{path}.resources.{field}[storage]: fractional byte value "{text}" is invalid, must be an integer'


def class_of(obj: Object) -> str:
    """The StorageClass: the annotation of old leads."""
    annotation: str | None = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    found: str = (obj.get("spec") or {}).get("storageClassName") or ""
    return found if annotation is None else annotation


def difference(new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    """What has changed, a line for each side, for the faults of specs that may not change."""
    lines: list[str] = []
    for field in sorted({*new, *old}):
        for sign, side in (("-", old), ("+", new)):
            if new.get(field) != old.get(field) and field in side:
                lines.append(f"{sign} {field}: {orjson.dumps(side[field]).decode()}")
    return "\n".join(lines)
