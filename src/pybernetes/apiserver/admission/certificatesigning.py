"""CertificateSigning: only who may `sign` for a signer writes certificates of its requests."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resources.certificates._signing import refuse_unless


async def _validate(request: AdmissionRequest) -> None:
    if request.old is None:
        return
    before, now = request.old.get("status") or {}, request.object.get("status") or {}
    if before.get("certificate") == now.get("certificate") and before.get("conditions") == now.get("conditions"):
        return
    refuse_unless(request.call, "sign", (request.old.get("spec") or {}).get("signerName") or "")


ADMISSION = Admission(
    name="CertificateSigning",
    order=250,
    operations=frozenset({"UPDATE"}),
    resources=frozenset({"certificatesigningrequests.certificates.k8s.io/status"}),
    validate=_validate,
)
