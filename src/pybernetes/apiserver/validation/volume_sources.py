"""Where the bytes of volumes are: the sources that Pods and PersistentVolumes share, and those of PersistentVolumes alone."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, check, optional_one_of
from pybernetes.apiserver.validation.pod.files import no_backsteps

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
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}\Z"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}\Z"),
}
_FORMAT = "must be valid format"
_BYTE = "must be between 0 and 255, inclusive"


def needs(source: Source, path: str, *fields: str) -> FieldErrors:
    """Fields that must be set."""
    for field in fields:
        if not source.get(field):
            yield required(f"{path}.{field}")


def needing(*fields: str) -> Rule:
    """The rule of a source that has no other."""
    return lambda source, path: needs(source, path, *fields)


def _host_path(source: Source, path: str) -> FieldErrors:
    where = source.get("path") or ""
    if not where:
        yield required(f"{path}.path")
        return
    yield from no_backsteps(where, f"{path}.path")
    yield from optional_one_of(f"{path}.type", source.get("type"), _HOST_PATHS)


def _disk(field: str) -> Rule:
    def rule(source: Source, path: str) -> FieldErrors:
        yield from needs(source, path, field)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            yield invalid_value(f"{path}.partition", partition, "must be between 1 and 255, inclusive")

    return rule


def _glusterfs(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "endpoints", "path")
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


def _nfs(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "server", "path")
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


def iscsi(source: Source, path: str, wrong: str) -> FieldErrors:
    """A block device on a storage network. `wrong` is what is said of a name of no known form."""
    yield from needs(source, path, "targetPortal")
    iqn = source.get("iqn") or ""
    if not iqn:
        yield required(f"{path}.iqn")
    else:
        yield from _initiator(iqn, f"{path}.iqn", wrong)
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        yield invalid_value(f"{path}.lun", lun, _BYTE)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        yield from _initiator(source["initiatorName"], f"{path}.initiatorname", wrong)


def _initiator(name: str, path: str, wrong: str) -> FieldErrors:
    form = _INITIATORS.get(name[:3])
    if form is None:
        yield invalid_value(path, name, wrong)
    elif not form.search(name):  # found anywhere, as upstream's
        yield invalid_value(path, name, _FORMAT)


def _volume_iscsi(source: Source, path: str) -> FieldErrors:
    yield from iscsi(source, path, _FORMAT)
    yield from secret(source, path, "name")


def secret(source: Source, path: str, *fields: str) -> FieldErrors:
    """What a secretRef must say, where there is one."""
    if source.get("secretRef") is not None:
        yield from needs(source["secretRef"], f"{path}.secretRef", *fields)


def _cinder(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "volumeID")
    yield from secret(source, path, "name", "namespace")


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
            yield invalid_value(f"{path}.lun", lun, _BYTE)


def _flex(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "driver")
    for key in source.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            yield invalid_value(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_file(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _azure_disk(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "diskName", "diskURI")
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


def storage_os(source: Source, path: str, *secret_fields: str) -> FieldErrors:
    """A volume of StorageOS; a Pod's secret is in its own namespace."""
    yield from needs(source, path, "volumeName")
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            yield from check(f"{path}.{field}", source[field], names.dns1123_label(source[field]))
    yield from secret(source, path, *secret_fields)


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
    yield from needs(source, path, "volumeHandle")
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


SHARED: Mapping[str, Rule] = {
    "hostPath": _host_path,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "glusterfs": _glusterfs,
    "flocker": _flocker,
    "nfs": _nfs,
    "rbd": needing("monitors", "image"),
    "quobyte": _quobyte,
    "cephfs": needing("monitors"),
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "azureFile": _azure_file,
    "vsphereVolume": needing("volumePath"),
    "photonPersistentDisk": needing("pdID"),
    "portworxVolume": needing("volumeID"),
    "azureDisk": _azure_disk,
    "scaleIO": needing("gateway", "system", "volumeName"),
}
"""Rules by the field of the source, for Pods as for PersistentVolumes."""
_OWN: Mapping[str, Rule] = {
    "iscsi": _volume_iscsi,
    "cinder": _cinder,
    "local": _local,
    "storageos": lambda source, path: storage_os(source, path, "name", "namespace"),
    "csi": _csi,
}
SOURCES = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte"),
    *("cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk"),
    *("portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi"),
)
"""Of PersistentVolumes, in upstream's order."""
JUDGED_AS: Mapping[str, str] = {"gcePersistentDisk": "persistentDisk"}
"""What upstream calls the source in its own faults where that is not its field."""
_SURPLUS: Mapping[str, str] = {"cephfs": "cephFS"}
"""What it calls a second source."""


def volume_source(spec: Source, path: str) -> FieldErrors:
    """Exactly one source, and that one well."""
    found = False
    for field in SOURCES:
        source = spec.get(field)
        if source is None:
            continue
        if found and field != "flexVolume":  # which is never one too many
            yield field_forbidden(f"{path}.{_SURPLUS.get(field, field)}", "may not specify more than 1 volume type")
            continue
        found = True
        rule = _OWN.get(field) or SHARED[field]
        yield from rule(source, f"{path}.{JUDGED_AS.get(field, field)}")
        if field == "local" and spec.get("nodeAffinity") is None:
            yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    if not found:
        yield required(path, "must specify a volume type")
