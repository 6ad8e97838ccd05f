"""Which volumes are to be attached to which Nodes, and how that is called. For persistentvolume_attach_detach.py."""

import hashlib
from collections.abc import Iterable, Sequence

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.api.types.storage_v1 import CSIDriver, VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec
from pybernetes.controllers.persistentvolumeclaim_protection import CLAIMS, claims_of
from pybernetes.controllers.runtime import Context
from pybernetes.rules import volumebinding as rule
from pybernetes.rules.readiness import is_finished, node_is_ready
from pybernetes.rules.taints import OUT_OF_SERVICE

MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
"""Annotation of Nodes whose volumes are attached by the controller."""
PLACES = "places"
"""Index of VolumeAttachments: `node/<name>` and `volume/<name>`."""
_SHARED = ("ReadOnlyMany", "ReadWriteMany")


def name_of(volume: core_v1.PersistentVolume, node: str) -> str:
    """The name of the VolumeAttachment: the same one whoever asks."""
    csi = volume.spec.csi
    assert csi is not None
    return f"csi-{hashlib.sha256(f'{csi.volumeHandle}{csi.driver}{node}'.encode()).hexdigest()}"


def unique_name(volume: core_v1.PersistentVolume) -> str:
    """As Node.status names it."""
    csi = volume.spec.csi
    assert csi is not None
    return f"kubernetes.io/csi/{csi.driver}^{csi.volumeHandle}"


def attachment(volume: core_v1.PersistentVolume, node: str) -> VolumeAttachment:
    """The wish that the volume be attached there."""
    csi = volume.spec.csi
    assert csi is not None
    return VolumeAttachment(
        metadata=meta_v1.ObjectMeta(name=name_of(volume, node)),
        spec=VolumeAttachmentSpec(
            attacher=csi.driver,
            nodeName=node,
            source=VolumeAttachmentSource(persistentVolumeName=volume.metadata.name),
        ),
    )


def attachable(volume: core_v1.PersistentVolume, ctx: Context) -> bool:
    """Whether its driver attaches; one that says nothing does."""
    if volume.spec.csi is None:
        return False
    driver = ctx.cache(CSIDriver).get(Key("", volume.spec.csi.driver))
    return driver is None or driver.spec.attachRequired is not False


def shareable(volume: core_v1.PersistentVolume) -> bool:
    """Whether several Nodes may have it at once."""
    return not volume.spec.accessModes or any(mode in _SHARED for mode in volume.spec.accessModes)


def by_place(found: VolumeAttachment) -> Iterable[str]:
    """Index function of PLACES."""
    name = found.spec.source.persistentVolumeName
    return (f"node/{found.spec.nodeName}", f"volume/{name}") if name else ()


def users(volume: core_v1.PersistentVolume, ctx: Context) -> Sequence[core_v1.Pod]:
    """The Pods that have a Node and use the volume, and have not ended."""
    ref = volume.spec.claimRef
    if ref is None:
        return ()
    claim = ctx.cache(core_v1.PersistentVolumeClaim).get(Key(ref.namespace, ref.name))
    if claim is None or claim.metadata.uid != ref.uid or not rule.is_bound(claim):
        return ()
    pods = ctx.cache(core_v1.Pod).by(CLAIMS, f"{ref.namespace}/{ref.name}")
    return [pod for pod in pods if not is_finished(pod)]


def places(volume: core_v1.PersistentVolume, ctx: Context) -> Iterable[Key]:
    """Keys of the Nodes where a volume is, or is to be."""
    name = volume.metadata.name
    for pod in users(volume, ctx):
        yield Key(pod.spec.nodeName, name)
    for found in ctx.cache(VolumeAttachment).by(PLACES, f"volume/{name}"):
        yield Key(found.spec.nodeName, name)


def of_volume(volume: core_v1.PersistentVolume, ctx: Context) -> Iterable[Key]:
    """Keys of a volume that has changed."""
    return places(volume, ctx) if volume.spec.csi is not None else ()


def of_claim(claim: core_v1.PersistentVolumeClaim, ctx: Context) -> Iterable[Key]:
    """Keys of a claim that has changed."""
    volume = ctx.cache(core_v1.PersistentVolume).get(Key("", claim.spec.volumeName)) if claim.spec.volumeName else None
    return of_volume(volume, ctx) if volume is not None else ()


def of_pod(pod: core_v1.Pod, ctx: Context) -> Iterable[Key]:
    """Keys of a Pod that came to a Node, or has ended."""
    for name in claims_of(pod):
        claim = ctx.cache(core_v1.PersistentVolumeClaim).get(Key(*name.split("/")))
        if claim is not None and claim.spec.volumeName:
            volume = ctx.cache(core_v1.PersistentVolume).get(Key("", claim.spec.volumeName))
            if volume is not None and volume.spec.csi is not None:
                yield Key(pod.spec.nodeName, volume.metadata.name)


def of_attachment(found: VolumeAttachment, ctx: Context) -> Iterable[Key]:
    """Keys of an attachment: its own, and those that may have waited for its end."""
    name = found.spec.source.persistentVolumeName
    if not name:
        return
    yield Key(found.spec.nodeName, name)
    volume = ctx.cache(core_v1.PersistentVolume).get(Key("", name))
    if volume is not None and volume.spec.csi is not None:
        yield from places(volume, ctx)


def of_node(node: core_v1.Node, ctx: Context) -> Iterable[Key]:
    """Keys of a Node that has changed: what is attached, and what may now be."""
    name = node.metadata.name
    for found in ctx.cache(VolumeAttachment).by(PLACES, f"node/{name}"):
        yield Key(name, found.spec.source.persistentVolumeName or "")
    for volume in ctx.cache(core_v1.PersistentVolume):
        if volume.spec.csi is not None and any(pod.spec.nodeName == name for pod in users(volume, ctx)):
            yield Key(name, volume.metadata.name)


def of_driver(driver: CSIDriver, ctx: Context) -> Iterable[Key]:
    """Keys of all volumes of a driver."""
    for volume in ctx.cache(core_v1.PersistentVolume):
        if volume.spec.csi is not None and volume.spec.csi.driver == driver.metadata.name:
            yield from places(volume, ctx)


def node_facts(node: core_v1.Node) -> tuple[object, ...]:
    """What matters of a Node."""
    status = node.status
    return (
        node.metadata.annotations.get(MANAGED),
        is_out_of_service(node),
        node_is_ready(node),
        status.volumesInUse,
        status.volumesAttached,
    )


def is_out_of_service(node: core_v1.Node) -> bool:
    """Whether somebody says that nothing runs there any more (KEP-2268)."""
    return any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)


def used_elsewhere(pod: core_v1.Pod, node: str, volume: core_v1.PersistentVolume, ctx: Context) -> str:
    """Who has the volume on other Nodes, as a Pod of `node` may know it."""
    others = [other for other in users(volume, ctx) if other.spec.nodeName != node]
    own = sorted(other.metadata.name for other in others if other.metadata.namespace == pod.metadata.namespace)
    foreign = len(others) - len(own)
    if not others:
        return "Volume is already exclusively attached to one node and can't be attached to another"
    if not own:
        return f"Volume is already used by {foreign} pod(s) in different namespaces"
    text = f"Volume is already used by pod(s) {', '.join(own)}"
    return f"{text} and {foreign} pod(s) in different namespaces" if foreign else text
