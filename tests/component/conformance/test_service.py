"""Services: upstream's test/e2e/network/service.go, what the API alone has to do."""

import pytest

CORE = "/api/v1/namespaces/default"
SERVICES = f"{CORE}/services"


def service(name, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **spec}}


async def changed(api, first, **spec):
    """A Service after its type was changed by a PUT of all of it."""
    made = await api.ok("POST", SERVICES, first)
    gone = {field for field, value in spec.items() if value is None}
    kept = {field: value for field, value in {**made["spec"], **spec}.items() if field not in gone}
    return made, await api.ok("PUT", f"{SERVICES}/{made['metadata']['name']}", {**made, "spec": kept})


@pytest.mark.conformance(
    "[sig-network] Services should be able to change the type from ExternalName to ClusterIP [Conformance]"
)
async def test_external_name_to_cluster_ip(api):
    first = service("s", type="ExternalName", externalName="foo.example.com")
    made, after = await changed(api, first, type="ClusterIP", externalName=None, ports=[{"port": 80, "name": "http"}])
    assert "clusterIP" not in made["spec"]
    assert after["spec"]["clusterIP"]


@pytest.mark.conformance(
    "[sig-network] Services should be able to change the type from ExternalName to NodePort [Conformance]"
)
async def test_external_name_to_node_port(api):
    first = service("s", type="ExternalName", externalName="foo.example.com")
    _, after = await changed(api, first, type="NodePort", externalName=None)
    assert after["spec"]["clusterIP"]
    assert all(port["nodePort"] for port in after["spec"]["ports"])


@pytest.mark.conformance(
    "[sig-network] Services should be able to change the type from ClusterIP to ExternalName [Conformance]"
)
async def test_cluster_ip_to_external_name(api):
    made, after = await changed(api, service("s"), type="ExternalName", externalName="foo.example.com")
    assert made["spec"]["clusterIP"]
    assert "clusterIP" not in after["spec"]


@pytest.mark.conformance(
    "[sig-network] Services should be able to change the type from NodePort to ExternalName [Conformance]"
)
async def test_node_port_to_external_name(api):
    _, after = await changed(api, service("s", type="NodePort"), type="ExternalName", externalName="foo.example.com")
    assert "clusterIP" not in after["spec"]
    assert "nodePort" not in after["spec"]["ports"][0]


@pytest.mark.conformance("[sig-network] Services should find a service from listing all namespaces [Conformance]")
async def test_the_service_kubernetes_is_found_in_all_namespaces(api):
    found = await api.ok("GET", "/api/v1/services")
    assert ("default", "kubernetes") in [(s["metadata"]["namespace"], s["metadata"]["name"]) for s in found["items"]]


@pytest.mark.conformance("[sig-network] Services should delete a collection of services [Conformance]")
async def test_a_collection_of_services_is_deleted(api):
    for name, labels in (("a", {"e2e": "x"}), ("b", {"e2e": "x"}), ("c", {"e2e": "y"})):
        await api.ok("POST", SERVICES, {**service(name), "metadata": {"name": name, "labels": labels}})
    await api.ok("DELETE", f"{SERVICES}?labelSelector=e2e%3Dx")
    found = await api.ok("GET", f"{SERVICES}?labelSelector=e2e")
    assert [item["metadata"]["name"] for item in found["items"]] == ["c"]


@pytest.mark.conformance("[sig-network] Services should complete a service status lifecycle [Conformance]")
async def test_the_life_of_a_services_status(api):
    body = service("test-service", type="LoadBalancer")
    body["metadata"]["labels"] = {"test-service-static": "true"}
    made = await api.ok("POST", SERVICES, body)
    start = made["metadata"]["resourceVersion"]
    seen = await api.watch(f"{SERVICES}?watch=1&labelSelector=test-service-static%3Dtrue&resourceVersion={start}")
    one = f"{SERVICES}/test-service"
    assert (await api.ok("GET", f"{one}/status"))["status"] == {"loadBalancer": {}}
    ingress = {"ingress": [{"ip": "203.0.113.1"}]}
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"loadBalancer": ingress}}
    patched = await api.ok("PATCH", f"{one}/status", patch)
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
    assert (await seen.until("MODIFIED"))["status"] == patched["status"]
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    condition["lastTransitionTime"] = None  # as the test writes it, who leaves the time zero
    patched["status"]["conditions"] = [condition]
    updated = await api.ok("PUT", f"{one}/status", patched)
    assert updated["status"]["conditions"] == [condition]
    assert updated["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
    assert (await seen.until("MODIFIED"))["status"]["conditions"] == [condition]
    patched = await api.ok("PATCH", one, {"metadata": {"labels": {"test-service": "patched"}}})
    assert patched["metadata"]["labels"]["test-service"] == "patched"
    assert (await seen.until("MODIFIED"))["metadata"]["labels"]["test-service"] == "patched"
    await api.ok("DELETE", one)
    assert (await seen.until("DELETED"))["metadata"]["name"] == "test-service"
