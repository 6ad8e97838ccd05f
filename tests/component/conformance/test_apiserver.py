"""The Service of the API servers: upstream's test/e2e/network/apiserver.go."""

import pytest

CORE = "/api/v1/namespaces/default"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


@pytest.mark.conformance("[sig-network] API Server should provide secure master service [Conformance]")
async def test_the_service_kubernetes_is_there(api):
    found = await api.ok("GET", f"{CORE}/services/kubernetes")
    assert [(port["name"], port["port"]) for port in found["spec"]["ports"]] == [("https", 443)]


@pytest.mark.conformance(
    "[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]"
)
async def test_the_api_server_has_both(api):
    groups = await api.ok("GET", "/apis")
    assert "discovery.k8s.io" in [group["name"] for group in groups["groups"]]
    endpoints = await api.ok("GET", f"{CORE}/endpoints/kubernetes")
    assert len(endpoints["subsets"]) == 1
    found = await api.ok("GET", f"{SLICES}?labelSelector=kubernetes.io/service-name%3Dkubernetes")
    assert [piece["addressType"] for piece in found["items"]] == ["IPv4"]
    assert found["items"][0]["endpoints"][0]["addresses"] == [endpoints["subsets"][0]["addresses"][0]["ip"]]
