"""Certificates' objects: upstream's test/e2e/auth/{certificates,podcertificaterequest,projected_clustertrustbundle}.go."""

import pytest
from tests.component.conformance.crud import patched_in_every_way
from tests.examples_of_kinds import example

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
    assert "StatusUpdate" in [found["type"] for found in updated["status"]["conditions"]]
    patched = await api.ok("PATCH", f"{one}/status", {"metadata": {"annotations": {"patchedstatus": "ok"}}})
    assert patched["metadata"]["annotations"]["patchedstatus"] == "ok"
    await api.ok("DELETE", one)


@pytest.mark.conformance(
    "[sig-auth] PodCertificateRequest API [Privileged:ClusterAdmin] should support PodCertificateRequest API "
    "operations [Conformance]"
)
async def test_requests_of_pods(api):
    path = f"{GROUP}/namespaces/default/podcertificaterequests"
    obj = example("certificates.k8s.io", "v1", "podcertificaterequests")
    names = {row["name"]: row for row in (await api.ok("GET", GROUP))["resources"]}
    assert names["podcertificaterequests"]["namespaced"]
    assert "podcertificaterequests/status" in names
    await api.cycle(path, obj)
    await patched_in_every_way(api, path, obj)
    one = f"{path}/{(await api.ok('POST', path, obj))['metadata']['name']}"
    denied = {
        "type": "Denied",
        "status": "True",
        "reason": "Test",
        "message": "no",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    found = await api.ok("PATCH", f"{one}/status", {"status": {"conditions": [denied]}})
    assert found["status"]["conditions"] == [denied]
    assert (await api.ok("GET", f"{one}/status"))["status"] == found["status"]


@pytest.mark.conformance(
    "[sig-auth] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] CRUD Tests "
    "certificates.k8s.io/v1 ClusterTrustBundles [MinimumKubeletVersion:1.37] [Conformance]"
)
async def test_trust_bundles(api):
    path = f"{GROUP}/clustertrustbundles"
    obj = example("certificates.k8s.io", "v1", "clustertrustbundles")
    await api.cycle(path, obj)
    await patched_in_every_way(api, path, obj)
