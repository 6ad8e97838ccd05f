"""Volume sources of Pods, one rule each, in the order in which the first that is given counts. volumes.py asks."""

from collections.abc import Mapping

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of
from pybernetes.apiserver.validation.pod.claims import validate_claim_template
from pybernetes.apiserver.validation.pod.files import descending, key_to_path, mode
from pybernetes.apiserver.validation.pod.projected import downward_file, validate_projected
from pybernetes.apiserver.validation.volume_sources import (
    SHARED,
    Rule,
    Source,
    csi_driver_name,
    iscsi,
    needing,
    needs,
    secret,
    storage_os,
)

_POLICIES = ("Always", "IfNotPresent", "Never")
_INITIATOR = "must be valid format starting with iqn, eui, or naa"


def _empty_dir(source: Source, path: str) -> FieldErrors:
    if (source.get("sizeLimit") or "").startswith("-"):
        yield field_forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _git_repo(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "repository")
    yield from descending(source.get("directory") or "", f"{path}.directory")


def _files(source: Source, path: str, field: str) -> FieldErrors:
    if not source.get(field):
        yield required(f"{path}.{field}")
    yield from mode(source.get("defaultMode"), f"{path}.defaultMode")
    if source.get("items"):
        for at, item in each(source, "items", path):
            yield from key_to_path(item, at)


def _cinder(source: Source, path: str) -> FieldErrors:
    yield from needs(source, path, "volumeID")
    yield from secret(source, path, "name")


def _downward(source: Source, path: str) -> FieldErrors:
    yield from mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        yield from downward_file(item, path)


def _csi(source: Source, path: str) -> FieldErrors:
    yield from csi_driver_name(source.get("driver") or "", f"{path}.driver")
    ref = source.get("nodePublishSecretRef")
    if ref is not None:
        if not ref.get("name"):
            yield required(f"{path}.nodePublishSecretRef.name")
        else:
            yield from check(f"{path}.name", ref["name"], names.dns1123_subdomain(ref["name"]))


def _ephemeral(source: Source, path: str) -> FieldErrors:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield required(f"{path}.volumeClaimTemplate")
    else:
        yield from validate_claim_template(template, f"{path}.volumeClaimTemplate")


_OWN: Mapping[str, Rule] = {
    "emptyDir": _empty_dir,
    "gitRepo": _git_repo,
    "secret": lambda source, path: _files(source, path, "secretName"),
    "iscsi": lambda source, path: iscsi(source, path, _INITIATOR),
    "persistentVolumeClaim": needing("claimName"),
    "cinder": _cinder,
    "downwardAPI": _downward,
    "configMap": lambda source, path: _files(source, path, "name"),
    "storageos": lambda source, path: storage_os(source, path, "name"),
    "projected": validate_projected,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": lambda source, path: one_of(f"{path}.pullPolicy", source.get("pullPolicy"), _POLICIES),
}
_ORDER = (
    *("emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi"),
    *("glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc"),
    *("flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk"),
    *("storageos", "projected", "scaleIO", "csi", "ephemeral", "image"),
)
RULES: Mapping[str, Rule] = {field: _OWN.get(field) or SHARED[field] for field in _ORDER}
"""Rules by the field of the source; their order is upstream's."""

FORBIDDEN_AS: Mapping[str, str] = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""What upstream calls a second source where that is not its field."""
