"""secret: the keys of a Secret as files."""

import base64

from pybernetes.api.errors import NotFound
from pybernetes.api.types import core_v1
from pybernetes.kubelet.atomic_writer import Content
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, optional_items


async def content(request: VolumeRequest) -> Content:
    """Raises NotFound where the Secret is missing and must not be."""
    source = request.volume.secret
    assert source is not None
    mode = 0o644 if source.defaultMode is None else source.defaultMode
    return await files(request, source.secretName, source.items, mode, optional=bool(source.optional))


async def files(
    request: VolumeRequest, name: str, items: tuple[core_v1.KeyToPath, ...], mode: int, *, optional: bool
) -> Content:
    """The files of a Secret, also for projected volumes."""
    try:
        found = await request.sources.secret(request.pod.metadata.namespace, name)
    except NotFound:
        if optional:
            return {}
        raise
    data = {key: base64.b64decode(value) for key, value in found.data.items()}
    return optional_items(data, items, mode, "secret", optional=optional)


VOLUME = VolumeType(field="secret", folder="kubernetes.io~secret", content=content, memory=True)
