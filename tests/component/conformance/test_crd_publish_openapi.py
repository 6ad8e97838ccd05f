"""Custom resources in OpenAPI: upstream's apimachinery/crd_publish_openapi.go, without kubectl (tests/clients has it)."""

import asyncio

import pytest

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
VALIDATED = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"type": "string", "enum": ["young", "old"]},
                            "count": {"type": "integer", "multipleOf": 5, "maximum": 10},
                        },
                    },
                }
            },
        },
        "status": {"type": "object", "x-kubernetes-embedded-resource": False},
    },
}


def crd(group, kind, versions, schema=None):
    plural = f"{kind.lower()}s"
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": name,
                    "served": True,
                    "storage": number == 0,
                    "schema": {"openAPIV3Schema": schema or {"type": "object", PRESERVE: True}},
                }
                for number, name in enumerate(versions)
            ],
        },
    }


def name_of(group, version, kind):
    return ".".join([*reversed(group.split(".")), version, kind])


async def definitions(api):
    return (await api.ok("GET", "/openapi/v2"))["definitions"]


async def until(api, holds):
    """The definitions once `holds` is true of them."""
    for _ in range(1000):
        found = await definitions(api)
        if holds(found):
            return found
        await asyncio.sleep(0)
    raise AssertionError(sorted(name for name in found if not name.startswith("io.k8s")))


async def published(api, *wanted):
    return await until(api, lambda found: all(name in found for name in wanted))


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation schema "
    "[Conformance]"
)
async def test_a_schema_is_published_whole(api):
    await api.ok("POST", CRDS, crd("stable.example.com", "Foo", ["v1"], VALIDATED))
    name = name_of("stable.example.com", "v1", "Foo")
    found = (await published(api, name))[name]
    assert found["description"] == "Foo CRD for Testing"
    spec = found["properties"]["spec"]
    assert spec == VALIDATED["properties"]["spec"]
    assert "x-kubernetes-embedded-resource" not in found["properties"]["status"]
    assert found["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
    assert "kind" in found["properties"]
    assert found["x-kubernetes-group-version-kind"] == [{"group": "stable.example.com", "kind": "Foo", "version": "v1"}]
    core = await api.ok("GET", "/openapi/v3/apis/stable.example.com/v1")
    shown = core["components"]["schemas"][name]
    assert shown["properties"]["spec"] == VALIDATED["properties"]["spec"]
    assert shown["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")
    assert f"{name}List" in core["components"]["schemas"]
    patch = core["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/foos/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation schema "
    "[Conformance]"
)
@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields at "
    "the schema root [Conformance]"
)
async def test_an_open_schema_forbids_nothing_to_old_clients(api):
    await api.ok("POST", CRDS, crd("open.example.com", "Foo", ["v1"]))
    name = name_of("open.example.com", "v1", "Foo")
    found = (await published(api, name))[name]
    assert set(found) == {"type", "x-kubernetes-group-version-kind"}
    core = await api.ok("GET", "/openapi/v3/apis/open.example.com/v1")
    assert core["components"]["schemas"][name][PRESERVE] is True


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields in "
    "an embedded object [Conformance]"
)
async def test_an_open_part_keeps_its_mark_and_loses_what_would_forbid(api):
    part = {
        "type": "object",
        "description": "Specification",
        "properties": {"dummy": {"type": "object"}},
        PRESERVE: True,
    }
    schema = {"type": "object", "properties": {"spec": part, "status": {**part, "nullable": True}}}
    await api.ok("POST", CRDS, crd("nested.example.com", "Foo", ["v1"], schema))
    name = name_of("nested.example.com", "v1", "Foo")
    found = (await published(api, name))[name]
    assert found["properties"]["spec"] == {"description": "Specification", PRESERVE: True}
    assert found["properties"]["status"] == {"description": "Specification", PRESERVE: True}


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different groups "
    "[Conformance]"
)
@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group and "
    "version but different kinds [Conformance]"
)
@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group but "
    "different versions [Conformance]"
)
async def test_definitions_stand_beside_each_other(api):
    names = []
    for group, kind, versions in (
        ("a.example.com", "Foo", ["v1"]),
        ("b.example.com", "Foo", ["v1"]),
        ("b.example.com", "Waldo", ["v1"]),
        ("c.example.com", "Foo", ["v2", "v3"]),
    ):
        await api.ok("POST", CRDS, crd(group, kind, versions, VALIDATED))
        names += [name_of(group, version, kind) for version in versions]
    found = await published(api, *names)
    assert {f"{name}List" for name in names} <= set(found)
    index = (await api.ok("GET", "/openapi/v3"))["paths"]
    assert {"apis/a.example.com", "apis/b.example.com/v1", "apis/c.example.com/v2", "apis/c.example.com/v3"} <= set(
        index
    )


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one version "
    "gets renamed [Conformance]"
)
async def test_a_renamed_version_takes_the_place_of_the_old(api):
    made = crd("renamed.example.com", "Foo", ["v2", "v3"], VALIDATED)
    await api.ok("POST", CRDS, made)
    v2, v3, v4 = (name_of("renamed.example.com", version, "Foo") for version in ("v2", "v3", "v4"))
    before = await published(api, v2, v3)
    rename = [{"op": "test", "path": "/spec/versions/1/name", "value": "v3"}]
    rename.append({"op": "replace", "path": "/spec/versions/1/name", "value": "v4"})
    await api.ok("PATCH", f"{CRDS}/foos.renamed.example.com", rename, content_type="application/json-patch+json")
    found = await until(api, lambda now: v4 in now and v3 not in now)
    assert found[v2] == before[v2]
    assert found[v4]["properties"] == before[v3]["properties"]


@pytest.mark.conformance(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one "
    "version gets changed to not be served [Conformance]"
)
async def test_a_version_that_is_no_longer_served_is_no_longer_published(api):
    await api.ok("POST", CRDS, crd("unserved.example.com", "Foo", ["v5", "v6alpha1"], VALIDATED))
    v5, v6 = (name_of("unserved.example.com", version, "Foo") for version in ("v5", "v6alpha1"))
    before = await published(api, v5, v6)
    unserve = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    await api.ok("PATCH", f"{CRDS}/foos.unserved.example.com", unserve, content_type="application/json-patch+json")
    found = await until(api, lambda now: v6 not in now)
    assert found[v5] == before[v5]
    await api.ok("DELETE", f"{CRDS}/foos.unserved.example.com")
    await until(api, lambda now: v5 not in now)


async def test_the_etag_moves_with_the_definitions_alone(api):
    tag = (await api.send("GET", "/openapi/v2")).headers.get("etag")
    await api.ok("POST", CRDS, crd("etag.example.com", "Foo", ["v1"], VALIDATED))
    await published(api, name_of("etag.example.com", "v1", "Foo"))
    moved = (await api.send("GET", "/openapi/v2")).headers.get("etag")
    assert moved != tag
    assert (await api.send("GET", "/openapi/v2", if_none_match=moved)).status == 304
