"""What typed Go clients send, byte by byte: protobuf, streaming lists, frames, gzip; on every built-in kind."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pybernetes.api import schema
from pybernetes.api.objects import GroupVersionKind, split_api_version
from pybernetes.wire.codecs import protobuf
from tests.clients import frames, kinds
from tests.clients.conftest import Cluster
from tests.clients.web import Answer, Web

PROTO = "application/vnd.kubernetes.protobuf"
ACCEPT = f"{PROTO},application/json"
AGENT = "operator/v1.0 (linux/amd64) kubernetes/abcdef0"
SENT = {"Accept": ACCEPT, "User_Agent": AGENT, "Accept_Encoding": "gzip"}
STREAMING = (
    "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&timeoutSeconds=20&watch=true"
)
METADATA = f"{PROTO};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = f"{PROTO};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@pytest.fixture
def web(cluster: Cluster) -> Iterator[Web]:
    with cluster.web() as connected:
        yield connected


def body(obj: dict[str, Any]) -> bytes:
    """An object as client-go writes it."""
    gvk = GroupVersionKind(*split_api_version(obj["apiVersion"]), obj["kind"])
    name = schema.type_name(gvk)
    assert name is not None
    return frames.wrapped(obj["apiVersion"], obj["kind"], protobuf.encode(obj, name))


def read(answer: Answer, status: int = 200) -> dict[str, Any]:
    """The object of a protobuf answer."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == PROTO
    frames.unwrapped(answer.body)
    return dict(protobuf.decode_object(answer.body))


@pytest.mark.parametrize("key", kinds.keys(), ids=lambda key: ".".join(filter(None, (key[2], key[1], key[0]))))
def test_every_kind_goes_round_in_protobuf(web: Web, namespace: str, key: kinds.Key):
    collection, example = kinds.placed(key, namespace)
    path = f"{collection}/{example['metadata']['name']}"
    try:
        created = read(web.send("POST", collection, body(example), Content_Type=PROTO, **SENT), 201)
        assert (created["kind"], created["apiVersion"]) == (example["kind"], example["apiVersion"])
        assert created["metadata"]["uid"]
        _both_forms_are_the_same(web, path)
        _metadata_alone(web, path, example)
        _listed(web, collection, example)
        _streamed(web, collection, example)
        _updated(web, path, key[2])
    finally:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        web.send("DELETE", path, body(options), Content_Type=PROTO, **SENT)
        kinds.freed(web, path)
    missing = web.send("GET", f"{path}-none", **SENT)
    _, kind, raw = frames.unwrapped(missing.body)
    status = frames.fields(raw)
    assert (missing.status, kind, frames.text(status, 2), frames.text(status, 4)) == (
        404,
        "Status",
        "Failure",
        "NotFound",
    )


def _both_forms_are_the_same(web: Web, path: str) -> None:
    for _ in range(50):  # controllers write too: until nobody did in between
        in_protobuf = read(web.send("GET", path, **SENT))
        in_json = web.send("GET", path, Accept="application/json").json()
        if in_json["metadata"]["resourceVersion"] == in_protobuf["metadata"]["resourceVersion"]:
            break
    assert in_protobuf == in_json


def _metadata_alone(web: Web, path: str, example: dict[str, Any]) -> None:
    """By field numbers of generated.proto: name 1, namespace 3, uid 5, resourceVersion 6."""
    answer = web.send("GET", path, Accept=f"{METADATA},application/json", User_Agent=AGENT)
    version, kind, raw = frames.unwrapped(answer.body)
    assert (version, kind) == ("meta.k8s.io/v1", "PartialObjectMetadata")
    metadata = frames.inner(frames.fields(raw), 1)
    assert frames.text(metadata, 1) == example["metadata"]["name"]
    assert frames.text(metadata, 3) == example["metadata"].get("namespace", "")
    assert len(frames.text(metadata, 5)) == 36
    assert int(frames.text(metadata, 6)) > 0


def _listed(web: Web, collection: str, example: dict[str, Any]) -> None:
    answer = web.send("GET", f"{collection}?limit=500&resourceVersion=0", **SENT)
    listed = read(answer)
    assert (listed["kind"], listed["apiVersion"]) == (f"{example['kind']}List", example["apiVersion"])
    assert example["metadata"]["name"] in [item["metadata"]["name"] for item in listed["items"]]
    partial = web.send("GET", collection, Accept=f"{METADATA_LIST},application/json")
    assert frames.unwrapped(partial.body)[:2] == ("meta.k8s.io/v1", "PartialObjectMetadataList")


def _streamed(web: Web, collection: str, example: dict[str, Any]) -> None:
    """A reflector's list: everything there is as ADDED, then the bookmark that says so, then what happens."""
    stream = web.open("GET", f"{collection}?{STREAMING}", **SENT)
    assert stream.headers["Content-Type"] == f"{PROTO};stream=watch"
    seen = []
    for kind, raw in frames.events(stream):
        obj = protobuf.decode_object(raw)
        if kind == "BOOKMARK":
            assert obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            assert frames.unwrapped(raw)[:2] == (example["apiVersion"], example["kind"])
            break
        assert kind in ("ADDED", "MODIFIED")
        assert (obj["kind"], obj["apiVersion"]) == (example["kind"], example["apiVersion"])
        seen.append(obj["metadata"]["name"])
    else:
        pytest.fail("no bookmark after the initial events")
    assert example["metadata"]["name"] in seen
    stream.close()
    web.again()


def _updated(web: Web, path: str, plural: str) -> None:
    for _ in range(20):
        current = read(web.send("GET", path, **SENT))
        current["metadata"].setdefault("labels", {})["from"] = "go"
        answer = web.send("PUT", path, body(current), Content_Type=PROTO, **SENT)
        if answer.status != 409:
            break
    assert read(answer)["metadata"]["labels"]["from"] == "go", plural
    patch = json.dumps({"metadata": {"labels": {"and": "patched"}}}).encode()
    patched = web.send("PATCH", path, patch, Content_Type="application/strategic-merge-patch+json", **SENT)
    assert read(patched)["metadata"]["labels"] == {**current["metadata"]["labels"], "and": "patched"}


def test_a_watch_goes_on_after_the_initial_events(cluster: Cluster, web: Web, namespace: str):
    collection = f"/api/v1/namespaces/{namespace}/configmaps"
    stream = web.open("GET", f"{collection}?{STREAMING}", **SENT)
    events = ((kind, protobuf.decode_object(raw)) for kind, raw in frames.events(stream))
    kind, bookmark = next((kind, obj) for kind, obj in events if kind == "BOOKMARK")
    with cluster.web() as other:
        made = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "new"}, "data": {"a": "b"}}
        other.send("POST", collection, body(made), Content_Type=PROTO, **SENT)
        other.call("DELETE", f"{collection}/new")
    kind, added = next(events)
    assert (kind, added["data"]) == ("ADDED", {"a": "b"})
    assert int(added["metadata"]["resourceVersion"]) > int(bookmark["metadata"]["resourceVersion"])
    kind, gone = next(events)
    assert (kind, gone["metadata"]["name"]) == ("DELETED", "new")


def test_a_refused_watch_is_answered_with_a_status(web: Web, namespace: str):
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=nonsense&timeoutSeconds=1"
    answer = web.send("GET", path, **SENT)
    version, name, status = frames.unwrapped(answer.body)
    assert (answer.status, version, name) == (422, "v1", "Status")
    assert 'resourceVersion: Invalid value: "nonsense"' in frames.text(frames.fields(status), 3)


def test_long_answers_are_packed(web: Web, namespace: str):
    collection = f"/api/v1/namespaces/{namespace}/configmaps"
    big = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "big"}, "data": {"a": "b" * 200_000}}
    web.send("POST", collection, body(big), Content_Type=PROTO, **SENT)
    answer = web.open("GET", collection, **SENT)
    packed = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 20_000
    assert frames.unwrapped(gzip.decompress(packed))[1] == "ConfigMapList"
    plain = web.open("GET", f"{collection}/big", Accept=ACCEPT, Accept_Encoding="identity")
    assert len(plain.read()) > 200_000


def test_errors_of_every_sort_come_as_a_status(web: Web, namespace: str):
    collection = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "P"}, "spec": {"containers": [{"name": "c"}]}}
    invalid = web.send("POST", collection, body(pod), Content_Type=PROTO, **SENT)
    status = frames.fields(frames.unwrapped(invalid.body)[2])
    details = frames.inner(status, 5)
    assert (invalid.status, frames.text(status, 4), status[6]) == (422, "Invalid", [422])
    assert (frames.text(details, 1), frames.text(details, 3)) == ("P", "Pod")
    causes = [frames.fields(cause) for cause in details[4] if isinstance(cause, bytes)]
    assert {frames.text(cause, 3) for cause in causes} == {"metadata.name", "spec.containers[0].image"}
    broken = web.send("POST", collection, frames.MAGIC + b"\xff\xff", Content_Type=PROTO, **SENT)
    assert (broken.status, frames.unwrapped(broken.body)[1]) == (400, "Status")
    custom = web.send("GET", "/apis/example.org/v1/things", **SENT)
    assert custom.status == 404


def test_scale_and_eviction_and_token_in_protobuf(web: Web, namespace: str):
    root = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    _, example = kinds.placed(("apps", "v1", "deployments"), namespace)
    web.send("POST", root, body(example), Content_Type=PROTO, **SENT)
    scale = read(web.send("GET", f"{root}/example/scale", **SENT))
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    scale["spec"] = {"replicas": 0}
    scale["metadata"].pop("resourceVersion")
    scaled = read(web.send("PUT", f"{root}/example/scale", body(scale), Content_Type=PROTO, **SENT))
    assert scaled["spec"].get("replicas", 0) == 0
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = read(web.send("POST", path, body(request), Content_Type=PROTO, **SENT), 201)
    assert token["status"]["token"].count(".") == 2
    review = {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    answer = web.send(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body(review), Content_Type=PROTO, **SENT
    )
    assert read(answer, 201)["status"]["allowed"] is True


def test_leases_carry_microseconds(web: Web, namespace: str):
    collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.123456Z"}
    lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "lock"}, "spec": spec}
    created = read(web.send("POST", collection, body(lease), Content_Type=PROTO, **SENT), 201)
    assert created["spec"] == spec


def test_discovery_as_client_go_asks(web: Web):
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    for path in ("/api", "/apis"):
        answer = web.send("GET", path, Accept=f"{aggregated},{beta},application/json", Accept_Encoding="gzip")
        assert answer.headers["content-type"] == aggregated
        assert answer.json()["kind"] == "APIGroupDiscoveryList"
        again = web.send("GET", path, Accept=aggregated, If_None_Match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")
    legacy = web.send("GET", "/apis/apps/v1", Accept=ACCEPT)
    assert frames.unwrapped(legacy.body)[1] == "APIResourceList"
    groups = web.send("GET", "/apis", Accept=ACCEPT)
    assert frames.unwrapped(groups.body)[1] == "APIGroupList"


def test_openapi_as_client_go_asks(web: Web):
    gnostic = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = web.send("GET", "/openapi/v2", Accept=gnostic, Accept_Encoding="gzip")
    assert answer.status == 200
    document = frames.fields(answer.body)
    assert frames.text(document, 1) == "2.0"
    definitions = frames.inner(document, 9)[1]
    named = [frames.text(frames.fields(one), 1) for one in definitions if isinstance(one, bytes)]
    assert "io.k8s.api.apps.v1.Deployment" in named
    index = web.send("GET", "/openapi/v3", Accept="application/json, */*").json()["paths"]
    part = web.send("GET", index["apis/apps/v1"]["serverRelativeURL"], Accept="application/json")
    assert part.headers["cache-control"].startswith("public")
    assert "io.k8s.api.apps.v1.Deployment" in part.json()["components"]["schemas"]
    proto = web.send(
        "GET", "/openapi/v3/apis/apps/v1", Accept="application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
    )
    assert proto.status in (200, 406)
