"""CertificateSubjectRestriction: no certificate makes a member of system:masters."""

import base64
import binascii

from pybernetes.api.errors import forbidden
from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.wire.pki.certificates import parse_request
from pybernetes.wire.pki.keys import PkiError

_GROUP, _PLURAL = "certificates.k8s.io", "certificatesigningrequests"
_SIGNER = "kubernetes.io/kube-apiserver-client"


async def _validate(request: AdmissionRequest) -> None:
    call, spec = request.call, request.object.get("spec") or {}
    if (call.resource.group, call.resource.plural) != (_GROUP, _PLURAL) or call.subresource:
        return
    if spec.get("signerName") != _SIGNER:
        return
    try:
        asked = parse_request(base64.b64decode(spec.get("request") or ""))
    except (PkiError, binascii.Error) as error:
        raise forbidden(call.resource.group_resource, call.name, f"unable to parse CSR: {error}") from None
    if "system:masters" in asked.user.groups:
        why = f"use of {_SIGNER} signer with system:masters group is not allowed"
        raise forbidden(call.resource.group_resource, call.name, why)


ADMISSION = Admission(
    name="CertificateSubjectRestriction", order=270, operations=frozenset({"CREATE"}), validate=_validate
)
