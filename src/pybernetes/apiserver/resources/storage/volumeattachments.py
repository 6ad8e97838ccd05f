"""VolumeAttachment: the wish that a volume be attached to a Node, and what came of it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, required, too_long
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.validation.claims import access_modes
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors, check
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.meta import keep_metadata
from pybernetes.apiserver.validation.storage import GROUP
from pybernetes.apiserver.validation.volume_sources import csi_driver_name, volume_source

_METADATA_SIZE, _MESSAGE_SIZE = 256 * 1024, 1024
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_INLINE = "in the context of inline volumes"


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    attacher, node = own.get("attacher") or "", own.get("nodeName") or ""
    yield from csi_driver_name(attacher, "spec.attacher")
    yield from _source(own.get("source") or {}, "spec.source")
    yield from check("spec.nodeName", node, names.dns1123_subdomain(node))
    yield from _status(obj)


def _source(source: Mapping[str, Any], at: str) -> FieldErrors:
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if name is None and inline is None:
        yield required(at, _ONE_SOURCE)
    elif name is not None and inline is not None:
        yield field_forbidden(at, _ONE_SOURCE)
    elif inline is not None:
        yield from _inline_volume(inline, f"{at}.inlineVolumeSpec")
    elif not name:
        yield required(f"{at}.persistentVolumeName", "must specify non empty persistentVolumeName")
    if name is not None:
        yield from check(f"{at}.persistentVolumeName", name, names.dns1123_subdomain(name))


def _inline_volume(volume: Mapping[str, Any], at: str) -> FieldErrors:
    """A volume that is no object: only CSI, and nothing that binds it."""
    for field in ("claimRef", "capacity"):
        if volume.get(field):
            yield field_forbidden(f"{at}.{field}", f"may not be specified {_INLINE}")
    if volume.get("csi") is None:
        yield required(f"{at}.csi", f"has to be specified {_INLINE}")
    modes = volume.get("accessModes") or []
    if not modes:
        yield required(f"{at}.accessModes")
    yield from access_modes(modes, f"{at}.accessModes")
    yield from volume_source(volume, at)


def _status(obj: Object) -> FieldErrors:
    own = status(obj)
    metadata = own.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > _METADATA_SIZE:
        yield too_long("status.attachmentMetadata", _METADATA_SIZE)
    for field in ("attachError", "detachError"):
        error = own.get(field) or {}
        if len((error.get("message") or "").encode()) > _MESSAGE_SIZE:
            # The limit that is told is the other one's; upstream says so.
            yield too_long(f"status.{field}.message", _METADATA_SIZE)
        code = error.get("errorCode")
        if code is not None and code < 0:
            yield invalid_value(f"status.{field}.errorCode", code, "must be between 0 and 2147483647, inclusive")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    if spec(obj) != spec(old):
        yield invalid_value("spec", internal(spec(obj), "io.k8s.api.storage.v1.VolumeAttachmentSpec"), IMMUTABLE)


RESOURCE = Resource(
    group=GROUP,
    plural="volumeattachments",
    prepare_status=keep_metadata,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=lambda obj, old: _validate(obj),
    generation=False,
    unconditional_update=False,
    columns=(
        Column("Attacher", lambda obj: spec(obj).get("attacher", ""), format="name", description="The driver."),
        Column(
            "PV",
            lambda obj: (spec(obj).get("source") or {}).get("persistentVolumeName") or "",
            description="The volume.",
        ),
        Column("Node", lambda obj: spec(obj).get("nodeName", ""), description="Where it is attached."),
        Column("Attached", lambda obj: status(obj).get("attached", False), "boolean", description="Whether it is."),
        AGE,
    ),
)
