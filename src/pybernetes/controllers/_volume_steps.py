"""What is next for a claim or a volume: pure decisions of the binder, in upstream's words. persistentvolume_binder.py acts."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus
from pybernetes.api.types.storage_v1 import StorageClass
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
"""Provisioners of old and the drivers that do their work since (CSI migration)."""
IN_TREE_FINALIZER = "kubernetes.io/pv-controller"
"""Of volumes that a part of the controller itself would delete; there are none of these left."""


class Told(Struct, frozen=True):
    """An event."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


class Bind(Struct, frozen=True):
    """The claim gets this volume, or has it and something is missing on one of the two sides."""

    volume: PersistentVolume


class Wait(Struct, frozen=True):
    """The claim is Pending until something changes."""

    told: Told | None = None


class Lose(Struct, frozen=True):
    """The claim is Lost."""

    told: Told


class TakeClass(Struct, frozen=True):
    """The claim that has no class gets the default one, although it is older than that."""

    name: str


class Provision(Struct, frozen=True):
    """Somebody else is to make the volume: the claim says who."""

    provisioner: str
    told: Told


ClaimStep: TypeAlias = Bind | Wait | Lose | TakeClass | Provision


class Around(Struct, frozen=True):
    """What a claim's fate depends on."""

    named: PersistentVolume | None
    """The volume of its volumeName, if there is one."""
    volumes: Sequence[PersistentVolume]
    """Free ones of its class, and those reserved for it."""
    storage_class: StorageClass | None
    default: StorageClass | None
    waiting_pods: Callable[[], Sequence[str]]
    """Names of Pods that use the claim and have no Node yet."""


def next_for_claim(claim: PersistentVolumeClaim, around: Around) -> ClaimStep:
    """The next step."""
    if rule.BIND_COMPLETED in claim.metadata.annotations:
        return _bound(claim, around.named)
    if claim.metadata.deletionTimestamp is not None:
        return Wait()
    return _asked_for(claim, around.named) if claim.spec.volumeName else _any(claim, around)


def _bound(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> ClaimStep:
    if not claim.spec.volumeName:
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return Lose(Told("Warning", "ClaimLost", text))
    if volume is None:
        text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return Lose(Told("Warning", "ClaimLost", text))
    ref = volume.spec.claimRef
    if ref is None or ref.uid == claim.metadata.uid:
        return Bind(volume)
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return Lose(Told("Warning", "ClaimMisbound", text))


def _asked_for(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> ClaimStep:
    if volume is None:
        return Wait()
    if rule.is_for(volume, claim):
        return Bind(volume)
    name = volume.metadata.name
    if volume.spec.claimRef is not None:
        return Wait(Told("Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.'))
    why = rule.mismatch(volume, claim)
    if why:
        return Wait(Told("Warning", "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}'))
    return Bind(volume)


def _any(claim: PersistentVolumeClaim, around: Around) -> ClaimStep:
    waits = rule.waits_for_consumer(around.storage_class)
    volume = rule.best_match(claim, around.volumes, reserved_only=waits)
    if volume is not None:
        return Bind(volume)
    wanted = rule.class_of_claim(claim)
    classless = claim.spec.storageClassName is None and rule.CLASS not in claim.metadata.annotations
    if classless and around.default is not None:
        return TakeClass(around.default.metadata.name)
    if waits and rule.SELECTED_NODE not in claim.metadata.annotations:
        return Wait(_waits_for(around.waiting_pods()))
    if wanted:
        return _provisioned(wanted, around.storage_class)
    text = "no persistent volumes available for this claim and no storage class is set"
    return Wait(Told("Normal", "FailedBinding", text))


def _waits_for(pods: Sequence[str]) -> Told:
    if not pods:
        return Told("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    word = "pod" if len(pods) == 1 else "pods"
    return Told("Normal", "WaitForPodScheduled", f"waiting for {word} {','.join(sorted(pods))} to be scheduled")


def _provisioned(name: str, found: StorageClass | None) -> ClaimStep:
    if found is None:
        return Wait(Told("Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found'))
    provisioner = MIGRATED.get(found.provisioner, found.provisioner)
    if provisioner.startswith(IN_TREE):
        return Wait(Told("Warning", "ProvisioningFailed", f"no volume plugin matched name: {provisioner}"))
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system "
        "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    )
    return Provision(provisioner, Told("Normal", "ExternalProvisioning", text))


class Phase(Struct, frozen=True):
    """The volume is in this phase; the event only where that is new."""

    name: Literal["Available", "Bound", "Released", "Failed"]
    told: Told | None = None


class Unbind(Struct, frozen=True):
    """The claim has another volume: this one is free again."""


class Ignore(Struct, frozen=True):
    """The claim's own step comes first."""


VolumeStep: TypeAlias = Phase | Unbind | Ignore


def next_for_volume(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> VolumeStep:
    """The next step; `claim` is that of the claimRef, None where it is gone or a namesake is there."""
    ref = volume.spec.claimRef
    if ref is None or not ref.uid:
        return Phase("Available")
    if claim is None:
        return _reclaimed(volume)
    if not claim.spec.volumeName:
        return Ignore()
    if claim.spec.volumeName == volume.metadata.name:
        return Phase("Bound")
    own = rule.PROVISIONED_BY in volume.metadata.annotations
    if own and volume.spec.persistentVolumeReclaimPolicy == "Delete":
        return _reclaimed(volume)
    return Unbind()


def _reclaimed(volume: PersistentVolume) -> VolumeStep:
    """What was the claim's: kept, or left to who made it. Nothing here empties or deletes volumes."""
    phase, name = volume.status.phase, volume.metadata.name
    policy = volume.spec.persistentVolumeReclaimPolicy
    failed = phase == "Failed"
    if phase not in ("Released", "Failed") or policy == "Retain":
        return Phase("Failed" if failed else "Released")
    if policy == "Recycle":
        return Phase("Failed", Told("Warning", "VolumeFailedRecycle", "No recycler plugin found for the volume!"))
    if policy != "Delete":
        text = "Volume has unrecognized PersistentVolumeReclaimPolicy"
        return Phase("Failed", Told("Warning", "VolumeUnknownReclaimPolicy", text))
    provisioner = volume.metadata.annotations.get(rule.PROVISIONED_BY, "")
    external = provisioner in MIGRATED or (provisioner and not provisioner.startswith(IN_TREE))
    if external or volume.spec.csi is not None:
        return Phase("Failed" if failed else "Released")
    text = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
    return Phase("Failed", Told("Warning", "VolumeFailedDelete", text))


def status_when_bound(claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaimStatus:
    """The status of a bound claim. Once bound its size is the resizers': a file system may be smaller than its volume."""
    status = replace(claim.status, accessModes=volume.spec.accessModes)
    if status.phase == "Bound":
        return status
    attributes = volume.spec.volumeAttributesClassName or None
    return replace(status, phase="Bound", capacity=volume.spec.capacity, currentVolumeAttributesClassName=attributes)
