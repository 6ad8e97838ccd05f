"""Upstream's test/e2e/apimachinery/crd_watch.go."""

import pytest
from tests.component.api import Api
from tests.component.conformance.crds import definition, established


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch "
    "on custom resource definition objects [Conformance]"
)
async def test_watch_on_custom_resource_definition_objects(api: Api) -> None:
    await established(api, definition("noxus"))
    path = "/apis/mygroup.example.com/v1/namespaces/default/noxus"
    watches = {name: await api.watch(f"{path}?watch=1&fieldSelector=metadata.name%3D{name}") for name in ("a", "b")}
    kinds: dict[str, list[str]] = {"a": [], "b": []}
    for name in ("a", "b"):
        body = {"apiVersion": "mygroup.example.com/v1", "kind": "Noxu", "metadata": {"name": name}}
        made = await api.ok("POST", path, {**body, "content": {"key": "value"}})
        assert made["content"] == {"key": "value"}
    for name in ("a", "b"):
        await api.ok("PATCH", f"{path}/{name}", {"metadata": {"labels": {"watch": name}}})
    for name in ("a", "b"):
        await api.ok("DELETE", f"{path}/{name}")
    for name, seen in watches.items():
        for _ in range(3):
            kind, obj = await seen.next()
            assert obj["metadata"]["name"] == name
            kinds[name].append(kind)
    assert kinds == {"a": ["ADDED", "MODIFIED", "DELETED"], "b": ["ADDED", "MODIFIED", "DELETED"]}
