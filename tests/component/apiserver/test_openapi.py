"""What the server says of its own API: /openapi/v2 and /openapi/v3, as kubectl and generators of clients read it."""

import gzip

import orjson

from pybernetes.api import facts
from pybernetes.wire.http import read_body

PROTO = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
POD = "io.k8s.api.core.v1.Pod"


async def document(api, path, **headers):
    response = await api.send("GET", path, **headers)
    assert response.status == 200, response.body
    return orjson.loads(await read_body(response))


async def v3(api):
    index = await document(api, "/openapi/v3")
    return {path: await document(api, where["serverRelativeURL"]) for path, where in index["paths"].items()}


def references(value):
    """Every name that a `$ref` in a document names."""
    if isinstance(value, dict):
        found = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_every_reference_leads_somewhere(api):
    for path, found in (await v3(api)).items():
        assert references(found) <= set(found["components"]["schemas"]), path
    whole = await document(api, "/openapi/v2")
    assert references(whole) <= set(whole["definitions"])


async def test_every_served_verb_has_its_operation(api):
    documents = await v3(api)
    names = []
    for served in api.server.catalog:
        known = served.facts
        place = f"apis/{known.group}/{known.version}" if known.group else f"api/{known.version}"
        collection = f"/{place}/namespaces/{{namespace}}/" if known.namespaced else f"/{place}/"
        paths = documents[place]["paths"]
        found = paths.get(f"{collection}{known.plural}", {}) | {
            f"one {method}": operation
            for method, operation in paths.get(f"{collection}{known.plural}/{{name}}", {}).items()
        }
        wanted = {"list": "get", "create": "post", "deletecollection": "delete", "get": "one get"}
        wanted |= {"update": "one put", "patch": "one patch", "delete": "one delete"}
        for verb in known.verbs:
            assert verb == "watch" or wanted[verb] in found, (place, known.plural, verb)
    for found in documents.values():
        for item in found["paths"].values():
            names += [op["operationId"] for method, op in item.items() if method != "parameters"]
    assert len(names) == len(set(names))
    assert {"listCoreV1NamespacedPod", "replaceAppsV1NamespacedDeploymentScale", "readCoreV1NodeStatus"} <= set(names)
    assert {"listRbacAuthorizationV1ClusterRole", "connectCoreV1PostNamespacedPodExec"} <= set(names)


async def test_v3_says_what_v2_cannot(api):
    core = (await document(api, "/openapi/v3/api/v1"))["components"]["schemas"]
    port = core["io.k8s.api.core.v1.ContainerPort"]["properties"]
    assert port["protocol"]["default"] == "TCP"
    assert port["protocol"]["enum"] == ["SCTP", "TCP", "UDP"]
    assert core[POD]["properties"]["spec"] == core[POD]["properties"]["spec"] | {
        "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}],
        "default": {},
    }
    old = (await document(api, "/openapi/v2"))["definitions"]
    assert old[POD]["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    ports = old["io.k8s.api.core.v1.Container"]["properties"]["ports"]
    assert ports["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert ports["x-kubernetes-patch-merge-key"] == "containerPort"


async def test_a_patch_says_that_it_can_be_validated(api):
    core = await document(api, "/openapi/v3/api/v1")
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "force", "fieldManager"} <= {p["name"] for p in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


async def test_documents_are_kept_until_they_change(api):
    response = await api.send("GET", "/openapi/v2")
    etag = response.headers.get("etag")
    assert etag.startswith('"')
    assert (await api.send("GET", "/openapi/v2")).headers.get("etag") == etag
    unchanged = await api.send("GET", "/openapi/v2", if_none_match=etag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    zipped = await api.send("GET", "/openapi/v2", accept_encoding="gzip")
    assert zipped.headers.get("content-encoding") == "gzip"
    assert gzip.decompress(zipped.body) == response.body


async def test_client_go_gets_the_protobuf_it_asks_for(api):
    response = await api.send("GET", "/openapi/v2", accept=PROTO)
    assert response.headers.get("content-type") == PROTO.replace("@", ".")
    assert response.body.startswith(b"\n\x032.0")  # field 1, the version of swagger
    assert b"io.k8s.api.core.v1.PodSpec" in response.body


async def test_the_index_names_every_group_and_its_list(api):
    index = (await document(api, "/openapi/v3"))["paths"]
    assert {"api", "apis", "version", "api/v1", "apis/apps", "apis/apps/v1"} <= set(index)
    assert index["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")
    assert (await api("GET", "/openapi/v3/apis/nobody/v1"))[0] == 404


async def test_the_release_is_told(api):
    info = (await document(api, "/openapi/v2"))["info"]
    assert info == {"title": "Kubernetes", "version": f"v{facts.RELEASE}.0"}
