"""What is next for a claim or a volume: pure decisions of the binder, in upstream's words. persistentvolume_binder.py acts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.quantity import parse
from pybernetes.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.controllers._csi_migration import IN_TREE, MIGRATED, MIGRATED_TO, driver_of, of_volume
from pybernetes.controllers._recyclers import is_recyclable
from pybernetes.rules import volumebinding as rule
from pybernetes.rules.goquote import quoted

IN_TREE_FINALIZER = "kubernetes.io/pv-controller"
"""Of volumes that a plugin of the controller itself is to delete."""
_SCRATCH = "/tmp/"


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
    pending: bool = True
    """Whether the status says so; otherwise it stays as it is."""


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
        told = Told("Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.')
        return Wait(told, pending=rule.BOUND_BY_CONTROLLER not in claim.metadata.annotations)
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


_CANNOT_PROVISION = {
    "kubernetes.io/host-path": (
        'Failed to create provisioner: provisioning in volume plugin "kubernetes.io/host-path" is disabled'
    ),
    **dict.fromkeys(("kubernetes.io/nfs", "kubernetes.io/local-volume"), "no provisionable volume plugin matched"),
}
"""Plugins that are known, and make no volumes."""


def _provisioned(name: str, found: StorageClass | None) -> ClaimStep:
    if found is None:
        return Wait(Told("Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found'))
    provisioner = driver_of(found.provisioner)
    if provisioner.startswith(IN_TREE):
        why = _CANNOT_PROVISION.get(provisioner, f"no volume plugin matched name: {provisioner}")
        return Wait(Told("Warning", "ProvisioningFailed", why))
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


class Recycle(Struct, frozen=True):
    """What is in it goes, and it is free again."""


class Misfit(Struct, frozen=True):
    """The volume is for a claim that cannot have it: both are told."""

    volume: Told
    claim: Told


VolumeStep: TypeAlias = Phase | Unbind | Ignore | Misfit | Recycle


def next_for_volume(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> VolumeStep:
    """The next step; `claim` is that of the claimRef, None where it is gone or a namesake is there."""
    ref = volume.spec.claimRef
    if ref is None or not ref.uid:
        return Phase("Available")
    if claim is None:
        return _reclaimed(volume)
    if not claim.spec.volumeName:
        return Ignore() if rule.same_mode(volume, claim) else _misfit(volume, claim)
    if claim.spec.volumeName == volume.metadata.name:
        return Phase("Bound")
    own = rule.PROVISIONED_BY in volume.metadata.annotations
    if own and volume.spec.persistentVolumeReclaimPolicy == "Delete":
        return _reclaimed(volume)
    return Unbind()


def _misfit(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Misfit:
    its, own, end = quoted(claim.metadata.name), quoted(volume.metadata.name), "due to incompatible volumeMode."
    return Misfit(
        Told(
            "Warning", "VolumeMismatch", f"Cannot bind PersistentVolume to requested PersistentVolumeClaim {its} {end}"
        ),
        Told(
            "Warning", "VolumeMismatch", f"Cannot bind PersistentVolume {own} to requested PersistentVolumeClaim {end}"
        ),
    )


def _reclaimed(volume: PersistentVolume) -> VolumeStep:
    """What was the claim's: kept, emptied, or left to who made it. Nothing here deletes volumes."""
    phase, policy = volume.status.phase, volume.spec.persistentVolumeReclaimPolicy
    kept = Phase("Failed" if phase == "Failed" else "Released")
    if phase not in ("Released", "Failed") or policy == "Retain" or MIGRATED_TO in volume.metadata.annotations:
        return kept
    if policy == "Recycle" and is_recyclable(volume):
        return Recycle()
    if policy == "Recycle":
        return Phase("Failed", Told("Warning", "VolumeFailedRecycle", "No recycler plugin found for the volume!"))
    if policy != "Delete":
        text = "Volume has unrecognized PersistentVolumeReclaimPolicy"
        return Phase("Failed", Told("Warning", "VolumeUnknownReclaimPolicy", text))
    why = cannot_delete(volume)
    return Phase("Failed", Told("Warning", "VolumeFailedDelete", why)) if why else kept


def cannot_delete(volume: PersistentVolume) -> str:
    """Why nobody deletes a released volume, in upstream's words; empty where somebody outside does."""
    provisioner, name = volume.metadata.annotations.get(rule.PROVISIONED_BY, ""), volume.metadata.name
    if provisioner and not provisioner.startswith(IN_TREE):
        return ""
    if provisioner and provisioner != "kubernetes.io/host-path":
        known = provisioner in _CANNOT_PROVISION
        return "no deletable volume plugin matched" if known else f"no volume plugin matched name: {provisioner}"
    if volume.spec.csi is not None or MIGRATED_TO in volume.metadata.annotations:
        return ""
    path = volume.spec.hostPath.path if volume.spec.hostPath is not None else None
    if path is not None and not (_SCRATCH in path and path.split(_SCRATCH, 1)[1]):
        return f"host_path deleter only supports /tmp/.+ but received provided {path}"
    return f"error getting deleter volume plugin for volume {quoted(name)}: no deletable volume plugin matched"


def noted_volume(volume: PersistentVolume) -> PersistentVolume:
    """The volume with the annotation and the finalizers that say who is to delete it; itself where they do.

    Only of volumes that a provisioner made. Its own finalizer the controller keeps as long as the policy is to delete.
    """
    meta = volume.metadata
    annotations, provisioner = of_volume(meta.annotations), meta.annotations.get(rule.PROVISIONED_BY)
    finalizers = meta.finalizers
    if provisioner in MIGRATED:
        finalizers = _less(finalizers, IN_TREE_FINALIZER)
    elif provisioner is not None and provisioner.startswith(IN_TREE):
        finalizers = _less(finalizers, rule.PROVISIONER_FINALIZER)
        if volume.spec.persistentVolumeReclaimPolicy != "Delete":
            finalizers = _less(finalizers, IN_TREE_FINALIZER)
        elif IN_TREE_FINALIZER not in finalizers and meta.deletionTimestamp is None:
            finalizers = (*finalizers, IN_TREE_FINALIZER)
    if annotations is meta.annotations and finalizers == meta.finalizers:
        return volume
    return replace(volume, metadata=replace(meta, annotations=annotations, finalizers=finalizers))


def _less(finalizers: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(one for one in finalizers if one != name)


def status_when_unbound(claim: PersistentVolumeClaim, phase: str) -> PersistentVolumeClaimStatus:
    """The status of a claim without volume: size, modes and attributes are those of the volume."""
    none = replace(claim.status, accessModes=(), capacity={}, currentVolumeAttributesClassName=None)
    return replace(none, phase=phase)


def status_when_bound(claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaimStatus:
    """The status of a bound claim. Once bound its size is the resizers': a file system may be smaller than its volume."""
    status = replace(claim.status, accessModes=volume.spec.accessModes)
    if status.phase == "Bound":
        return status
    if status.phase != "Lost":
        attributes = volume.spec.volumeAttributesClassName or None
        status = replace(status, currentVolumeAttributesClassName=attributes)
    return replace(status, phase="Bound", capacity=_capacity(volume))


def _capacity(volume: PersistentVolume) -> Mapping[str, str]:
    """What of it there is to be used: not yet what it has grown by, if its file system has not."""
    smaller = volume.metadata.annotations.get(rule.PRE_RESIZE)
    if smaller is None:
        return volume.spec.capacity
    try:
        parse(smaller)
    except ValueError:
        return volume.spec.capacity
    return {"storage": smaller}
