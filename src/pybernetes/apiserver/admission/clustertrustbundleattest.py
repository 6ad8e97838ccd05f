"""ClusterTrustBundleAttest: only who may `attest` for a signer publishes what its certificates are trusted by."""

from pybernetes.apiserver.extension import Admission, AdmissionRequest
from pybernetes.apiserver.resources.certificates._signing import refuse_unless
from pybernetes.apiserver.validation.meta import changes_only_ownership


async def _validate(request: AdmissionRequest) -> None:
    signer = (request.object.get("spec") or {}).get("signerName") or ""
    if signer and not changes_only_ownership(request.object, request.old):
        refuse_unless(request.call, "attest", signer)


ADMISSION = Admission(
    name="ClusterTrustBundleAttest",
    order=260,
    resources=frozenset({"clustertrustbundles.certificates.k8s.io"}),
    validate=_validate,
)
