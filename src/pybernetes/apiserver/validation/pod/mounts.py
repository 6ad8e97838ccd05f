"""volumeMounts and volumeDevices of containers."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, not_found
from pybernetes.apiserver.validation.pod.files import climbs, descending
from pybernetes.apiserver.validation.pod.volumes import Volumes

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def validate_mounts(container: Mapping[str, Any], path: str, volumes: Volumes) -> FieldErrors:
    """volumeMounts; `volumes` are the good ones by name."""
    devices = {
        device.get("name") or "": device.get("devicePath") or "" for device in container.get("volumeDevices") or ()
    }
    seen: set[str] = set()
    for index, mount in enumerate(container["volumeMounts"]):
        name, where = mount.get("name") or "", mount.get("mountPath") or ""
        volume = volumes.get(name)
        if volume is None or not where or where in seen or devices:
            yield from _place(mount, f"{path}.volumeMounts[{index}]", volumes, seen, devices)
        seen.add(where)
        if len(mount) > 2:
            yield from _more(mount, f"{path}.volumeMounts", index, container)


def _place(
    mount: Mapping[str, Any], path: str, volumes: Volumes, seen: set[str], devices: Mapping[str, str]
) -> FieldErrors:
    name, where = mount.get("name") or "", mount.get("mountPath") or ""
    if not name:
        yield required(f"{path}.name")
    if name not in volumes:
        yield not_found(f"{path}.name", name)
    if not where:
        yield required(f"{path}.mountPath")
    if where in seen:
        yield invalid_value(f"{path}.mountPath", where, "must be unique")
    if name in devices:
        yield invalid_value(f"{path}.name", name, "must not already exist in volumeDevices")
    if where in devices.values():
        yield invalid_value(f"{path}.mountPath", where, "must not already exist as a path in volumeDevices")


def _more(mount: Mapping[str, Any], path: str, index: int, container: Mapping[str, Any]) -> FieldErrors:
    """What few mounts have. Upstream names the list in most of these faults, not the mount."""
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    if sub:
        yield from descending(sub, f"{path}.subPath")
    if expression:
        if sub:
            why = "subPathExpr and subPath are mutually exclusive"
            yield invalid_value(f"{path}[{index}].subPathExpr", expression, why)
        yield from descending(expression, f"{path}.subPathExpr")
    if mount.get("mountPropagation") is not None:
        yield from _propagation(mount["mountPropagation"], f"{path}.mountPropagation", container)
    if mount.get("recursiveReadOnly") is not None:
        yield from _recursive(mount, f"{path}.recursiveReadOnly")


def _propagation(mode: str, path: str, container: Mapping[str, Any]) -> FieldErrors:
    if mode not in _PROPAGATIONS:
        yield not_supported(path, mode, _PROPAGATIONS)
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        yield field_forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def _recursive(mount: Mapping[str, Any], path: str) -> FieldErrors:
    wanted = mount["recursiveReadOnly"]
    if wanted not in _RECURSIVE:
        yield not_supported(path, wanted, _RECURSIVE)
    elif wanted != "Disabled":
        if not mount.get("readOnly"):
            yield field_forbidden(path, "may only be specified when readOnly is true")
        if mount.get("mountPropagation") not in (None, "None"):
            yield field_forbidden(path, "may only be specified when mountPropagation is None or not specified")


def validate_devices(container: Mapping[str, Any], path: str, volumes: Volumes) -> FieldErrors:
    """volumeDevices: claims as raw blocks."""
    mounts = {mount.get("name") or "": mount.get("mountPath") or "" for mount in container.get("volumeMounts") or ()}
    seen: set[str] = set()
    seen_names: set[str] = set()
    for index, device in enumerate(container["volumeDevices"]):
        at = f"{path}.volumeDevices[{index}]"
        name, where = device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            yield required(f"{at}.name")
        if name in seen_names:
            yield invalid_value(f"{at}.name", name, "must be unique")
        if volume is None:
            yield not_found(f"{at}.name", name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid_value(f"{at}.name", name, why)
        if not where:
            yield required(f"{at}.devicePath")
        if where in seen:
            yield invalid_value(f"{at}.devicePath", where, "must be unique")
        if climbs(where):
            yield invalid_value(f"{at}.devicePath", where, "can not contain backsteps ('..')")
        else:
            seen.add(where)
        if name in mounts:
            yield invalid_value(f"{at}.name", name, "must not already exist in volumeMounts")
        if where in mounts.values():
            yield invalid_value(f"{at}.devicePath", where, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)
