"""configMap: the keys of a ConfigMap as files."""

import base64

from pybernetes.api.errors import NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import Content
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, optional_items


async def content(request: VolumeRequest) -> Content:
    """Raises NotFound where the ConfigMap is missing and must not be."""
    source = request.volume.configMap
    assert source is not None
    return await files(request, source.name, source.items, _mode(source.defaultMode), optional=bool(source.optional))


async def files(
    request: VolumeRequest, name: str, items: tuple[core_v1.KeyToPath, ...], mode: int, *, optional: bool
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
    return optional_items(data, items, mode, "configmap", optional=optional)


def _mode(given: int | None) -> int:
    return 0o644 if given is None else given


VOLUME = VolumeType(field="configMap", folder="kubernetes.io~configmap", content=content)
