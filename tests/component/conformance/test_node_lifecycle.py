"""Nodes without a kubelet: upstream's test/e2e/node/node_lifecycle.go."""

import pytest

NODES = "/api/v1/nodes"


@pytest.mark.conformance("[sig-node] Node Lifecycle should run through the lifecycle of a node [Conformance]")
async def test_a_node_is_an_object_like_others(api):
    made = await api.ok("POST", NODES, {"metadata": {"name": "fake"}})
    assert (await api.ok("GET", f"{NODES}/fake"))["metadata"]["uid"] == made["metadata"]["uid"]
    patched = await api.ok("PATCH", f"{NODES}/fake", {"metadata": {"labels": {"fake": "patched"}}})
    assert patched["metadata"]["labels"]["fake"] == "patched"
    listed = await api.ok("GET", f"{NODES}?labelSelector=fake%3Dpatched")
    assert [node["metadata"]["name"] for node in listed["items"]] == ["fake"]
    patched["metadata"]["labels"]["fake"] = "updated"
    assert (await api.ok("PUT", f"{NODES}/fake", patched))["metadata"]["labels"]["fake"] == "updated"
    await api.ok("DELETE", f"{NODES}/fake")
    assert (await api("GET", f"{NODES}/fake"))[0] == 404
