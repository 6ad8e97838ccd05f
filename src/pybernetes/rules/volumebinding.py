"""Claims and volumes: which PersistentVolume a PersistentVolumeClaim may have. Shared by the binder and the scheduler.

The two point at each other: the volume's claimRef with the claim's uid, and the claim's volumeName. A reference without uid
is a reservation that a user made. Behaviour: Persistent Volumes of the Kubernetes documentation.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from pybernetes.api.quantity import Quantity, parse
from pybernetes.api.selectors import of_label_selector
from pybernetes.api.types.core_v1 import ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod
from pybernetes.api.types.meta_v1 import ObjectMeta
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.rules.affinity import selects
from pybernetes.rules.goquote import quoted
from pybernetes.rules.ownership import controller_of

CLASS = "volume.beta.kubernetes.io/storage-class"
"""The class, as it was given before there was a field; it leads where both are given."""
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
"""Annotations of a claim: who is to make its volume."""
SELECTED_NODE = "volume.kubernetes.io/selected-node"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
PRE_RESIZE = "volume.alpha.kubernetes.io/pre-resize-capacity"
"""Annotation of a volume that has grown while its file system has not: the size of that."""
NO_PROVISIONER = "kubernetes.io/no-provisioner"
"""The provisioner of a class whose volumes are made by hand."""
PROVISIONER_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
"""Of volumes that their provisioner is to delete."""
WAITS = "WaitForFirstConsumer"
BINDING = "binding"
"""What caches call the indexes of claims and volumes by claim_index() and volume_index()."""


def class_of_claim(claim: PersistentVolumeClaim) -> str:
    """Its StorageClass; empty: none."""
    noted = claim.metadata.annotations.get(CLASS)
    return (claim.spec.storageClassName or "") if noted is None else noted


def class_of_volume(volume: PersistentVolume) -> str:
    """Its StorageClass; empty: none."""
    noted = volume.metadata.annotations.get(CLASS)
    return volume.spec.storageClassName if noted is None else noted


def claim_index(claim: PersistentVolumeClaim) -> Iterable[str]:
    """`volume/<name>` of the volume that it names, or `class/<name>` of the class of which it waits for one.

    Those that wait for any default class have `classless` too.
    """
    if claim.spec.volumeName:
        return (f"volume/{claim.spec.volumeName}",)
    if claim.spec.storageClassName is None and CLASS not in claim.metadata.annotations:
        return ("class/", "classless")
    return (f"class/{class_of_claim(claim)}",)


def volume_index(volume: PersistentVolume) -> Iterable[str]:
    """`claim/<namespace>/<name>` of the claim that it is for, or `class/<name>` of the class of which it is a free one."""
    ref = volume.spec.claimRef
    return (f"claim/{ref.namespace}/{ref.name}" if ref is not None else f"class/{class_of_volume(volume)}",)


def waits_for_consumer(found: StorageClass | None) -> bool:
    """Whether claims of the class are bound only once a Pod that uses them has a Node."""
    return found is not None and found.volumeBindingMode == WAITS


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The default one; of several the newest, as admission takes it."""
    marked = [c for c in classes if any(c.metadata.annotations.get(name) == "true" for name in DEFAULT_CLASS)]
    marked.sort(key=lambda c: c.metadata.name)
    return max(marked, key=lambda c: c.metadata.creationTimestamp or "", default=None)


def is_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is bound to or reserved for the claim."""
    ref, meta = volume.spec.claimRef, claim.metadata
    if ref is None or (ref.namespace, ref.name) != (meta.namespace, meta.name):
        return False
    return ref.uid in ("", meta.uid)


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether both sides of the binding are written."""
    return bool(claim.spec.volumeName) and BIND_COMPLETED in claim.metadata.annotations


def size_of_volume(volume: PersistentVolume) -> Quantity:
    """Its capacity."""
    return parse(volume.spec.capacity.get("storage", "0"))


def size_of_claim(claim: PersistentVolumeClaim) -> Quantity:
    """What it asks for."""
    return parse(claim.spec.resources.requests.get("storage", "0"))


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a claim cannot have the free volume that it names, in upstream's words; empty where it can."""
    if volume.metadata.deletionTimestamp is not None:
        return f"the volume is marked for deletion {quoted(volume.metadata.name)}"
    if size_of_volume(volume) < size_of_claim(claim):
        return "requested PV is too small"
    if class_of_volume(volume) != class_of_claim(claim):
        return "storageClassName does not match"
    if not _same_attributes(volume, claim):
        return "volumeAttributesClassName does not match"
    if not same_mode(volume, claim):
        return "incompatible volumeMode"
    return "" if _has_modes(volume, claim) else "incompatible accessMode"


def best_match(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    *,
    reserved_only: bool = False,
    node: ObjectMeta | None = None,
    taken: Collection[str] = (),
) -> PersistentVolume | None:
    """The volume reserved for the claim or, of the available ones that fit, that with the fewest modes, then the smallest.

    `reserved_only`: the claim waits for its consumer, so that the scheduler chooses among the free ones. `node`: only volumes that
    can be reached from there. `taken`: names that another claim of the Pod has.
    """
    found: list[PersistentVolume] = []
    selector = of_label_selector(claim.spec.selector) if claim.spec.selector is not None else None
    asked, wanted = size_of_claim(claim), class_of_claim(claim)
    for volume in volumes:
        if volume.metadata.name in taken or volume.metadata.deletionTimestamp is not None:
            continue
        if not (same_mode(volume, claim) and _same_attributes(volume, claim) and _has_modes(volume, claim)):
            continue
        if size_of_volume(volume) < asked:
            continue
        reachable = node is None or reaches(volume, node)
        if is_for(volume, claim):
            return volume if reachable else None
        if reserved_only or not reachable or volume.spec.claimRef is not None or class_of_volume(volume) != wanted:
            continue
        if volume.status.phase != "Available":
            continue  # the binder is about to write it: a claim that took it now would meet a Conflict
        if selector is None or selector.matches(volume.metadata.labels):
            found.append(volume)
    return min(found, key=_cost, default=None)


def _cost(volume: PersistentVolume) -> tuple[int, Quantity, str]:
    return len(volume.spec.accessModes), size_of_volume(volume), volume.metadata.name


def same_mode(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether both are file systems, or both devices."""
    return (volume.spec.volumeMode or "Filesystem") == (claim.spec.volumeMode or "Filesystem")


def _same_attributes(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (volume.spec.volumeAttributesClassName or "") == (claim.spec.volumeAttributesClassName or "")


def _has_modes(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return set(claim.spec.accessModes) <= set(volume.spec.accessModes)


def reaches(volume: PersistentVolume, node: ObjectMeta) -> bool:
    """Whether the volume's node affinity admits the Node."""
    required = volume.spec.nodeAffinity.required if volume.spec.nodeAffinity is not None else None
    return required is None or selects(required, node.labels, node.name)


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    """The claimRef of a volume that is bound to the claim."""
    meta = claim.metadata
    return ObjectReference(
        kind="PersistentVolumeClaim",
        apiVersion="v1",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resourceVersion=meta.resourceVersion,
    )


def bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """The volume bound to the claim: the first of the two steps. What a user reserved is not noted as the controller's."""
    ref = volume.spec.claimRef
    annotations: Mapping[str, str] = volume.metadata.annotations
    if not is_for(volume, claim):
        annotations = {**annotations, BOUND_BY_CONTROLLER: "yes"}
    if ref is None or ref.uid != claim.metadata.uid or not is_for(volume, claim):
        ref = reference_to(claim)
    return replace(
        volume,
        metadata=replace(volume.metadata, annotations=annotations),
        spec=replace(volume.spec, claimRef=ref),
    )


def claims_of_pod(pod: Pod) -> list[tuple[str, bool]]:
    """Names of the claims that a Pod uses, each with whether it is made for the Pod alone (generic ephemeral volumes)."""
    found: list[tuple[str, bool]] = []
    for volume in pod.spec.volumes:
        if volume.persistentVolumeClaim is not None:
            found.append((volume.persistentVolumeClaim.claimName, False))
        elif volume.ephemeral is not None:
            found.append((f"{pod.metadata.name}-{volume.name}", True))
    return found


def not_of_pod(claim: PersistentVolumeClaim, pod: Pod) -> str:
    """Why the claim is not that of the Pod's ephemeral volume; empty where it is."""
    owner = controller_of(claim.metadata)
    if owner is not None and owner.uid == pod.metadata.uid:
        return ""
    name = f"{claim.metadata.namespace}/{claim.metadata.name}"
    return f"PVC {name} was not created for pod {pod.metadata.namespace}/{pod.metadata.name} (pod is not owner)"
