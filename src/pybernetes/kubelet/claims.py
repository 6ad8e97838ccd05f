"""From a claim that a Pod names to what is mounted: checks as upstream's volume manager makes them, in its words.

volumes/persistent_volume_claim.py and volumes/ephemeral.py ask; local and hostPath volumes are mounted here, others come
with drivers (CSI).
"""

from functools import partial
from pathlib import Path

from msgspec import Struct

from pybernetes.api.errors import ApiError
from pybernetes.api.types import core_v1
from pybernetes.kernel import mounts
from pybernetes.kubelet.ownership import Ownership, take_over
from pybernetes.kubelet.pod_containers import containers_of
from pybernetes.kubelet.volume import Mounted, MountFailed, NotProcessed, VolumeRequest, Work, words
from pybernetes.kubelet.volumes import csi, host_path
from pybernetes.rules.affinity import selects
from pybernetes.rules.ownership import controller_of

_FLAGS = {"rw": 0, "ro": mounts.RDONLY, "nosuid": mounts.NOSUID, "nodev": mounts.NODEV, "noexec": mounts.NOEXEC}
LOCAL_FOLDER = "kubernetes.io~local-volume"


class _Local(Struct, frozen=True):
    """A directory of the node to be bound into the Pod's folder."""

    name: str
    source: Path
    folder: Path
    flags: int
    ownership: Ownership
    alone: bool
    """ReadWriteOncePod."""


async def prepare_claim(request: VolumeRequest, name: str, *, read_only: bool) -> Work:
    """Finds the PersistentVolume of a claim. Raises NotProcessed, MountFailed."""
    namespace = request.pod.metadata.namespace
    try:
        claim = await _bound_claim(request, namespace, name)
        volume = await _its_volume(request, claim)
    except NotProcessed as error:
        raise NotProcessed(f"error processing PVC {namespace}/{name}: {error}") from None
    if request.volume.ephemeral is not None:
        _check_owner(request.pod, claim)
    _check_mode(request, volume)
    await _check_node(request, volume)
    if volume.spec.local is not None:
        return partial(_bind, _local(request, volume, read_only=read_only), request)
    if volume.spec.hostPath is not None:
        if volume.spec.mountOptions:
            why = "mount options are not supported for this volume type"
            raise MountFailed(
                f'MountVolume.MountOptionSupport check failed for volume "{volume.metadata.name}" : {why}'
            )
        source = volume.spec.hostPath
        return partial(_host_path, volume.metadata.name, source.path, source.type or "", read_only)
    if volume.spec.csi is not None:
        why = f"attacher.MountDevice failed to create newCsiDriverClient: {csi.unregistered(volume.spec.csi.driver)}"
        raise MountFailed(
            f'MountVolume.MountDevice failed for volume "{volume.metadata.name}" : kubernetes.io/csi: {why}'
        )
    own = request.volume.name
    raise NotProcessed(f'failed to get Plugin from volumeSpec for volume "{own}" err=no volume plugin matched')


async def _bound_claim(request: VolumeRequest, namespace: str, name: str) -> core_v1.PersistentVolumeClaim:
    try:
        claim = await request.sources.claim(namespace, name)
    except (ApiError, OSError) as error:
        raise NotProcessed(f"failed to fetch PVC from API server: {error}") from None
    if claim.metadata.deletionTimestamp is not None:
        raise NotProcessed("PVC is being deleted")
    if claim.status.phase != "Bound":
        raise NotProcessed("PVC is not bound")
    if not claim.spec.volumeName:
        raise NotProcessed("PVC has empty pvc.Spec.VolumeName")
    return claim


def _check_owner(pod: core_v1.Pod, claim: core_v1.PersistentVolumeClaim) -> None:
    owner = controller_of(claim.metadata)
    if owner is None or owner.uid != pod.metadata.uid:
        whose = f"PVC {claim.metadata.namespace}/{claim.metadata.name} was not created for pod"
        raise NotProcessed(f"{whose} {pod.metadata.namespace}/{pod.metadata.name} (pod is not owner)")


async def _its_volume(request: VolumeRequest, claim: core_v1.PersistentVolumeClaim) -> core_v1.PersistentVolume:
    name, uid = claim.spec.volumeName, claim.metadata.uid
    try:
        volume = await request.sources.persistent_volume(name)
    except (ApiError, OSError) as error:
        raise NotProcessed(f"failed to fetch PV {name} from API server: {error}") from None
    owner = volume.spec.claimRef
    found = f"found PV object {name} but"
    if owner is None:
        raise NotProcessed(f"{found} it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim")
    if owner.uid != uid:
        raise NotProcessed(f"{found} its pv.Spec.ClaimRef.UID {owner.uid} does not point to claim.UID {uid}")
    return volume


def _check_mode(request: VolumeRequest, volume: core_v1.PersistentVolume) -> None:
    mode, name = volume.spec.volumeMode or "Filesystem", request.volume.name
    containers = containers_of(request.pod)
    said = f"volume {name} has volumeMode {mode}, but"
    if mode != "Filesystem" and any(mount.name == name for c in containers for mount in c.volumeMounts):
        raise NotProcessed(f"{said} is specified in volumeMounts")
    if mode != "Block" and any(device.name == name for c in containers for device in c.volumeDevices):
        raise NotProcessed(f"{said} is specified in volumeDevices")
    if mode == "Block":
        raise NotProcessed(f"{said} this node maps no block devices into containers")


async def _check_node(request: VolumeRequest, volume: core_v1.PersistentVolume) -> None:
    required = volume.spec.nodeAffinity.required if volume.spec.nodeAffinity is not None else None
    if required is None:
        return
    node = await request.sources.node()
    if not selects(required, node.metadata.labels, node.metadata.name):
        name = volume.metadata.name
        raise MountFailed(f'MountVolume.NodeAffinity check failed for volume "{name}" : no matching NodeSelectorTerms')


def _local(request: VolumeRequest, volume: core_v1.PersistentVolume, *, read_only: bool) -> _Local:
    assert volume.spec.local is not None
    name, flags = volume.metadata.name, mounts.RDONLY if read_only else 0
    for option in volume.spec.mountOptions:
        if option not in _FLAGS:
            raise MountFailed(f'MountVolume.SetUp failed for volume "{name}" : no mount option "{option}" for a bind')
        flags |= _FLAGS[option]
    context = request.pod.spec.securityContext
    policy = context.fsGroupChangePolicy if context is not None else None
    return _Local(
        name=name,
        source=Path(volume.spec.local.path),
        folder=request.folder.parent.parent / LOCAL_FOLDER / name,
        flags=flags,
        ownership=Ownership(request.group, on_root_mismatch=policy == "OnRootMismatch"),
        alone="ReadWriteOncePod" in volume.spec.accessModes,
    )


def _bind(local: _Local, request: VolumeRequest) -> Mounted:
    if not local.source.is_dir():
        why = "only directories are supported" if local.source.exists() else "does not exist"
        raise MountFailed(
            f'MountVolume.NewMounter initialization failed for volume "{local.name}" : path "{local.source}" {why}'
        )
    if not mounts.is_mount(local.folder):
        if local.alone and _used_by_others(local.folder):
            why = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"
            raise MountFailed(f'MountVolume.SetUp failed for volume "{local.name}" : {why}')
        _mount(local)
    read_only = bool(local.flags & mounts.RDONLY)
    group = local.ownership.group
    if group is None or read_only:
        return Mounted(local.folder, read_only=read_only)
    if not _used_by_others(local.folder):
        take_over(local.folder, local.ownership, request.counted)
        return Mounted(local.folder)
    has = local.folder.stat().st_gid
    warning = (
        f"The requested fsGroup is {group}, but the volume {local.name} has GID {has}. The volume may not be shareable."
    )
    return Mounted(local.folder, warning=warning if has != group else "")


def _mount(local: _Local) -> None:
    local.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    mounts.bind(local.source, local.folder)
    if local.flags:
        try:
            mounts.mount("none", local.folder, flags=mounts.BIND | mounts.REMOUNT | local.flags)
        except OSError:
            mounts.unmount(local.folder, detach=True)
            raise


def _used_by_others(folder: Path) -> bool:
    """Whether another Pod of this kubelet has the same volume mounted."""
    pods, end = f"{folder.parents[3]}/", f"/volumes/{LOCAL_FOLDER}/{folder.name}"
    places = (m.target for m in mounts.table())
    return any(p.startswith(pods) and p.endswith(end) and p != str(folder) for p in places)


def _host_path(name: str, path: str, kind: str, read_only: bool) -> Mounted:
    try:
        return host_path.check(path, kind, read_only=read_only)
    except (OSError, ValueError) as error:
        raise MountFailed(f'MountVolume.SetUp failed for volume "{name}" : {words(error)}') from None
