"""Owner references: who controls an object. Controllers, the garbage collector and the kubelet ask it."""

from msgspec import Struct

from pybernetes.api import facts
from pybernetes.api.objects import split_api_version
from pybernetes.api.types import meta_v1


def controller_of(meta: meta_v1.ObjectMeta) -> meta_v1.OwnerReference | None:
    """The one owner that manages the object; None for orphans."""
    return next((ref for ref in meta.ownerReferences if ref.controller), None)


def controlled_by(meta: meta_v1.ObjectMeta, uid: str) -> bool:
    """Whether the object of that uid is the controller."""
    ref = controller_of(meta)
    return ref is not None and ref.uid == uid


def names_kind(ref: meta_v1.OwnerReference, kind: type[Struct]) -> bool:
    """Whether the reference is to an object of that kind, in any version of its group."""
    known = facts.of_struct(kind)
    return ref.kind == known.kind and split_api_version(ref.apiVersion)[0] == known.group


def controller_reference(kind: type[Struct], meta: meta_v1.ObjectMeta) -> meta_v1.OwnerReference:
    """A reference that makes the object of `meta` the controller; it also holds back its foreground deletion."""
    known = facts.of_struct(kind)
    return meta_v1.OwnerReference(
        apiVersion=known.api_version,
        kind=known.kind,
        name=meta.name,
        uid=meta.uid,
        controller=True,
        blockOwnerDeletion=True,
    )
