"""downwardAPI: fields and resources of the Pod as files."""

from pybernetes.api.types import core_v1
from pybernetes.kubelet import downward
from pybernetes.kubelet.atomic_writer import Content, File
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, file_like, usual_file


async def content(request: VolumeRequest) -> Content:
    """Raises ValueError for a field that the downward API has not."""
    source = request.volume.downwardAPI
    assert source is not None
    return files(request, source.items, usual_file(source.defaultMode, source.defaultUser))


def files(request: VolumeRequest, items: tuple[core_v1.DownwardAPIVolumeFile, ...], usual: File) -> Content:
    """The files, also for projected volumes."""
    found: dict[str, File] = {}
    for item in items:
        if item.fieldRef is not None:
            text = downward.field_value(request.pod, item.fieldRef.fieldPath, request.ips, request.node)
        elif item.resourceFieldRef is not None:
            text = downward.resource_value(request.pod, item.resourceFieldRef, None, request.node)
        else:
            continue
        found[item.path] = file_like(usual, text.encode(), item.mode, item.user)
    return found


VOLUME = VolumeType(field="downwardAPI", folder="kubernetes.io~downward-api", content=content, memory=True)
