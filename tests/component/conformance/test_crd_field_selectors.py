"""Upstream's test/e2e/apimachinery/crd_selectable_fields.go, with versions that need no webhook to convert them."""

import pytest
from tests.component.api import Api
from tests.component.conformance.crds import definition, established

STRING = {"type": "string"}


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list "
    "and watch custom resources matching the field selector [Conformance]"
)
async def test_custom_resources_are_listed_and_watched_by_field(api: Api) -> None:
    schema = {"type": "object", "properties": {"host": STRING, "port": STRING, "hostPort": STRING}}
    crd = definition("hosts", schema, selectableFields=[{"jsonPath": ".hostPort"}])
    second = {**crd["spec"]["versions"][0], "name": "v2", "storage": False}
    second["selectableFields"] = [{"jsonPath": ".host"}, {"jsonPath": ".port"}]
    crd["spec"]["versions"].append(second)
    await established(api, crd)
    v1, v2 = (f"/apis/mygroup.example.com/{version}/namespaces/default/hosts" for version in ("v1", "v2"))
    for name, host, port in (("one", "host1", "80"), ("two", "host1", "8080"), ("three", "host2", "80")):
        body = {"apiVersion": "mygroup.example.com/v2", "kind": "Host", "metadata": {"name": name}}
        await api.ok("POST", v2, {**body, "host": host, "port": port, "hostPort": f"{host}:{port}"})
    by_host = await api.ok("GET", f"{v2}?fieldSelector=host%3Dhost1")
    assert [one["metadata"]["name"] for one in by_host["items"]] == ["one", "two"]
    assert {one.get("apiVersion", by_host["apiVersion"]) for one in by_host["items"]} == {"mygroup.example.com/v2"}
    both = await api.ok("GET", f"{v2}?fieldSelector=host%3Dhost1,port%3D80")
    assert [one["metadata"]["name"] for one in both["items"]] == ["one"]
    first = await api.ok("GET", f"{v1}?fieldSelector=hostPort%3Dhost2:80")
    assert [one["metadata"]["name"] for one in first["items"]] == ["three"]
    assert (await api("GET", f"{v1}?fieldSelector=host%3Dhost1"))[0] == 400
    at = by_host["metadata"]["resourceVersion"]
    seen2 = await api.watch(f"{v2}?watch=1&fieldSelector=host%3Dhost1&resourceVersion={at}")
    seen1 = await api.watch(f"{v1}?watch=1&fieldSelector=hostPort%3Dhost1:80&resourceVersion={at}")
    await api.ok("DELETE", f"{v2}/one")
    await api.ok("PATCH", f"{v2}/two", {"host": "host2", "hostPort": "host2:8080"})
    for name in ("one", "two"):
        kind, obj = await seen2.next()
        assert (kind, obj["metadata"]["name"], obj["apiVersion"]) == ("DELETED", name, "mygroup.example.com/v2")
    kind, obj = await seen1.next()
    assert (kind, obj["metadata"]["name"], obj["apiVersion"]) == ("DELETED", "one", "mygroup.example.com/v1")
