"""Upstream's test/e2e/apimachinery/aggregated_discovery.go, the behaviours about custom resources."""

from typing import Any

import pytest
from tests.component.api import Api
from tests.component.conformance.crds import definition, established

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def _found(api: Api) -> dict[str, Any]:
    await established(api, definition("found"))
    response = await api.send("GET", "/apis", accept=ACCEPT)
    assert response.headers.get("content-type") == ACCEPT
    answer = await api.ok("GET", "/apis", accept=ACCEPT)
    group = next(one for one in answer["items"] if one["metadata"]["name"] == "mygroup.example.com")
    version = next(one for one in group["versions"] if one["version"] == "v1")
    assert version["freshness"] == "Current"
    found: dict[str, Any] = next(one for one in version["resources"] if one["resource"] == "found")
    return found


@pytest.mark.conformance(
    "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]"
)
async def test_raw_aggregated_discovery_request_for_crds(api: Api) -> None:
    assert (await _found(api))["responseKind"] == {"group": "mygroup.example.com", "version": "v1", "kind": "Foun"}


@pytest.mark.conformance(
    "[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]"
)
async def test_aggregated_discovery_interface_for_crds(api: Api) -> None:
    found = await _found(api)
    assert found["scope"] == "Namespaced"
    assert set(found["verbs"]) >= {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
