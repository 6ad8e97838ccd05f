"""PersistentVolume: a piece of storage of the cluster. Where it lies never changes."""

from collections.abc import Iterator
from typing import Any

from pybernetes.aio.clock import rfc3339
from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Call, Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.resources.core.persistentvolumeclaims import attributes_change, phase
from pybernetes.apiserver.validation.amounts import capacity, positive
from pybernetes.apiserver.validation.claims import (
    CLASS_ANNOTATION,
    CLASS_WARNING,
    VOLUME_MODES,
    access_modes,
    class_of,
    difference,
)
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors, check, immutable
from pybernetes.apiserver.validation.node_labels import RENAMED, deprecated_label
from pybernetes.apiserver.validation.pod.scheduling import node_selector
from pybernetes.apiserver.validation.volume_sources import SOURCES, volume_source
from pybernetes.rules.accessmodes import short_modes

_POLICIES = ("Delete", "Recycle", "Retain")
_ATTRIBUTES = "volumeAttributesClassName"
_CHANGED = "lastPhaseTransitionTime"
_GONE = {
    "cephfs": ("cephfs", "v1.28", "v1.31"),
    "photonPersistentDisk": ("photonPersistentDisk", "v1.11", "v1.16"),
    "scaleIO": ("scaleIO", "v1.16", "v1.22"),
    "storageos": ("storageOS", "v1.22", "v1.25"),
    "glusterfs": ("glusterfs", "v1.25", "v1.26"),
    "rbd": ("rbd", "v1.28", "v1.31"),
}
_RECYCLE = (
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
    "Instead, the recommended approach is to use dynamic provisioning."
)
_SOURCE_DEFAULTS: dict[str, dict[str, Any]] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "hostPath": {"type": ""},
}


def _default(obj: Object) -> None:
    own = obj["spec"] = obj.get("spec") or {}
    if not own.get("persistentVolumeReclaimPolicy"):
        own["persistentVolumeReclaimPolicy"] = "Retain"
    if own.get("volumeMode") is None:
        own["volumeMode"] = "Filesystem"
    for name, defaults in _SOURCE_DEFAULTS.items():
        source = own.get(name)
        if source is not None:
            own[name] = {**defaults, **{field: value for field, value in source.items() if _kept(value, name)}}
    current = obj["status"] = obj.get("status") or {}
    if not current.get("phase"):
        current["phase"] = "Pending"


def _kept(value: object, source: str) -> bool:
    """Empty texts are defaulted but of pointers, which azureDisk's and hostPath's fields are."""
    return value is not None and (value != "" or source in ("azureDisk", "hostPath"))


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        obj["status"] = {"phase": "Pending"}


async def _time_phase(call: Call, obj: Object, old: Object | None) -> None:
    """Notes when the phase changed, unless the writer says when (KEP-3762)."""
    current, before = obj["status"], status(old) if old is not None else {}
    given = current.get(_CHANGED)
    if old is not None and current.get("phase") == before.get("phase"):
        if given is None and before.get(_CHANGED) is not None:
            current[_CHANGED] = before[_CHANGED]
    elif given is None or given == before.get(_CHANGED):
        current[_CHANGED] = rfc3339(call.registry.clock.now())


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    modes, amounts = own.get("accessModes") or [], own.get("capacity") or {}
    if not modes:
        yield required("spec.accessModes")
    yield from access_modes(modes, "spec.accessModes")
    if not amounts:
        yield required("spec.capacity")
    if list(amounts) != ["storage"]:
        yield not_supported("spec.capacity", amounts, ("storage",))
    for name, text in amounts.items():
        yield from capacity(text, f"spec.capacity[{name}]")
        yield from positive(text, f"spec.capacity[{name}]")
    policy = own.get("persistentVolumeReclaimPolicy") or ""
    if policy and policy not in _POLICIES:
        yield not_supported("spec.persistentVolumeReclaimPolicy", policy, _POLICIES)
    affinity = own.get("nodeAffinity")
    if affinity is not None and affinity.get("required") is None:
        yield required("spec.nodeAffinity.required", "must specify required node constraints")
    elif affinity is not None:
        yield from node_selector(affinity["required"], "spec.nodeAffinity.required")
    yield from volume_source(own, "spec")
    yield from _of_source(obj)
    yield from _classes(obj)


def _of_source(obj: Object) -> FieldErrors:
    """What a source allows of the rest."""
    own = spec(obj)
    iscsi, path = own.get("iscsi") or {}, (own.get("hostPath") or {}).get("path")
    portal = iscsi.get("targetPortal") or ""
    if iscsi.get("initiatorName") is not None and len(f"{obj['metadata'].get('name', '')}:{portal}".encode()) > 64:
        why = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
            "if iscsi.initiatorName is specified."
        )
        yield invalid_value("spec.iscsi.targetportal", portal, why)
    if path and not path.replace("/", "").strip(".") and own.get("persistentVolumeReclaimPolicy") == "Recycle":
        why = "may not be 'recycle' for a hostPath mount of '/'"
        yield field_forbidden("spec.persistentVolumeReclaimPolicy", why)


def _classes(obj: Object) -> FieldErrors:
    own = spec(obj)
    name, attributes, mode = own.get("storageClassName") or "", own.get(_ATTRIBUTES), own.get("volumeMode")
    if name:
        yield from check("spec.storageClassName", name, names.dns1123_subdomain(name))
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported("spec.volumeMode", mode, VOLUME_MODES)
    if attributes is None:
        return
    if not attributes:
        yield required(f"spec.{_ATTRIBUTES}", "an empty string is disallowed")
    else:
        yield from check(f"spec.{_ATTRIBUTES}", attributes, names.dns1123_subdomain(attributes))
    if own.get("csi") is None:
        yield required("spec.csi", "has to be specified when using volumeAttributesClassName")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    new, before = _sources(obj), _sources(old)
    secret = "controllerExpandSecretRef"
    if before.get("csi") and new.get("csi") and before["csi"].get(secret) is None:
        new["csi"] = {field: value for field, value in new["csi"].items() if field != secret}
    if new != before:
        why = "spec.persistentvolumesource is immutable after creation"
        yield field_forbidden("spec.persistentvolumesource", f"{why}\n{difference(new, before)}")
    yield from immutable("volumeMode", spec(obj).get("volumeMode"), spec(old).get("volumeMode"))
    held, wanted = spec(old).get("nodeAffinity"), spec(obj).get("nodeAffinity")
    if held is not None and wanted != held and _renamed(wanted, held) != wanted:
        yield invalid_value("nodeAffinity", wanted, f"{IMMUTABLE}, except for updating from beta label to GA")
    yield from attributes_change(spec(obj), spec(old), empty=False)


def _sources(obj: Object) -> dict[str, Any]:
    return {field: spec(obj)[field] for field in SOURCES if spec(obj).get(field) is not None}


def _renamed(wanted: Any, held: Any) -> Any:
    """`held` with those keys under their new names that have them so in `wanted`."""
    if isinstance(held, dict):
        other = wanted if isinstance(wanted, dict) else {}
        return {
            field: other["key"]
            if field == "key" and isinstance(value, str) and RENAMED.get(value, ("", ""))[1] == other.get("key")
            else _renamed(other.get(field), value)
            for field, value in held.items()
        }
    if isinstance(held, list) and isinstance(wanted, list) and len(held) == len(wanted):
        return [_renamed(one, other) for one, other in zip(wanted, held, strict=True)]
    return held


def _warn(obj: Object, old: Object | None) -> Iterator[str]:
    own = spec(obj)
    if CLASS_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        yield CLASS_WARNING
    if own.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield _RECYCLE
    terms = ((own.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        for position, rule in enumerate(term.get("matchExpressions") or ()):
            at = f"spec.nodeAffinity.required.nodeSelectorTerms[{index}].matchExpressions[{position}].key"
            yield from deprecated_label(at, rule.get("key") or "")
    for field, (called, since, until) in _GONE.items():
        if own.get(field) is not None:
            yield f"spec.{called}: deprecated in {since}, non-functional in {until}+"


def _claim(obj: Object) -> str:
    claim = spec(obj).get("claimRef")
    return f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim is not None else ""


RESOURCE = Resource(
    group="",
    plural="persistentvolumes",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    before_write=_time_phase,
    warn=_warn,
    generation=False,
    columns=(
        Column(
            "Capacity", lambda obj: (spec(obj).get("capacity") or {}).get("storage") or "0", description="Its size."
        ),
        Column("Access Modes", lambda obj: short_modes(spec(obj).get("accessModes")), description="How to mount it."),
        Column(
            "Reclaim Policy",
            lambda obj: spec(obj).get("persistentVolumeReclaimPolicy") or "",
            description="What happens to it when its claim is gone.",
        ),
        Column("Status", phase, description="Where the volume is in its life."),
        Column("Claim", _claim, description="The claim it is bound to."),
        Column("StorageClass", class_of, description="StorageClass of the pv."),
        Column(
            "VolumeAttributesClass",
            lambda obj: "<unset>" if spec(obj).get(_ATTRIBUTES) is None else spec(obj)[_ATTRIBUTES],
            description="VolumeAttributesClass of the pv.",
        ),
        Column("Reason", lambda obj: status(obj).get("reason") or "", description="Why it is in that status."),
        AGE,
        Column(
            "VolumeMode",
            lambda obj: spec(obj).get("volumeMode") or "<unset>",
            description="Whether it is a block device or a file system.",
            priority=1,
        ),
    ),
)
