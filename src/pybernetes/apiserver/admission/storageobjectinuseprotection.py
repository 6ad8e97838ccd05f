"""StorageObjectInUseProtection: claims and volumes get the finalizer that keeps them while something uses them."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest

_FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses": "kubernetes.io/vac-protection",
}


async def _mutate(request: AdmissionRequest) -> None:
    metadata, finalizer = request.object["metadata"], _FINALIZERS[request.call.resource.plural]
    if finalizer not in (metadata.get("finalizers") or ()):
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), finalizer]


ADMISSION = Admission(
    name="StorageObjectInUseProtection",
    order=200,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"persistentvolumeclaims", "persistentvolumes", "volumeattributesclasses.storage.k8s.io"}),
    mutate=_mutate,
)
