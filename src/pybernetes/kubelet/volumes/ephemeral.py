"""ephemeral: a claim made for this one Pod, named <pod>-<volume> and owned by it. See claims.py."""

from pybernetes.kubelet.claims import LOCAL_FOLDER, prepare_claim
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, Work


async def prepare(request: VolumeRequest) -> Work:
    """Raises NotProcessed, MountFailed."""
    return await prepare_claim(request, f"{request.pod.metadata.name}-{request.volume.name}", read_only=False)


VOLUME = VolumeType(field="ephemeral", folder=LOCAL_FOLDER, prepare=prepare)
