"""Volume sources of Pods, one rule each, in the order in which the first that is given counts. volumes.py asks."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.pod.claims import validate_claim_template
from pybernetes.apiserver.validation.pod.files import descending, key_to_path, mode, no_backsteps
from pybernetes.apiserver.validation.pod.projected import downward_file, validate_projected

Source = Mapping[str, Any]
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
_POLICIES = ("Always", "IfNotPresent", "Never")
_RESERVED = (".kubernetes.io", ".k8s.io")
_ISCSI = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}$"),
}
_PAIRS = "must be a host:port pair or multiple pairs separated by commas"
_BYTE = "must be between 0 and 255, inclusive"
_PARTITION = "must be between 1 and 255, inclusive"
_CACHING = ("None", "ReadOnly", "ReadWrite")
_DISKS = ("Dedicated", "Managed", "Shared")
_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def needs(source: Source, path: str, *fields: str) -> FieldErrors:
    """Fields that must be set."""
    for field in fields:
        if not source.get(field):
            yield required(f"{path}.{field}")


def _needing(*fields: str) -> Callable[[Source, str], FieldErrors]:
    return lambda source, path: needs(source, path, *fields)


def _empty_dir(source: Source, path: str) -> FieldErrors:
    if (source.get("sizeLimit") or "").startswith("-"):
        yield field_forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(source: Source, path: str) -> FieldErrors:
    target, kind = source.get("path") or "", source.get("type")
    if not target:
        yield required(f"{path}.path")
        return
    yield from no_backsteps(target, f"{path}.path")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", kind, _HOST_PATH_TYPES)


def _git_repo(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "repository")
    yield from descending(source.get("directory") or "", f"{path}.directory")


def _disk(field: str) -> Callable[[Source, str], FieldErrors]:
    def rule(source: Source, path: str) -> FieldErrors:
        yield from needs(source, path, field)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            yield invalid_value(f"{path}.partition", partition, _PARTITION)

    return rule


def _secret(source: Source, path: str) -> FieldErrors:
    return _files(source, path, "secretName")


def _config_map(source: Source, path: str) -> FieldErrors:
    return _files(source, path, "name")


def _files(source: Source, path: str, field: str) -> FieldErrors:
    if not source.get(field):
        yield required(f"{path}.{field}")
    yield from mode(source.get("defaultMode"), f"{path}.defaultMode")
    if source.get("items"):
        for at, item in each(source, "items", path):
            yield from key_to_path(item, at)


def _nfs(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "server", "path")
    if not (source.get("path") or "").startswith("/"):
        yield invalid_value(f"{path}.path", source.get("path") or "", "must be an absolute path")


def _iscsi(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "targetPortal")
    if not source.get("iqn"):
        yield required(f"{path}.iqn")
    else:
        yield from _initiator(source["iqn"], f"{path}.iqn")
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        yield invalid_value(f"{path}.lun", lun, _BYTE)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        yield from _initiator(source["initiatorName"], f"{path}.initiatorname")


def _initiator(name: str, path: str) -> FieldErrors:
    form = _ISCSI.get(name[:3])
    if form is None:
        yield invalid_value(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not form.match(name):
        yield invalid_value(path, name, "must be valid format")


def _flocker(source: Source, path: str) -> FieldErrors:
    name, uid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    if not name and not uid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uid:
        yield invalid_value(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _cinder(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "volumeID")
    yield from _named(source, path, "secretRef")


def _named(source: Source, path: str, field: str) -> FieldErrors:
    if source.get(field) is not None:
        yield from needs(source[field], f"{path}.{field}", "name")


def _quobyte(source: Source, path: str) -> FieldErrors:
    registry = source.get("registry") or ""
    if not registry:
        yield required(f"{path}.registry", _PAIRS)
    elif len(source.get("tenant") or "") >= 65:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*", pair):
                yield invalid_value(f"{path}.registry", registry, _PAIRS)
    yield from needs(source, path, "volume")


def _downward(source: Source, path: str) -> FieldErrors:
    yield from mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        yield from downward_file(item, path)


def _fibre_channel(source: Source, path: str) -> FieldErrors:
    wwns, wwids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not wwns and not wwids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if wwns and wwids:
        why = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid_value(f"{path}.targetWWNs", wwns, why)
    if wwns:
        if lun is None:
            yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
        elif not 0 <= lun <= 255:
            yield invalid_value(f"{path}.lun", lun, _BYTE)


def _flex(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "driver")
    for key in source.get("options") or {}:
        if f".{key.split('/', 1)[0].lower()}".endswith(_RESERVED):
            yield invalid_value(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_disk(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "diskName", "diskURI")
    caching, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    if caching is not None and caching not in _CACHING:
        yield not_supported(f"{path}.cachingMode", caching, _CACHING)
    if kind is None:
        return
    if kind not in _DISKS:
        yield not_supported(f"{path}.kind", kind, _DISKS)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield not_supported(f"{path}.diskURI", uri, (_MANAGED,))
    if kind != "Managed" and not uri.startswith("https://"):
        yield not_supported(f"{path}.diskURI", uri, (_BLOB,))


def _storage_os(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "volumeName")
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            yield from check(f"{path}.{field}", source[field], names.dns1123_label(source[field]))
    yield from _named(source, path, "secretRef")


def _csi(source: Source, path: str) -> FieldErrors:
    driver = source.get("driver") or ""
    at = f"{path}.driver"
    if not driver:
        yield required(at)
    if len(driver.encode()) > 63:
        yield too_long(at, 63)
    yield from check(at, driver, names.dns1123_subdomain(driver.lower()))
    secret = source.get("nodePublishSecretRef")
    if secret is not None:
        if not secret.get("name"):
            yield required(f"{path}.nodePublishSecretRef.name")
        else:
            yield from check(f"{path}.name", secret["name"], names.dns1123_subdomain(secret["name"]))


def _ephemeral(source: Source, path: str) -> FieldErrors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield required(f"{path}.volumeClaimTemplate")
    else:
        yield from validate_claim_template(template, f"{path}.volumeClaimTemplate")


def _image(source: Source, path: str) -> FieldErrors:
    policy = source.get("pullPolicy")
    if not policy:
        yield required(f"{path}.pullPolicy")
    elif policy not in _POLICIES:
        yield not_supported(f"{path}.pullPolicy", policy, _POLICIES)


RULES: Mapping[str, Callable[[Source, str], Iterable[Any]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "secret": _secret,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": _needing("endpoints", "path"),
    "flocker": _flocker,
    "persistentVolumeClaim": _needing("claimName"),
    "rbd": _needing("monitors", "image"),
    "cinder": _cinder,
    "cephfs": _needing("monitors"),
    "quobyte": _quobyte,
    "downwardAPI": _downward,
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "configMap": _config_map,
    "azureFile": _needing("secretName", "shareName"),
    "vsphereVolume": _needing("volumePath"),
    "photonPersistentDisk": _needing("pdID"),
    "portworxVolume": _needing("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storage_os,
    "projected": validate_projected,
    "scaleIO": _needing("gateway", "system", "volumeName"),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
"""Rules by the field of the source; their order is upstream's."""

FORBIDDEN_AS: Mapping[str, str] = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""What upstream calls a second source where that is not its field."""
JUDGED_AS: Mapping[str, str] = {"gcePersistentDisk": "persistentDisk"}
"""What upstream calls the source in its own faults where that is not its field."""
