"""Discovery, legacy and aggregated: upstream's apimachinery/discovery.go and aggregated_discovery.go."""

import re

import pytest

from pybernetes.api import facts

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
RELEASED = {(r.group, r.version, r.plural) for r in facts.resources() if re.fullmatch("v[0-9]+", r.version)}


def aggregated(*documents):
    return {
        (group["metadata"].get("name", ""), version["version"], resource["resource"])
        for document in documents
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


@pytest.mark.conformance(
    "[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]"
)
async def test_each_group_prefers_a_version_that_it_has(api):
    groups = (await api.ok("GET", "/apis"))["groups"]
    assert len(groups) > 15
    for group in groups:
        found = await api.ok("GET", f"/apis/{group['name']}")
        versions = [version["groupVersion"] for version in found["versions"]]
        assert found["preferredVersion"]["groupVersion"] in versions
        assert found["preferredVersion"] == group["preferredVersion"]


@pytest.mark.conformance(
    "[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]"
)
async def test_each_group_version_lists_its_resources(api):
    for group, version in sorted({(group, version) for group, version, _ in RELEASED}):
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        found = await api.ok("GET", path)
        assert found["groupVersion"] == (f"{group}/{version}" if group else version)
        names = {row["name"] for row in found["resources"]}
        assert {plural for g, v, plural in RELEASED if (g, v) == (group, version)} <= names, path


@pytest.mark.conformance(
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]"
)
@pytest.mark.conformance(
    "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]"
)
async def test_two_documents_hold_everything(api):
    documents = []
    for path in ("/api", "/apis"):
        response = await api.send("GET", path, accept=f"{V2},application/json;q=0.9")
        assert response.headers.get("content-type") == V2
        documents.append(await api.ok("GET", path, accept=V2))
        assert documents[-1]["kind"] == "APIGroupDiscoveryList"
        assert documents[-1]["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert aggregated(*documents) >= RELEASED
