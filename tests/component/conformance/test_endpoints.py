"""Endpoints: upstream's test/e2e/network/endpoints.go."""

from typing import Any

import pytest
from tests.component.conformance.e2e import CORE, Workloads, workloads
from tests.component.conformance.test_endpointslice import EMPTY, SERVICES, service, target, told, two_pods
from tests.component.controllers.world import simulated

ENDPOINTS = f"{CORE}/endpoints"


@pytest.mark.conformance("[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]")
@simulated
async def test_the_life_of_an_endpoint():
    """Beside the controllers: Endpoints without a Service are their maker's."""
    async with workloads(nodes=1) as k:
        one, selected = f"{ENDPOINTS}/testservice", "labelSelector=test-endpoint-static%3Dtrue"
        since = await k.since(f"/api/v1/endpoints?{selected}")

        async def seen(kind: str, since: str) -> Any:
            return await k.seen(ENDPOINTS, since, lambda told, _: told == kind, query=f"&{selected}", seconds=30)

        subset = {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
        labels = {"test-endpoint-static": "true"}
        made = await k.made(ENDPOINTS, {"metadata": {"name": "testservice", "labels": labels}, "subsets": [subset]})
        await seen("ADDED", since)
        listed = await k.ok("GET", f"/api/v1/endpoints?{selected}")
        (found,) = listed["items"]
        found["metadata"]["labels"]["test-service"] = "updated"
        await k.ok("PUT", one, found)
        await seen("MODIFIED", listed["metadata"]["resourceVersion"])
        got = await k.ok("GET", one)
        assert got["metadata"]["labels"]["test-service"] == "updated"
        subset = {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}
        patch = {"metadata": {"labels": {"test-service": "patched"}}, "subsets": [subset]}
        patched = await k.ok("PATCH", one, patch)
        assert int(patched["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        await seen("MODIFIED", got["metadata"]["resourceVersion"])
        got = await k.ok("GET", one)
        assert got["metadata"]["labels"]["test-service"] == "patched"
        assert got["subsets"] == [{**subset, "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}]
        await k.ok("DELETE", f"{ENDPOINTS}?{selected}")
        await seen("DELETED", got["metadata"]["resourceVersion"])
        assert not await k.there(one)


@pytest.mark.conformance(
    "[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches no"
    " pods [Conformance]"
)
@simulated
async def test_a_service_that_matches_no_pod_has_empty_endpoints():
    async with workloads(nodes=1) as k:
        await k.made(SERVICES, service("example-empty-selector", EMPTY, name="example"))
        one = f"{ENDPOINTS}/example-empty-selector"
        await k.poll(lambda: k.there(one), 30, every=2)
        assert not (await k.ok("GET", one)).get("subsets")
        await k.ok("DELETE", f"{SERVICES}/example-empty-selector")

        async def gone() -> bool:
            return not await k.there(one)

        await k.poll(gone, 30, every=2)


async def refers(k: Workloads, name: str, *wanted: tuple[Any, str, int]) -> None:
    """The Endpoints of a Service name just these: a Pod, the name of its port and its number."""

    async def enough() -> Any:
        code, found = await k("GET", f"{ENDPOINTS}/{name}")
        return found["subsets"] if code == 200 and len(found.get("subsets", ())) == len(wanted) else None

    found = {}
    for subset in await k.poll(enough, 120, every=2):
        (port,) = subset["ports"]
        assert port["protocol"] == "TCP"
        for address in (*subset.get("addresses", ()), *subset.get("notReadyAddresses", ())):
            found[address["ip"]] = (told(address["targetRef"]), port["name"], port["port"])
    assert found == {pod["status"]["podIP"]: (target(pod), port, number) for pod, port, number in wanted}


@pytest.mark.conformance(
    "[sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]"
)
@simulated
async def test_endpoints_name_the_pods_of_a_service():
    async with workloads() as k:
        first, second = await two_pods(k)
        await refers(k, "example-int-port", (first, "example", 3000))
        await refers(k, "example-named-port", (first, "http", 3000), (second, "http", 3001))
