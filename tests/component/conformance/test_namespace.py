"""Namespaces: upstream's test/e2e/apimachinery/namespace.go, those that need no controller."""

import pytest
from tests.component.api import STRATEGIC

NAMESPACES = "/api/v1/namespaces"
ONE = f"{NAMESPACES}/nspatchtest"


@pytest.mark.conformance("[sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]")
async def test_a_namespace_is_patched(api):
    made = await api.ok("POST", NAMESPACES, {"metadata": {"name": "nspatchtest"}})
    patched = await api.ok("PATCH", ONE, {"metadata": {"labels": {"testLabel": "testValue"}}}, content_type=STRATEGIC)
    assert int(patched["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert (await api.ok("GET", ONE))["metadata"]["labels"]["testLabel"] == "testValue"


@pytest.mark.conformance("[sig-api-machinery] Namespaces should apply an update to a Namespace [Conformance] [Serial]")
async def test_a_namespace_is_updated(api):
    made = await api.ok("POST", NAMESPACES, {"metadata": {"name": "nspatchtest"}})
    made["metadata"]["labels"]["ns"] = "updated"
    assert (await api.ok("PUT", ONE, made))["metadata"]["labels"]["ns"] == "updated"


@pytest.mark.conformance(
    "[sig-api-machinery] Namespaces should apply changes to a namespace status [Conformance] [Serial]"
)
async def test_the_status_of_a_namespace_changes(api):
    await api.ok("POST", NAMESPACES, {"metadata": {"name": "nspatchtest"}})
    got = await api.ok("GET", f"{ONE}/status")
    assert got["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    condition["lastTransitionTime"] = None  # as the test writes it, who leaves the time zero
    patch = {"metadata": {"annotations": {"e2e-patched": "true"}}, "status": {"conditions": [condition]}}
    patched = await api.ok("PATCH", f"{ONE}/status", patch)
    assert patched["metadata"]["annotations"]["e2e-patched"] == "true"
    assert [one["reason"] for one in patched["status"]["conditions"]] == ["E2E"]
    patched["status"]["conditions"].append({**condition, "type": "StatusUpdate"})
    updated = await api.ok("PUT", f"{ONE}/status", patched)
    assert [one["type"] for one in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
    assert updated["status"]["phase"] == "Active"


@pytest.mark.conformance(
    "[sig-api-machinery] Namespaces should apply a finalizer to a Namespace [Conformance] [Serial]"
)
async def test_a_finalizer_is_applied(api):
    made = await api.ok("POST", NAMESPACES, {"metadata": {"name": "nspatchtest"}})
    made["spec"]["finalizers"].append("e2e.example.com/fakeFinalizer")
    updated = await api.ok("PUT", f"{ONE}/finalize", made)
    assert "e2e.example.com/fakeFinalizer" in updated["spec"]["finalizers"]
    updated["spec"]["finalizers"] = ["kubernetes"]
    assert (await api.ok("PUT", f"{ONE}/finalize", updated))["spec"] == {"finalizers": ["kubernetes"]}
