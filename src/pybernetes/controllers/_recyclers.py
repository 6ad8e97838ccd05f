"""Recyclers: Pods that empty a released volume, so that it is free again. What they are; _recycling.py runs them. Pure.

The policy Recycle is deprecated since long and still kept, for directories of nodes and for NFS.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from pybernetes import KUBERNETES_VERSION
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.rules import volumebinding as rule

NAMESPACE = "default"
PREFIX = "recycler-for-"
CLAIM = "pybernetes.io/recycles-after-claim"
"""Annotation of a recycler: the uid of the claim after which it empties the volume. What it did once says nothing later."""
_GIB = 2**30
_EMPTY = (
    "test -e /scrub && /bin/busybox rm -rf /scrub/..?* /scrub/.[!.]* /scrub/* "
    '&& test -z "$(/bin/busybox ls -A /scrub)" || exit 1'
)


@dataclass(frozen=True, slots=True)
class Recyclers:
    """How long recyclers may take, in seconds, and what they look like; the volume goes in place of their first one."""

    host_path_minimum: int = 60
    host_path_increment: int = 30
    """For each GiB."""
    host_path_template: core_v1.Pod | None = None
    nfs_minimum: int = 300
    nfs_increment: int = 30
    nfs_template: core_v1.Pod | None = None


def is_recyclable(volume: core_v1.PersistentVolume) -> bool:
    """Whether there is a recycler for it."""
    return volume.spec.hostPath is not None or volume.spec.nfs is not None


def key_of_recycler(volume: str, recyclers: Recyclers) -> tuple[Key, ...]:
    """Where the recycler of a volume may be; templates say their own namespaces."""
    named = (recyclers.host_path_template, recyclers.nfs_template)
    spaces = {NAMESPACE, *(pod.metadata.namespace or NAMESPACE for pod in named if pod is not None)}
    return tuple(Key(space, PREFIX + volume) for space in sorted(spaces))


def recycler(volume: core_v1.PersistentVolume, recyclers: Recyclers) -> core_v1.Pod:
    """The Pod that empties it, where the volume can be reached."""
    if volume.spec.hostPath is not None:
        template, minimum = recyclers.host_path_template, recyclers.host_path_minimum
        increment = recyclers.host_path_increment
        source = core_v1.Volume(name="vol", hostPath=volume.spec.hostPath)
    else:
        template, minimum = recyclers.nfs_template, recyclers.nfs_minimum
        increment = recyclers.nfs_increment
        source = core_v1.Volume(name="vol", nfs=volume.spec.nfs)
    pod = template or _default()
    if pod.spec.volumes:
        source = replace(source, name=pod.spec.volumes[0].name)
    seconds = max(minimum, rule.size_of_volume(volume).value() // _GIB * increment)
    required = volume.spec.nodeAffinity.required if volume.spec.nodeAffinity is not None else None
    affinity = pod.spec.affinity
    if required is not None:
        affinity = core_v1.Affinity(
            nodeAffinity=core_v1.NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution=required)
        )
    ref = volume.spec.claimRef
    meta = replace(
        pod.metadata,
        annotations={**pod.metadata.annotations, CLAIM: ref.uid if ref is not None else ""},
        name=PREFIX + volume.metadata.name,
        generateName="",
        namespace=pod.metadata.namespace or NAMESPACE,
    )
    volumes = (source, *pod.spec.volumes[1:])
    spec = replace(pod.spec, activeDeadlineSeconds=seconds, affinity=affinity, volumes=volumes)
    return replace(pod, metadata=meta, spec=spec)


def _default() -> core_v1.Pod:
    container = core_v1.Container(
        name="pv-recycler",
        image=f"docker.io/pybernetes/node:{KUBERNETES_VERSION}",
        imagePullPolicy="IfNotPresent",
        command=("/bin/busybox", "sh", "-c", _EMPTY),
        volumeMounts=(core_v1.VolumeMount(name="vol", mountPath="/scrub"),),
    )
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(annotations={"simulated.pybernetes.io/run-seconds": "0"}),
        spec=core_v1.PodSpec(restartPolicy="Never", automountServiceAccountToken=False, containers=(container,)),
    )
