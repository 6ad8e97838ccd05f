"""The forms of answers and bodies: Accept, Content-Type, tables, metadata, protobuf, discovery, OpenAPI."""

import json
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybernetes.api import schema
from pybernetes.api.objects import GroupVersionKind
from pybernetes.wire.codecs import protobuf, yaml
from pybernetes.wire.http import read_body

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PROTO = "application/vnd.kubernetes.protobuf"
LIST = GroupVersionKind("meta.k8s.io", "v1", "PartialObjectMetadataList")
STATUS = GroupVersionKind("", "v1", "Status")
RESOURCES = GroupVersionKind("", "v1", "APIResourceList")


@pytest.fixture
async def made(api):
    for name in ("a", "b"):
        await api("POST", MAPS, {"metadata": {"name": name}, "data": {"k": "v"}})
    return api


async def test_a_table_has_the_columns_of_its_kind(made):
    _, table = await made("GET", MAPS, accept=f"{TABLE},application/json")
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][:2] for row in table["rows"]] == [["a", 1], ["b", 1]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    _, table = await made("GET", f"{MAPS}?includeObject=Object", accept=TABLE)
    assert table["rows"][0]["object"]["data"] == {"k": "v"}
    _, table = await made("GET", f"{MAPS}/a?includeObject=None", accept=TABLE)
    assert "object" not in table["rows"][0]
    assert (await made("GET", f"{MAPS}?includeObject=x", accept=TABLE))[0] == 400


async def test_a_row_is_that_of_the_newest_state(made):
    async def row():
        table = await made.ok("GET", MAPS, accept=TABLE)
        assert table == await made.ok("GET", MAPS, accept=TABLE), "rows that are kept are those that were made"
        return table["rows"][1]

    before = await row()
    await made("PATCH", f"{MAPS}/b", {"metadata": {"labels": {"\u00e9": None, "x": "y"}}, "data": {"l": '"\u00e9"'}})
    after = await row()
    assert (before["cells"][1], after["cells"][1]) == (1, 2)
    assert after["object"]["metadata"] == (await made.ok("GET", f"{MAPS}/b"))["metadata"]
    assert after["object"]["metadata"] != before["object"]["metadata"]


async def test_rows_that_are_kept_hold_of_the_object_what_is_asked(made):
    whole = {obj["metadata"]["name"]: obj for obj in (await made.ok("GET", MAPS))["items"]}
    for version in ("v1", "v1beta1"):
        accept = TABLE.replace("v=v1", f"v={version}")
        for include in ("Object", "None", "Metadata", "Object"):
            for path in (MAPS, f"{MAPS}/b"):
                table = await made.ok("GET", f"{path}?includeObject={include}", accept=accept)
                names = [row["cells"][0] for row in table["rows"]]
                assert names == (["a", "b"] if path == MAPS else ["b"])
                assert table["apiVersion"] == f"meta.k8s.io/{version}"
                for name, row in zip(names, table["rows"], strict=True):
                    obj = {"kind": "ConfigMap", "apiVersion": "v1", **whole[name]}
                    partial = {
                        "kind": "PartialObjectMetadata",
                        "apiVersion": f"meta.k8s.io/{version}",
                        "metadata": obj["metadata"],
                    }
                    assert row.get("object") == {"Object": obj, "None": None, "Metadata": partial}[include]


async def test_an_empty_table_has_columns_and_no_rows(api):
    table = await api.ok("GET", MAPS.replace("default", "nowhere"), accept=TABLE)
    assert ([column["name"] for column in table["columnDefinitions"]], table["rows"]) == (["Name", "Data", "Age"], [])


async def test_metrics_tell_what_is_kept_of_each_resource_as_rows(made):
    async def kept(resource):
        text = (await read_body(await made.send("GET", "/metrics"))).decode()
        begin = f'pybernetes_watch_cache_forms_bytes{{group="",resource="{resource}"}} '
        return next(float(line.removeprefix(begin)) for line in text.splitlines() if line.startswith(begin))

    before, others = await kept("configmaps"), await kept("pods")
    await made.ok("GET", MAPS, accept=TABLE)
    both = await kept("configmaps")
    assert both > before
    await made.ok("GET", f"{MAPS}?includeObject=None", accept=TABLE)
    assert await kept("configmaps") == both, "one row for every kind of table"
    await made.ok("DELETE", f"{MAPS}/a")
    assert await kept("configmaps") < both
    await made.ok("DELETE", f"{MAPS}/b")
    assert (await kept("configmaps"), await kept("pods")) == (before, others)


async def test_only_the_first_event_of_a_table_watch_defines_columns(made):
    events = await made.watch(f"{MAPS}?watch=1", accept=TABLE)
    await made("DELETE", f"{MAPS}/a")
    tables = [(await events.next())[1] for _ in range(3)]
    assert [bool(table["columnDefinitions"]) for table in tables] == [True, False, False]
    await events.close()


async def test_metadata_alone(made):
    _, one = await made("GET", f"{MAPS}/a", accept=PARTIAL)
    assert (one["kind"], one["metadata"]["name"], "data" in one) == ("PartialObjectMetadata", "a", False)
    listed = PARTIAL.replace("Metadata;", "MetadataList;")
    _, some = await made("GET", MAPS, accept=f"text/html;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,{listed}")
    assert (some["kind"], len(some["items"])) == ("PartialObjectMetadataList", 2)
    shaped = {"json": some["items"][0]}
    for media in (PROTO, "application/yaml"):
        response = await made.send("GET", MAPS, accept=listed.replace("application/json", media))
        assert response.headers.get("content-type") == media
        body = await read_body(response)
        found = protobuf.decode_object(body, LIST) if media == PROTO else yaml.decode(body)
        shaped[media] = found["items"][0]
    assert shaped["application/yaml"] == shaped["json"]
    assert shaped[PROTO]["metadata"] == shaped["json"]["metadata"]


async def test_a_metadata_watch_in_protobuf_frames_each_event(made):
    accept = f"{PROTO};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    response = await made.send("GET", f"{MAPS}?watch=1", accept=accept)
    assert response.headers.get("content-type") == f"{PROTO};stream=watch"
    frame = await anext(response.body)
    assert int.from_bytes(frame[:4], "big") <= len(frame) - 4
    assert b"PartialObjectMetadata" in frame
    await response.body.aclose()


async def test_refusals_and_lists_of_the_api_come_in_the_form_asked_for(api):
    response = await api.send("GET", f"{MAPS}/none", accept=f"{PROTO},application/json")
    assert response.headers.get("content-type") == PROTO
    status = protobuf.decode_object(await read_body(response), STATUS)
    assert (status["reason"], status["details"]["name"]) == ("NotFound", "none")
    response = await api.send("GET", "/apis/apps/v1", accept=PROTO)
    assert protobuf.decode_object(await read_body(response), RESOURCES)["groupVersion"] == "apps/v1"
    response = await api.send("GET", f"{MAPS}/none", accept="application/yaml")
    assert yaml.decode(await read_body(response))["reason"] == "NotFound"


async def test_people_get_indented_answers(made):
    for target, agent, lines in (("?pretty=true", "", True), ("", "curl/8", True), ("?pretty=0", "curl/8", False)):
        response = await made.send("GET", f"{MAPS}/a{target}", user_agent=agent)
        assert (b"\n  " in response.body) == lines, (target, agent)


async def test_a_broken_escape_is_refused(api):
    assert (await api("GET", f"{MAPS}/%zz"))[0] == 400
    assert (await api("GET", f"{MAPS}?labelSelector=%f"))[0] == 400


async def test_accept_is_followed_in_its_order_or_refused(made):
    for accept in ("text/html", "application/json;as=Nonsense;v=v1;g=meta.k8s.io", "application/json;q=0"):
        status, error = await made("GET", MAPS, accept=accept)
        assert (status, error["reason"]) == (406, "NotAcceptable"), accept
    response = await made.send("GET", f"{MAPS}/a", accept="text/html,application/yaml;q=0.5,*/*;q=0.1")
    assert response.headers.get("content-type") == "application/yaml"
    assert yaml.decode(await read_body(response))["data"] == {"k": "v"}


async def test_protobuf_and_json_are_the_same_object(api):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1500m"}}}]},
    }
    body = protobuf.encode_object(pod, "io.k8s.api.core.v1.Pod")
    response = await api.send("POST", PODS, body, content_type=PROTO, accept=f"{PROTO},application/json")
    assert response.status == 201
    assert response.headers.get("content-type") == PROTO
    _, read = await api("GET", f"{PODS}/p")
    assert protobuf.decode_object(await read_body(response)) == read
    response = await api.send("GET", PODS, accept=PROTO)
    listed = protobuf.decode_object(await read_body(response))
    assert listed["kind"] == "PodList"
    assert listed["metadata"]["resourceVersion"] == read["metadata"]["resourceVersion"]
    assert listed["items"][0]["spec"] == read["spec"]
    response = await api.send("GET", f"{PODS}?watch=1", accept=f"{PROTO};stream=watch")
    assert response.headers.get("content-type") == f"{PROTO};stream=watch"
    frame = await anext(response.body)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    await response.body.aclose()


@pytest.mark.parametrize(
    "accept", [PROTO, PARTIAL, f"{PROTO};as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/yaml"]
)
async def test_a_write_is_answered_with_the_bytes_of_a_read(api, accept):
    hpas = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"  # stored in another version
    scaled = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    written = {
        MAPS: {"metadata": {"name": "m", "labels": {"b": "1", "a": "2"}}, "data": {"k": "v"}},
        hpas: {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": scaled, "maxReplicas": 3}},
    }
    for place, obj in written.items():
        path = f"{place}/{obj['metadata']['name']}"

        async def answered(method, target, body, path=path):
            answer = await read_body(await api.send(method, target, body, accept=accept))
            for cache in api.server.cache.resources:
                cache.forget()  # a read makes the form anew
            assert answer == await read_body(await api.send("GET", path, accept=accept))

        await answered("POST", place, obj)
        current = await api.ok("GET", path)
        current["metadata"]["annotations"] = {"x": "y"}
        await answered("PUT", path, current)
        await answered("PATCH", path, {"metadata": {"labels": {"c": "3"}}})
        await answered("PATCH", path, {"metadata": {"labels": {"c": "3"}}})  # writes nothing


async def test_yaml_bodies_are_read(api):
    status, made = await api("POST", MAPS, b"metadata:\n  name: y\ndata:\n  k: v\n", content_type="application/yaml")
    assert (status, made["data"]) == (201, {"k": "v"})
    body = b"metadata:\n  name: z\ndata:\n  k: v\n  k: w\n"
    status, error = await api("POST", f"{MAPS}?fieldValidation=Strict", body, content_type="application/yaml")
    assert (status, 'key "k" already set in map' in error["message"]) == (400, True)


async def test_bodies_that_cannot_be_read_are_refused_with_a_reason(api):
    for body, content_type, code in (
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"null", "application/json", 422),
        (b'{"metadata":{"name":5}}', "application/json", 400),
        (b'{"metadata":[]}', "application/json", 400),
        (b'{"kind":5}', "application/json", 400),
        (b'{"metadata":{"name":"a","labels":{"x":1}}}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b": :", "application/yaml", 400),
        (b"k8s\x00\xff\xff\xff", PROTO, 400),
        (b"nope", PROTO, 400),
        (b"x", "text/plain", 415),
        (b"x", "application/cbor", 415),
    ):
        status, error = await api("POST", MAPS, body, content_type=content_type)
        assert (status, error["kind"]) == (code, "Status"), (body[:40], error)
        assert error["message"]


@pytest.mark.parametrize("target", ["/api/v1/watch", "/api/v1/nonsense", "/apis/x/v1/y", "/nonsense", "/api/v2/pods"])
async def test_unknown_paths_are_404_or_400(api, target):
    status, error = await api("GET", target)
    assert (status in (400, 404), error["kind"]) == (True, "Status")


async def test_an_unknown_subresource_is_told_from_a_missing_object_by_its_empty_details(api):
    _, error = await api("PATCH", f"{MAPS}/a/ephemeralcontainers", {})
    assert (error["reason"], error["details"]) == ("NotFound", {})
    _, error = await api("GET", f"{MAPS}/a")
    assert (error["reason"], error["details"]["name"]) == ("NotFound", "a")


async def test_methods_that_a_path_does_not_have_are_405(api):
    for method, target in (("POST", f"{MAPS}/a"), ("DELETE", "/api/v1/namespaces"), ("PUT", MAPS), ("BREW", MAPS)):
        status, error = await api(method, target, {})
        assert (status, error["reason"]) == (405, "MethodNotAllowed"), (method, target)
    assert (await api("POST", "/version"))[0] == 405


PARAMETERS = [
    *("watch", "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch"),
    *("timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation"),
    *("propagationPolicy", "gracePeriodSeconds", "timeout", "includeObject", "pretty"),
]
VALUES = st.one_of(
    st.sampled_from(["true", "1", "0", "-1", "Exact", "NotOlderThan", "All", "1s", "a=b,"]), st.text(max_size=8)
)
QUERY = st.dictionaries(st.sampled_from(PARAMETERS), VALUES, max_size=4)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["metadata", "name", "spec", "data", "kind", "labels", "x"]), inner, max_size=4
        ),
    ),
    max_leaves=8,
)


async def test_nothing_a_client_sends_is_an_internal_error(api):
    await api("POST", MAPS, {"metadata": {"name": "a"}})
    kinds = ("application/json", "application/merge-patch+json", "application/json-patch+json", PROTO)
    kinds += ("application/strategic-merge-patch+json", "application/yaml")
    requests = []

    @settings(max_examples=150)
    @given(
        st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
        st.sampled_from(
            [MAPS, f"{MAPS}/a", PODS, f"{PODS}/x/status", "/api/v1/nodes", f"{MAPS}/%00%2f", "/apis/apps/v1"]
        ),
        QUERY,
        JSON,
        st.sampled_from(kinds),
    )
    def collect(method, path, query, body, kind):
        requests.append((method, path, query, body, kind))

    collect()
    for method, path, query, body, kind in requests:
        raw = json.dumps(body).encode() if method != "GET" else b""
        response = await api.send(method, f"{path}?{urlencode(query)}", raw, content_type=kind)
        assert response.status < 500 or response.status == 504, (method, path, query, body, kind, response.body)
        if not isinstance(response.body, bytes):
            await response.body.aclose()


async def test_discovery_shows_exactly_what_is_served(api):
    _, core = await api("GET", "/api/v1")
    rows = {row["name"]: row for row in core["resources"]}
    assert rows["pods"]["shortNames"] == ["po"]
    assert rows["pods"]["categories"] == ["all"]
    assert rows["pods"]["storageVersionHash"]
    assert rows["replicationcontrollers/scale"]["group"] == "autoscaling"
    assert "pods/status" in rows
    served = {one.facts.plural for one in api.server.catalog if (one.facts.group, one.facts.version) == ("", "v1")}
    assert {name for name in rows if "/" not in name} == served
    _, groups = await api("GET", "/apis")
    assert groups["groups"][0]["preferredVersion"]["version"] == "v1"
    for group in groups["groups"]:
        assert (await api("GET", f"/apis/{group['name']}"))[1]["kind"] == "APIGroup"
        for version in group["versions"]:
            _, found = await api("GET", f"/apis/{version['groupVersion']}")
            for row in found["resources"]:
                if "list" in row["verbs"]:
                    assert (await api("GET", f"/apis/{version['groupVersion']}/{row['name']}"))[0] == 200, row


async def test_aggregated_discovery_by_accept_with_an_etag(api):
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    response = await api.send("GET", "/api", accept=f"{wanted},application/json")
    assert response.headers.get("content-type") == wanted
    document = orjson.loads(response.body)
    assert document["items"][0]["versions"][0]["version"] == "v1"
    again = await api.send("GET", "/api", accept=wanted, if_none_match=response.headers.get("etag"))
    assert again.status == 304
    plain = await api.send("GET", "/api", accept="application/json")
    assert orjson.loads(plain.body)["kind"] == "APIVersions"


async def test_openapi_holds_every_type_it_refers_to_and_the_merge_keys(api):
    _, index = await api("GET", "/openapi/v3")
    for path, found in index["paths"].items():
        _, document = await api("GET", found["serverRelativeURL"])
        schemas = document["components"]["schemas"]
        text = orjson.dumps(document).decode()
        referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
        assert referred <= set(schemas), path
    _, core = await api("GET", "/openapi/v3/api/v1")
    spec = core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert spec["x-kubernetes-patch-merge-key"] == "name"
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]


async def test_openapi_v2_has_one_stable_answer_in_both_forms(api):
    response = await api.send("GET", "/openapi/v2", accept="application/json")
    assert orjson.loads(response.body)["swagger"] == "2.0"
    again = await api.send("GET", "/openapi/v2", accept="application/json", if_none_match=response.headers.get("etag"))
    assert again.status == 304
    wanted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    proto = await api.send("GET", "/openapi/v2", accept=wanted)
    assert proto.headers.get("content-type") == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert proto.body.startswith(b"\x0a\x032.0")


def test_every_kind_of_the_schema_can_be_named():
    assert schema.type_name(GroupVersionKind("", "v1", "Pod")) == "io.k8s.api.core.v1.Pod"


async def test_what_is_only_answered_has_no_table(api):
    body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    status, error = await api("POST", path, body, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert (status, error["reason"]) == (406, "NotAcceptable")
    status, answer = await api(
        "POST", path, body, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    )
    assert (status, answer["kind"]) == (201, "SelfSubjectAccessReview")


async def test_a_scale_is_a_row_with_what_is_wanted_and_there(api):
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    await api("POST", path, {"metadata": {"name": "a"}, "spec": spec})
    _, table = await api("GET", f"{path}/a/scale", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["a", 3, 0]
