"""ServiceCIDRs and IPAddresses: upstream's test/e2e/network/service_cidrs.go."""

import pytest
from tests.examples_of_kinds import example

NETWORKING = "/apis/networking.k8s.io/v1"


@pytest.mark.conformance(
    "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]"
)
async def test_ip_addresses_support_all_verbs(api):
    path = f"{NETWORKING}/ipaddresses"
    await api.cycle(path, example("networking.k8s.io", "v1", "ipaddresses"))
    parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}
    for name, kind in (("255.255.255.255", "broadcast"), ("fe80::42:1dff:fe84:f9e2", "link-local")):
        await api.made(path, {"metadata": {"name": name, "labels": {"type": kind}}, "spec": {"parentRef": parent}})
    await api.ok("DELETE", f"{path}?labelSelector=type%3Dlink-local")
    left = (await api.ok("GET", f"{path}?labelSelector=type"))["items"]
    assert [item["metadata"]["name"] for item in left] == ["255.255.255.255"]


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
    patched = await api.ok("PATCH", f"{NETWORKING}/servicecidrs/kubernetes", {"metadata": {"annotations": {"a": "b"}}})
    patched["metadata"]["annotations"]["updated"] = "true"
    updated = await api.ok("PUT", f"{NETWORKING}/servicecidrs/kubernetes", patched)
    assert updated["metadata"]["annotations"] == {"a": "b", "updated": "true"}
    listed = await api.ok("GET", f"{NETWORKING}/servicecidrs")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["kubernetes"]
    seen = await api.watch(f"{NETWORKING}/servicecidrs?watch=true")
    assert (await seen.next())[1]["metadata"]["name"] == "kubernetes"
