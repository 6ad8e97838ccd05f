"""ServiceCIDRs and IPAddresses: upstream's test/e2e/network/service_cidrs.go."""

import pytest
from tests.examples_of_kinds import example

NETWORKING = "/apis/networking.k8s.io/v1"


@pytest.mark.conformance(
    "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]"
)
async def test_ip_addresses_support_all_verbs(api):
    await api.cycle(f"{NETWORKING}/ipaddresses", example("networking.k8s.io", "v1", "ipaddresses"))


@pytest.mark.conformance(
    "[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]"
)
async def test_the_default_range_is_an_object(api):
    found = {row["name"] for row in (await api.ok("GET", NETWORKING))["resources"]}
    assert {"servicecidrs", "servicecidrs/status"} <= found
    one = await api.ok("GET", f"{NETWORKING}/servicecidrs/kubernetes")
    status = await api.ok("GET", f"{NETWORKING}/servicecidrs/kubernetes/status")
    assert (status["kind"], status["apiVersion"]) == ("ServiceCIDR", "networking.k8s.io/v1")
    assert status["metadata"]["uid"] == one["metadata"]["uid"]
    assert [condition["type"] for condition in status["status"]["conditions"]] == ["Ready"]
    listed = await api.ok("GET", f"{NETWORKING}/servicecidrs")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["kubernetes"]
    seen = await api.watch(f"{NETWORKING}/servicecidrs?watch=1&resourceVersion=0")
    assert (await seen.next())[1]["metadata"]["name"] == "kubernetes"
