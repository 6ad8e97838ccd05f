"""CSI migration: volumes and provisioners of old, whose work drivers do (KEP-625). Pure; for the binder and the expander."""

from collections.abc import Mapping

from pybernetes.api.types.core_v1 import PersistentVolume
from pybernetes.rules import volumebinding as rule

IN_TREE = "kubernetes.io/"
MIGRATED = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""Plugins of old and the drivers that do their work since."""
MIGRATED_TO = "pv.kubernetes.io/migrated-to"
"""Annotation of claims and volumes whose provisioner is one of these: the driver."""
_SOURCES = {
    "awsElasticBlockStore": "kubernetes.io/aws-ebs",
    "azureDisk": "kubernetes.io/azure-disk",
    "azureFile": "kubernetes.io/azure-file",
    "cinder": "kubernetes.io/cinder",
    "gcePersistentDisk": "kubernetes.io/gce-pd",
    "portworxVolume": "kubernetes.io/portworx-volume",
    "vsphereVolume": "kubernetes.io/vsphere-volume",
}


def driver_of(provisioner: str) -> str:
    """Who does the work of a provisioner: another one, or itself."""
    return MIGRATED.get(provisioner, provisioner)


def migrated_plugin(volume: PersistentVolume) -> str:
    """The plugin of old by whose source a volume is described; empty for every other source."""
    return next((name for field, name in _SOURCES.items() if getattr(volume.spec, field) is not None), "")


def of_claim(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """A claim's annotations, with the driver noted as its provisioner asks for; the same ones where they say so already."""
    beta, current = rule.PROVISIONERS
    return _noted(annotations, annotations.get(current) or annotations.get(beta))


def of_volume(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """The same for a volume; one that was made by hand is left alone."""
    return _noted(annotations, annotations.get(rule.PROVISIONED_BY))


def _noted(annotations: Mapping[str, str], provisioner: str | None) -> Mapping[str, str]:
    if provisioner is None:
        return annotations
    driver = MIGRATED.get(provisioner)
    if annotations.get(MIGRATED_TO) == driver:
        return annotations
    others = {name: value for name, value in annotations.items() if name != MIGRATED_TO}
    return others if driver is None else {**others, MIGRATED_TO: driver}
