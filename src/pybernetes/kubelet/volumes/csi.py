"""csi: a volume that a driver makes for one Pod. No driver can register here yet, which FailedMount says in upstream's words."""

from pybernetes.kubelet.volume import VolumeRequest, VolumeType, Work


async def prepare(request: VolumeRequest) -> Work:
    """Raises ValueError."""
    source = request.volume.csi
    assert source is not None
    raise ValueError(f"kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: {unregistered(source.driver)}")


def unregistered(driver: str) -> str:
    """Why a driver cannot be asked."""
    return f"driver name {driver} not found in the list of registered CSI drivers"


VOLUME = VolumeType(field="csi", folder="kubernetes.io~csi", prepare=prepare)
