"""PersistentVolumeClaimResize: only a bound claim grows, and only where its class allows it."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.quantity import Quantity
from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.admission.defaultstorageclass import CLASSES
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.rules.podresources import quantities
from pybernetes.rules.quota import storage_class


async def _validate(request: AdmissionRequest) -> None:
    claim, old = request.object, request.old
    if old is None or _size(claim) <= _size(old):
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        raise refused(request, "Only bound persistent volume claims can be expanded")
    name = storage_class(claim)
    found = request.call.registry.look(CLASSES, "", name) if name and name == storage_class(old) else None
    if not (found or {}).get("allowVolumeExpansion"):
        what = "only dynamically provisioned pvc can be resized and"
        raise refused(request, f"{what} the storageclass that provisions the pvc must support resize")


def _size(claim: Mapping[str, Any]) -> Quantity:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests")
    return quantities(requests).get("storage", Quantity())


ADMISSION = Admission(
    name="PersistentVolumeClaimResize",
    order=220,
    operations=frozenset({"UPDATE"}),
    resources=frozenset({"persistentvolumeclaims"}),
    validate=_validate,
)
