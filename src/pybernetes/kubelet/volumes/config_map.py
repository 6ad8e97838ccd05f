"""configMap: the keys of a ConfigMap as files."""

import base64

from pybernetes.api.errors import NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import Content, File
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, chosen_items, usual_file


async def content(request: VolumeRequest) -> Content:
    """Raises NotFound where the ConfigMap is missing and must not be."""
    source = request.volume.configMap
    assert source is not None
    usual = usual_file(source.defaultMode, source.defaultUser)
    return await files(request, source.name, source.items, usual, optional=bool(source.optional))


async def files(
    request: VolumeRequest, name: str, items: tuple[core_v1.KeyToPath, ...], usual: File, *, optional: bool
) -> Content:
    """The files of a ConfigMap, also for projected volumes."""
    try:
        found = await request.sources.config_map(request.pod.metadata.namespace, name)
    except NotFound:
        if optional:
            return {}
        raise
    data = {key: value.encode() for key, value in found.data.items()}
    data |= {key: base64.b64decode(value) for key, value in found.binaryData.items()}
    return chosen_items(data, items, usual, "configmap references non-existent config key", optional=optional)


VOLUME = VolumeType(field="configMap", folder="kubernetes.io~configmap", content=content)
