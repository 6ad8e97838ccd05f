"""Upstream's test/e2e/apimachinery/custom_resource_definition.go."""

from typing import Any

import pytest
from tests.component.api import Api
from tests.component.conformance.crds import CRDS, definition, established, gone

_SUITE = "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] "
STRING = {"type": "string"}


@pytest.mark.conformance(
    _SUITE + "Simple CustomResourceDefinition creating/deleting custom resource definition objects works [Conformance]"
)
async def test_creating_and_deleting_custom_resource_definition_objects_works(api: Api) -> None:
    crd = await established(api, definition("foos"))
    name = crd["metadata"]["name"]
    assert (await api.ok("GET", "/apis/mygroup.example.com/v1/foos"))["items"] == []
    await api.ok("DELETE", f"{CRDS}/{name}")
    await gone(api, f"{CRDS}/{name}")
    assert (await api("GET", "/apis/mygroup.example.com/v1/foos"))[0] == 404


@pytest.mark.conformance(
    _SUITE + "Simple CustomResourceDefinition listing custom resource definition objects works [Conformance]"
)
async def test_listing_custom_resource_definition_objects_works(api: Api) -> None:
    for number in range(10):
        crd = definition(f"e2etest{number}s")
        crd["metadata"]["labels"] = {"e2e-list-test-uuid": "here"}
        await api.ok("POST", CRDS, crd)
    selected = f"{CRDS}?labelSelector=e2e-list-test-uuid%3Dhere"
    listed = await api.ok("GET", selected)
    assert len(listed["items"]) == 10
    assert listed["kind"] == "CustomResourceDefinitionList"
    await api.ok("DELETE", selected)
    for item in listed["items"]:
        await gone(api, f"{CRDS}/{item['metadata']['name']}")
    assert (await api.ok("GET", selected))["items"] == []


@pytest.mark.conformance(
    _SUITE + "Simple CustomResourceDefinition getting/updating/patching custom resource definition status sub-resource"
    " works [Conformance]"
)
async def test_the_status_sub_resource_works(api: Api) -> None:
    crd = await established(api, definition("bars"))
    one = f"{CRDS}/{crd['metadata']['name']}/status"
    found = await api.ok("GET", one)
    assert found["status"] == crd["status"]
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    found["status"]["conditions"].append(condition)
    updated = await api.ok("PUT", one, found)
    assert condition.items() <= updated["status"]["conditions"][-1].items()
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": []}}
    patch["status"]["conditions"] = [*updated["status"]["conditions"], {**condition, "type": "StatusPatched"}]
    patched = await api.ok("PATCH", one, patch)
    assert patched["metadata"]["annotations"] == {"patchedstatus": "true"}
    assert "StatusPatched" in {each["type"] for each in patched["status"]["conditions"]}
    assert patched["spec"] == crd["spec"]
    found["metadata"]["resourceVersion"] = patched["metadata"]["resourceVersion"]
    found["status"]["conditions"].append({"type": "", "status": "", "lastTransitionTime": None, "message": "updated"})
    bare = (await api.ok("PUT", one, found))["status"]["conditions"][-1]
    assert {name: text for name, text in bare.items() if text} == {"message": "updated"}
    patch = [{"op": "add", "path": "/status/conditions", "value": [{"message": "patched"}]}]
    patched = await api.ok("PATCH", one, patch, content_type="application/json-patch+json")
    (bare,) = patched["status"]["conditions"]
    assert {name: text for name, text in bare.items() if text} == {"message": "patched"}


@pytest.mark.conformance(
    _SUITE + "should include custom resource definition resources in discovery documents [Conformance]"
)
async def test_discovery_documents_include_custom_resource_definition_resources(api: Api) -> None:
    groups = {group["name"]: group for group in (await api.ok("GET", "/apis"))["groups"]}
    version = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
    assert version in groups["apiextensions.k8s.io"]["versions"]
    assert version in (await api.ok("GET", "/apis/apiextensions.k8s.io"))["versions"]
    rows = (await api.ok("GET", "/apis/apiextensions.k8s.io/v1"))["resources"]
    assert "CustomResourceDefinition" in {row["kind"] for row in rows if row["name"] == "customresourcedefinitions"}


@pytest.mark.conformance(_SUITE + "custom resource defaulting for requests and from storage works [Conformance]")
async def test_defaulting_for_requests_and_from_storage_works(api: Api) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {**STRING, "default": "A"}, "b": STRING}}
    await established(api, definition("quxes", schema))
    path = "/apis/mygroup.example.com/v1/namespaces/default/quxes"
    body = {"apiVersion": "mygroup.example.com/v1", "kind": "Quxe", "metadata": {"name": "one"}}
    made = await api.ok("POST", path, body)
    assert (made["a"], "b" in made) == ("A", False)
    name = f"{CRDS}/quxes.mygroup.example.com"
    operations = [
        {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/a/default"},
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/b/default", "value": "B"},
    ]
    await api.ok("PATCH", name, operations, content_type="application/json-patch+json")
    for _ in range(1000):
        got = await api.ok("GET", f"{path}/one")
        if got.get("b"):
            break
    assert (got["a"], got["b"]) == ("A", "B")
