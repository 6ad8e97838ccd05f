"""CertificateSubjectRestriction: no certificate makes a member of system:masters."""

import base64
import binascii

from pybernetes.apiserver.admission._followed import refused
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.wire.pki.certificates import parse_request
from pybernetes.wire.pki.keys import PkiError

_SIGNER = "kubernetes.io/kube-apiserver-client"


async def _validate(request: AdmissionRequest) -> None:
    spec = request.object.get("spec") or {}
    if spec.get("signerName") != _SIGNER:
        return
    try:
        asked = parse_request(base64.b64decode(spec.get("request") or ""))
    except (PkiError, binascii.Error) as error:
        raise refused(request, f"unable to parse CSR: {error}") from None
    if "system:masters" in asked.user.groups:
        raise refused(request, f"use of {_SIGNER} signer with system:masters group is not allowed")


ADMISSION = Admission(
    name="CertificateSubjectRestriction",
    order=270,
    operations=frozenset({"CREATE"}),
    resources=frozenset({"certificatesigningrequests.certificates.k8s.io"}),
    validate=_validate,
)
