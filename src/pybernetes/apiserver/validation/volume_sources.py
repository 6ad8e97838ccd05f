"""Where the bytes of a PersistentVolume are: every kind of source, of which it has exactly one."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, check, optional_one_of

Source = Mapping[str, Any]
Rule = Callable[[Source, str], FieldErrors]

_HOST_PATHS = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PAIRS = "must be a host:port pair or multiple pairs separated by commas"
_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)\Z", re.ASCII),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}\Z"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}\Z"),
}
_FORMAT = "must be valid format"


def _requires(*fields: str) -> Rule:
    def rule(source: Source, path: str) -> FieldErrors:
        for field in fields:
            if not source.get(field):
                yield required(f"{path}.{field}")

    return rule


def no_backsteps(value: str, path: str) -> FieldErrors:
    """A path that does not climb."""
    if ".." in value.split("/"):
        yield invalid_value(path, value, "must not contain '..'")


def host_path(source: Source, path: str) -> FieldErrors:
    """A file or folder of the node."""
    where = source.get("path") or ""
    if not where:
        yield required(f"{path}.path")
        return
    yield from no_backsteps(where, f"{path}.path")
    yield from optional_one_of(f"{path}.type", source.get("type"), _HOST_PATHS)


def _disk(field: str) -> Rule:
    def rule(source: Source, path: str) -> FieldErrors:
        yield from _requires(field)(source, path)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            yield invalid_value(f"{path}.partition", partition, "must be between 1 and 255, inclusive")

    return rule


def _glusterfs(source: Source, path: str) -> FieldErrors:
    yield from _requires("endpoints", "path")(source, path)
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        why = "if the endpointnamespace is set, it must be a valid namespace name"
        yield invalid_value(f"{path}.endpointsNamespace", "", why)
    elif namespace is not None:
        yield from check(f"{path}.endpointsNamespace", namespace, names.dns1123_label(namespace))


def _flocker(source: Source, path: str) -> FieldErrors:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    if not name and not uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        yield invalid_value(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def nfs(source: Source, path: str) -> FieldErrors:
    """A share of a file server."""
    yield from _requires("server", "path")(source, path)
    if not (source.get("path") or "").startswith("/"):
        yield invalid_value(f"{path}.path", source.get("path") or "", "must be an absolute path")


def _quobyte(source: Source, path: str) -> FieldErrors:
    registry = source.get("registry") or ""
    if not registry:
        yield required(f"{path}.registry", _PAIRS)
    elif len((source.get("tenant") or "").encode()) >= 65:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*", pair):
                yield invalid_value(f"{path}.registry", registry, _PAIRS)
    if not source.get("volume"):
        yield required(f"{path}.volume")


def _iscsi(source: Source, path: str) -> FieldErrors:
    yield from _requires("targetPortal")(source, path)
    iqn = source.get("iqn") or ""
    if not iqn:
        yield required(f"{path}.iqn")
    else:
        yield from _initiator(iqn, f"{path}.iqn")
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        yield invalid_value(f"{path}.lun", lun, "must be between 0 and 255, inclusive")
    secret = source.get("secretRef")
    for field in ("chapAuthDiscovery", "chapAuthSession"):
        if source.get(field) and secret is None:
            yield required(f"{path}.secretRef")
    if secret is not None and not secret.get("name"):
        yield required(f"{path}.secretRef.name")
    if source.get("initiatorName") is not None:
        yield from _initiator(source["initiatorName"], f"{path}.initiatorname")


def _initiator(name: str, path: str) -> FieldErrors:
    pattern = _INITIATORS.get(name[:3])
    if pattern is None or not pattern.search(name):  # found anywhere, as upstream's
        yield invalid_value(path, name, _FORMAT)


def _secret(source: Source, path: str, *fields: str) -> FieldErrors:
    secret = source.get("secretRef")
    if secret is not None:
        yield from _requires(*fields)(secret, f"{path}.secretRef")


def _cinder(source: Source, path: str) -> FieldErrors:
    yield from _requires("volumeID")(source, path)
    yield from _secret(source, path, "name", "namespace")


def _fibre_channel(source: Source, path: str) -> FieldErrors:
    targets, ids, lun = source.get("targetWWNs") or [], source.get("wwids") or [], source.get("lun")
    if not targets and not ids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and ids:
        why = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid_value(f"{path}.targetWWNs", targets, why)
    if targets:
        if lun is None:
            yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
        elif not 0 <= lun <= 255:
            yield invalid_value(f"{path}.lun", lun, "must be between 0 and 255, inclusive")


def _flex(source: Source, path: str) -> FieldErrors:
    yield from _requires("driver")(source, path)
    for key in source.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            yield invalid_value(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_file(source: Source, path: str) -> FieldErrors:
    yield from _requires("secretName", "shareName")(source, path)
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _azure_disk(source: Source, path: str) -> FieldErrors:
    yield from _requires("diskName", "diskURI")(source, path)
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    yield from optional_one_of(f"{path}.cachingMode", source.get("cachingMode"), ("None", "ReadOnly", "ReadWrite"))
    yield from optional_one_of(f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield not_supported(f"{path}.diskURI", uri, (_DISK,))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        yield not_supported(f"{path}.diskURI", uri, (_BLOB,))


def _local(source: Source, path: str) -> FieldErrors:
    where = source.get("path") or ""
    if not where:
        yield required(f"{path}.path")
    else:
        yield from no_backsteps(where, f"{path}.path")


def _storage_os(source: Source, path: str) -> FieldErrors:
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    if not name:
        yield required(f"{path}.volumeName")
    else:
        yield from check(f"{path}.volumeName", name, names.dns1123_label(name))
    if namespace:
        yield from check(f"{path}.volumeNamespace", namespace, names.dns1123_label(namespace))
    yield from _secret(source, path, "name", "namespace")


def csi_driver_name(name: str, path: str) -> FieldErrors:
    """The name of a CSI driver."""
    if not name:
        yield required(path)
    if len(name.encode()) > 63:
        yield too_long(path, 63)
    yield from check(path, name, names.dns1123_subdomain(name.lower()))


_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)


def _csi(source: Source, path: str) -> FieldErrors:
    yield from csi_driver_name(source.get("driver") or "", f"{path}.driver")
    yield from _requires("volumeHandle")(source, path)
    for field in _CSI_SECRETS:
        secret = source.get(field)
        if secret is None:
            continue
        for part, rule in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
            value = secret.get(part) or ""
            if not value:
                yield required(f"{path}.{field}.{part}")
            else:
                yield from check(f"{path}.{field}.{part}", value, rule(value))


_RULES: Mapping[str, tuple[Rule, str, str]] = {
    "hostPath": (host_path, "hostPath", "hostPath"),
    "gcePersistentDisk": (_disk("pdName"), "persistentDisk", "gcePersistentDisk"),
    "awsElasticBlockStore": (_disk("volumeID"), "awsElasticBlockStore", "awsElasticBlockStore"),
    "glusterfs": (_glusterfs, "glusterfs", "glusterfs"),
    "flocker": (_flocker, "flocker", "flocker"),
    "nfs": (nfs, "nfs", "nfs"),
    "rbd": (_requires("monitors", "image"), "rbd", "rbd"),
    "quobyte": (_quobyte, "quobyte", "quobyte"),
    "cephfs": (_requires("monitors"), "cephfs", "cephFS"),
    "iscsi": (_iscsi, "iscsi", "iscsi"),
    "cinder": (_cinder, "cinder", "cinder"),
    "fc": (_fibre_channel, "fc", "fc"),
    "flexVolume": (_flex, "flexVolume", ""),
    "azureFile": (_azure_file, "azureFile", "azureFile"),
    "vsphereVolume": (_requires("volumePath"), "vsphereVolume", "vsphereVolume"),
    "photonPersistentDisk": (_requires("pdID"), "photonPersistentDisk", "photonPersistentDisk"),
    "portworxVolume": (_requires("volumeID"), "portworxVolume", "portworxVolume"),
    "azureDisk": (_azure_disk, "azureDisk", "azureDisk"),
    "scaleIO": (_requires("gateway", "system", "volumeName"), "scaleIO", "scaleIO"),
    "local": (_local, "local", "local"),
    "storageos": (_storage_os, "storageos", "storageos"),
    "csi": (_csi, "csi", "csi"),
}
"""In upstream's order: the rule of each source, what its faults call it, and what the fault of one too many calls it.

A second source that is a flexVolume is never one too many.
"""
SOURCES = tuple(_RULES)


def volume_source(spec: Source, path: str) -> FieldErrors:
    """Exactly one source, and that one well."""
    found = False
    for field, (rule, called, surplus) in _RULES.items():
        source = spec.get(field)
        if source is None:
            continue
        if found and surplus:
            yield field_forbidden(f"{path}.{surplus}", "may not specify more than 1 volume type")
            continue
        found = True
        yield from rule(source, f"{path}.{called}")
        if field == "local" and spec.get("nodeAffinity") is None:
            yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    if not found:
        yield required(path, "must specify a volume type")
