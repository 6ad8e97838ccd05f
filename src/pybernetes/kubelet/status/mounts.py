"""What a container's status says of its mounts; of images that are volumes, which (KEP-5365). pod_status.py asks."""

from collections.abc import Mapping

from pybernetes.api.types import core_v1


def images_shown(
    pod: core_v1.Pod, pulled: Mapping[str, str], old: core_v1.ContainerStatus | None
) -> Mapping[str, core_v1.VolumeStatus | None]:
    """By volume, of those that are images. `pulled`: image ids by volume; what this process has not pulled is as an
    earlier one reported it in the same container's `old` status."""
    told = {m.name: m.volumeStatus for m in old.volumeMounts} if old is not None else {}
    shown = {v.name: told.get(v.name) for v in pod.spec.volumes if v.image is not None}
    for name in shown.keys() & pulled.keys():
        shown[name] = core_v1.VolumeStatus(image=core_v1.ImageVolumeStatus(imageRef=pulled[name]))
    return shown


def mounts_shown(
    spec: core_v1.Container,
    images: Mapping[str, core_v1.VolumeStatus | None] = {},
) -> tuple[core_v1.VolumeMountStatus, ...]:
    """As the spec has them; without `images` of a container that has not been made."""
    return tuple(
        core_v1.VolumeMountStatus(
            name=m.name,
            mountPath=m.mountPath,
            readOnly=m.readOnly,
            recursiveReadOnly="Disabled" if m.readOnly else None,
            volumeStatus=images.get(m.name),
        )
        for m in spec.volumeMounts
    )
