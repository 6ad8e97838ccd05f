"""CertificateApproval: only who may `approve` for a signer approves or denies its requests."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resources.certificates._signing import refuse_unless


async def _validate(request: AdmissionRequest) -> None:
    if request.old is not None:
        refuse_unless(request.call, "approve", (request.old.get("spec") or {}).get("signerName") or "")


ADMISSION = Admission(
    name="CertificateApproval",
    order=240,
    operations=frozenset({"UPDATE"}),
    resources=frozenset({"certificatesigningrequests.certificates.k8s.io/approval"}),
    validate=_validate,
)
