"""persistentVolumeClaim: the PersistentVolume that a claim is bound to; local and hostPath ones. See claims.py."""

from pybernetes.kubelet.claims import LOCAL_FOLDER, prepare_claim
from pybernetes.kubelet.volume import VolumeRequest, VolumeType, Work


async def prepare(request: VolumeRequest) -> Work:
    """Raises NotProcessed, MountFailed."""
    source = request.volume.persistentVolumeClaim
    assert source is not None
    return await prepare_claim(request, source.claimName, read_only=source.readOnly)


VOLUME = VolumeType(field="persistentVolumeClaim", folder=LOCAL_FOLDER, prepare=prepare)
