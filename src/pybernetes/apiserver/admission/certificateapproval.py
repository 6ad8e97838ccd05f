"""CertificateApproval: only who may `approve` for a signer approves or denies its requests."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resources.certificates._signing import GROUP, refuse_unless


async def _validate(request: AdmissionRequest) -> None:
    call = request.call
    if call.resource.group != GROUP or call.subresource != "approval" or request.old is None:
        return
    refuse_unless(call, "approve", (request.old.get("spec") or {}).get("signerName") or "")


ADMISSION = Admission(name="CertificateApproval", order=240, operations=frozenset({"UPDATE"}), validate=_validate)
