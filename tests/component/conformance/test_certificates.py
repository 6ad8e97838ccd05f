"""Certificates' objects: upstream's test/e2e/auth/{certificates,podcertificaterequest,projected_clustertrustbundle}.go."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from tests.component.conformance.crud import STATUS_CONDITION, Case, supports_everything
from tests.examples_of_kinds import example

from pybernetes.aio.clock import rfc3339
from pybernetes.wire.pki.certificates import certificate_pem, new_authority
from pybernetes.wire.pki.keys import new_key

GROUP = "/apis/certificates.k8s.io/v1"


@pytest.mark.conformance(
    "[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]"
)
async def test_signing_requests(api):
    path = f"{GROUP}/certificatesigningrequests"
    obj = example("certificates.k8s.io", "v1", "certificatesigningrequests")
    versions = (await api.ok("GET", "/apis/certificates.k8s.io"))["versions"]
    assert {"groupVersion": "certificates.k8s.io/v1", "version": "v1"} in versions
    names = {row["name"] for row in (await api.ok("GET", GROUP))["resources"]}
    assert {f"certificatesigningrequests{sub}" for sub in ("", "/approval", "/status")} <= names
    await api.cycle(path, obj)
    made = await api.ok("POST", path, obj)
    one = f"{path}/{made['metadata']['name']}"
    assert (await api.ok("GET", f"{one}/approval"))["metadata"]["uid"] == made["metadata"]["uid"]
    patch = {
        "metadata": {"annotations": {"patchedapproval": "ok"}},
        "status": {"conditions": [{"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]},
    }
    patched = await api.ok("PATCH", f"{one}/approval", patch)
    assert [found["type"] for found in patched["status"]["conditions"]] == ["ApprovalPatch"]
    assert patched["metadata"]["annotations"]["patchedapproval"] == "ok"
    patched["status"]["conditions"].append(
        {"type": "Approved", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
    )
    patched["metadata"]["annotations"]["updatedapproval"] = "ok"
    updated = await api.ok("PUT", f"{one}/approval", patched)
    assert [found["type"] for found in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved"]
    assert updated["metadata"]["annotations"]["updatedapproval"] == "ok"
    current = await api.ok("GET", f"{one}/status")
    current["status"]["conditions"].append(
        {"type": "StatusUpdate", "status": "True", "reason": "e2e", "message": "set"}
    )
    current["metadata"]["annotations"]["updatedstatus"] = "ok"
    updated = await api.ok("PUT", f"{one}/status", current)
    assert len(updated["status"]["conditions"]) == 3
    assert "StatusUpdate" in [found["type"] for found in updated["status"]["conditions"]]
    patched = await api.ok("PATCH", f"{one}/status", {"metadata": {"annotations": {"patchedstatus": "ok"}}})
    assert patched["metadata"]["annotations"]["patchedstatus"] == "ok"
    chain = b"".join(certificate_pem(new_authority(name, 1767225600.0).certificate) for name in ("leaf", "issuer"))
    certificate = b64encode(chain).decode()
    patched = await api.ok("PATCH", f"{one}/status", {"status": {"certificate": certificate}})
    assert patched["status"]["certificate"] == certificate
    signed = f"{path}?fieldSelector=spec.signerName%3D{obj['spec']['signerName'].replace('/', '%2F')}"
    for name in ("second", "third"):
        await api.ok("POST", path, {**obj, "metadata": {"name": name}})
    await api.ok("DELETE", one)
    assert len((await api.ok("GET", signed))["items"]) == 2
    await api.ok("DELETE", signed)
    assert (await api.ok("GET", signed))["items"] == []


@pytest.mark.conformance(
    "[sig-auth] PodCertificateRequest API [Privileged:ClusterAdmin] should support PodCertificateRequest API "
    "operations [Conformance]"
)
async def test_requests_of_pods(api):
    names = {row["name"]: row for row in (await api.ok("GET", GROUP))["resources"]}
    assert names["podcertificaterequests"]["namespaced"]
    assert "podcertificaterequests/status" in names
    key, now = new_key(), int(api.server.clock.now())
    obj = example("certificates.k8s.io", "v1", "podcertificaterequests")
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, SHA256()).public_bytes(Encoding.DER)
    obj["metadata"] = {"name": "test", "generateName": "e2e-example-pcr-"}
    obj["spec"] |= {"maxExpirationSeconds": 86400, "stubPKCS10Request": b64encode(request).decode()}
    begin, end = datetime.fromtimestamp(now - 60, UTC), datetime.fromtimestamp(now + 3540, UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "e2e.example.com")])
    leaf = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end)
    status = {
        "certificateChain": certificate_pem(leaf.sign(key, SHA256())).decode(),
        "notBefore": rfc3339(now - 60),
        "notAfter": rfc3339(now + 3540),
        "beginRefreshAt": rfc3339(now + 840),
        "conditions": [{**STATUS_CONDITION, "type": "Issued", "lastTransitionTime": rfc3339(now)}],
    }
    await supports_everything(api, Case(GROUP, "podcertificaterequests", obj, "default", status=status))


@pytest.mark.conformance(
    "[sig-auth] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] CRUD Tests "
    "certificates.k8s.io/v1 ClusterTrustBundles [MinimumKubeletVersion:1.37] [Conformance]"
)
async def test_trust_bundles(api):
    obj = example("certificates.k8s.io", "v1", "clustertrustbundles")
    await supports_everything(api, Case(GROUP, "clustertrustbundles", obj))
