"""What is too large, too deep or too long is refused in little time, and never ends the server."""

import json
import time

import pytest
from tests.component.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, serving

MAPS = "/api/v1/namespaces/default/configmaps"
REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
_SECONDS = 5.0
"""Of work; all of it takes a tenth."""


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def operations(*texts: str) -> str:
    return f"[{','.join(texts)}]"


def add(path: str, value: str) -> str:
    return f'{{"op":"add","path":"{path}","value":{value}}}'


MANY = [f"example.com/{number}" for number in range(20_000)]
OWNERS = [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": f"{number}"} for number in range(5000)]
COPY = '{"op":"copy","from":"/data","path":"/binaryData"}'
PATCHES = [
    (JSON_PATCH, operations(add("/metadata/finalizers", "[]"), add(f"/metadata/finalizers/{'9' * 5000}", '"x"')), 422),
    (JSON_PATCH, operations(add("/data", nested(200)), add("/data" + "/a" * 199, nested(200))), 400),
    (JSON_PATCH, operations(add("/data", nested(200)), add("/data" + "/a" * 199, nested(200)), COPY), 400),
    (JSON_PATCH, operations(*[add("/data", "{}")] * 10_001), 413),
    (MERGE, nested(3000), 400),
    (STRATEGIC, json.dumps({"metadata": {"ownerReferences": OWNERS}}), 200),
    (STRATEGIC, json.dumps({"metadata": {"finalizers": MANY, "$setElementOrder/finalizers": MANY}}), 200),
    (STRATEGIC, json.dumps({"metadata": {"$deleteFromPrimitiveList/finalizers": MANY}}), 200),
    (APPLY, "a: " + "[" * 100_000 + "]" * 100_000, 400),
    (APPLY, "[" * 100_000 + "]" * 100_000, 400),
    (APPLY, "a: !!bool x", 400),
]


@pytest.mark.parametrize(("media", "body", "code"), PATCHES)
async def test_patches_out_of_proportion(media: str, body: str, code: int) -> None:
    async with serving() as api:
        await api.ok("POST", MAPS, {"metadata": {"name": "a", "finalizers": MANY[:1]}, "data": {"k": "v"}})
        before = await api.ok("GET", f"{MAPS}/a")
        started = time.process_time()
        found, answer = await api("PATCH", f"{MAPS}/a?fieldManager=me", body.encode(), content_type=media)
        assert time.process_time() - started < _SECONDS
        assert found == code, answer
        if code >= 400:
            assert (answer["kind"], answer["code"]) == ("Status", code)
            assert await api.ok("GET", f"{MAPS}/a") == before


@pytest.mark.parametrize("dry", ["", "?dryRun=All"])
@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
async def test_raw_values_that_are_nested_too_deep(media: str, dry: str) -> None:
    body = f'{{"metadata":{{"name":"a"}},"revision":1,"data":{nested(300)}}}'
    async with serving() as api:
        found, answer = await api("POST", REVISIONS + dry, body.encode(), content_type=media)
        assert (found, answer["kind"]) == (400, "Status"), answer


async def test_an_object_is_no_larger_than_etcd_takes_even_where_a_patch_makes_it_so() -> None:
    half = {f"a{number}": "x" * 1000 for number in range(900)}
    async with serving() as api:
        made = await api.ok("POST", REVISIONS, {"metadata": {"name": "a"}, "revision": 1, "data": half})
        whole = {"metadata": {"name": "b"}, "revision": 1, "data": {"a": half, "b": half}}
        code, answer = await api("POST", REVISIONS, whole)
        assert (code, answer["reason"]) == (413, "RequestEntityTooLarge")
        labels = {"metadata": {"annotations": {"a": "x" * 262_144}}}
        assert (await api("PATCH", f"{REVISIONS}/a", labels, content_type=MERGE))[0] == 422
        assert await api.ok("GET", f"{REVISIONS}/a") == made


async def test_certificates_with_letters_that_are_not_ascii_are_refused() -> None:
    bundle = "-----BEGIN CERTIFICATE-----\nYQä=\n-----END CERTIFICATE-----\n"
    path = "/apis/certificates.k8s.io/v1/clustertrustbundles"
    async with serving() as api:
        code, answer = await api("POST", path, {"metadata": {"name": "a"}, "spec": {"trustBundle": bundle}})
        assert (code, answer["reason"]) == (422, "Invalid")
        code, answer = await api("POST", path, {"metadata": {"name": "%"}, "spec": {"trustBundle": bundle}})
        assert "metadata.name" in {cause["field"] for cause in answer["details"]["causes"]}
