"""Volumes of a Pod and the mounts of its containers."""

from collections.abc import Mapping, Set
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, not_found, optional_one_of
from pybernetes.apiserver.validation.pod.environment import VOLUME_FIELDS, field_ref, resource_ref

_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_REQUIRED = {
    "persistentVolumeClaim": ("claimName",),
    "nfs": ("server", "path"),
    "secret": ("secretName",),
    "configMap": ("name",),
    "csi": ("driver",),
    "iscsi": ("targetPortal", "iqn"),
    "hostPath": ("path",),
    "image": ("reference",),
    "flexVolume": ("driver",),
}
MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_volumes(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """spec.volumes."""
    seen: set[str] = set()
    for at, volume in each(spec, "volumes", path):
        yield from _source(volume, at)
        name = volume.get("name") or ""
        if not name:
            yield required(f"{at}.name")
            continue
        yield from check(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)


def _source(volume: Mapping[str, Any], path: str) -> FieldErrors:
    given = [field for field, value in volume.items() if field != "name" and value is not None]
    if not given:
        yield required(path, "must specify a volume type")
        return
    for extra in given[1:]:
        yield field_forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    kind = given[0]
    at, source = f"{path}.{kind}", volume[kind]
    for field in _REQUIRED.get(kind, ()):
        if not source.get(field):
            yield required(f"{at}.{field}")
    rule = _RULES.get(kind)
    if rule is not None:
        yield from rule(source, at)


def _empty_dir(source: Mapping[str, Any], path: str) -> FieldErrors:
    if (source.get("sizeLimit") or "").startswith("-"):
        yield field_forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _image(source: Mapping[str, Any], path: str) -> FieldErrors:
    policy = source.get("pullPolicy") or None
    yield from optional_one_of(f"{path}.pullPolicy", policy, ("Always", "IfNotPresent", "Never"))


def _host_path(source: Mapping[str, Any], path: str) -> FieldErrors:
    if ".." in (source.get("path") or "").split("/"):
        yield invalid_value(f"{path}.path", source["path"], "must not contain '..'")
    yield from optional_one_of(f"{path}.type", source.get("type"), _HOST_PATH_TYPES)


def _ephemeral(source: Mapping[str, Any], path: str) -> FieldErrors:
    if source.get("volumeClaimTemplate") is None:
        yield required(f"{path}.volumeClaimTemplate")


def _mode(value: int | None, path: str) -> FieldErrors:
    if value is not None and not 0 <= value <= 0o777:
        yield invalid_value(path, value, MODE)


def _keys(source: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for at, item in each(source, "items", path):
        if not item.get("key"):
            yield required(f"{at}.key")
        yield from _target(item, at)


def _target(item: Mapping[str, Any], path: str) -> FieldErrors:
    if not item.get("path"):
        yield required(f"{path}.path")
    else:
        yield from descending(item["path"], f"{path}.path")
        if item["path"].startswith("..") and not item["path"].startswith("../"):
            yield invalid_value(f"{path}.path", item["path"], "must not start with '..'")
    yield from _mode(item.get("mode"), f"{path}.mode")


def _downward(source: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for at, item in each(source, "items", path):
        yield from _target(item, at)
        if item.get("fieldRef") is not None:
            yield from field_ref(item["fieldRef"], f"{at}.fieldRef", VOLUME_FIELDS)
            if item.get("resourceFieldRef") is not None:
                yield invalid_value(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        elif item.get("resourceFieldRef") is not None:
            yield from resource_ref(item["resourceFieldRef"], f"{at}.resourceFieldRef", volume=True)
        else:
            yield required(at, "one of fieldRef and resourceFieldRef is required")


def _projected(source: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for at, part in each(source, "sources", path):
        given = [field for field, value in part.items() if value is not None]
        if not given:
            yield required(at, "must specify a volume type")
            continue
        for extra in given[1:]:
            yield field_forbidden(f"{at}.{extra}", "may not specify more than 1 volume type per source")
        kind = given[0]
        inner, body = f"{at}.{kind}", part[kind]
        if kind in ("secret", "configMap"):
            if not body.get("name"):
                yield required(f"{inner}.name")
            yield from _keys(body, inner)
        elif kind == "downwardAPI":
            yield from _downward(body, inner)
        elif kind == "serviceAccountToken":
            yield from _token(body, inner)


def _token(body: Mapping[str, Any], path: str) -> FieldErrors:
    seconds = body.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        yield invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds is not None and seconds > 1 << 32:
        yield invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not body.get("path"):
        yield required(f"{path}.path")
    else:
        yield from descending(body["path"], f"{path}.path")


_RULES = {
    "emptyDir": _empty_dir,
    "image": _image,
    "hostPath": _host_path,
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "projected": _projected,
    "ephemeral": _ephemeral,
}


def descending(target: str, path: str) -> FieldErrors:
    """A relative path that does not climb."""
    if target.startswith("/"):
        yield invalid_value(path, target, "must be a relative path")
    if ".." in target.split("/"):
        yield invalid_value(path, target, "must not contain '..'")


def validate_mounts(container: Mapping[str, Any], path: str, volumes: Set[str]) -> FieldErrors:
    """volumeMounts of one container; `volumes` are the names there are."""
    seen: set[str] = set()
    for at, mount in each(container, "volumeMounts", path):
        name = mount.get("name") or ""
        if not name:
            yield required(f"{at}.name")
        elif name not in volumes:
            yield not_found(f"{at}.name", name)
        where = mount.get("mountPath") or ""
        if not where:
            yield required(f"{at}.mountPath")
        if where in seen:
            yield invalid_value(f"{at}.mountPath", where, "must be unique")
        seen.add(where)
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                yield from descending(mount[field], f"{at}.{field}")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid_value(
                f"{at}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive"
            )
        yield from _propagation(mount, at, container)


def _propagation(mount: Mapping[str, Any], path: str, container: Mapping[str, Any]) -> FieldErrors:
    mode = mount.get("mountPropagation")
    yield from optional_one_of(f"{path}.mountPropagation", mode, ("Bidirectional", "HostToContainer", "None"))
    privileged = (container.get("securityContext") or {}).get("privileged")
    if mode == "Bidirectional" and not privileged:
        yield field_forbidden(
            f"{path}.mountPropagation", "Bidirectional mount propagation is available only to privileged containers"
        )
