"""EndpointSlices: upstream's test/e2e/network/endpointslice.go, what the API alone has to do."""

import pytest

DISCOVERY = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


@pytest.mark.conformance(
    "[sig-network] EndpointSlice should have Endpoints and EndpointSlices pointing to API Server [Conformance]"
)
async def test_the_api_server_has_both(api):
    groups = await api.ok("GET", "/apis")
    assert "discovery.k8s.io" in [group["name"] for group in groups["groups"]]
    endpoints = await api.ok("GET", "/api/v1/namespaces/default/endpoints/kubernetes")
    assert len(endpoints["subsets"]) == 1
    found = await api.ok("GET", f"{DISCOVERY}?labelSelector=kubernetes.io/service-name%3Dkubernetes")
    assert [piece["addressType"] for piece in found["items"]] == ["IPv4"]
    assert found["items"][0]["endpoints"][0]["addresses"] == [endpoints["subsets"][0]["addresses"][0]["ip"]]


@pytest.mark.conformance(
    "[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]"
)
async def test_slices_have_all_verbs(api):
    slices = {
        "metadata": {"generateName": "e2e-example-ing"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}],
    }
    await api.cycle(DISCOVERY, {**slices, "metadata": {"name": "e2e"}})
    slices["metadata"]["labels"] = {"special-label": "x"}
    names = {(await api.made(DISCOVERY, slices))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("e2e-example-ing") for name in names)
    await api.ok("DELETE", f"{DISCOVERY}?labelSelector=special-label%3Dx")
    assert (await api.ok("GET", f"{DISCOVERY}?labelSelector=special-label%3Dx"))["items"] == []
