"""Owner references: who controls an object, who merely owns it. Used by controllers, garbage collection, scheduler."""

from collections.abc import Iterable

from pybernetes.api.types.meta_v1 import ObjectMeta, OwnerReference


def controller_of(metadata: ObjectMeta) -> OwnerReference | None:
    """The one owner that manages the object; at most one has controller: true."""
    return next((owner for owner in metadata.ownerReferences if owner.controller), None)


def controller_reference(api_version: str, kind: str, metadata: ObjectMeta) -> OwnerReference:
    """The reference that a controller's object puts on what it creates (metav1.NewControllerRef)."""
    return OwnerReference(
        apiVersion=api_version,
        kind=kind,
        name=metadata.name,
        uid=metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


def without_owner(owners: Iterable[OwnerReference], uid: str) -> tuple[OwnerReference, ...]:
    """The references but for that owner's."""
    return tuple(owner for owner in owners if owner.uid != uid)
