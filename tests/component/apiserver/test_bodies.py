"""Bodies that are no object or no patch: refused with upstream's words."""

from urllib.parse import quote

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
STRUCT = (
    'json: cannot unmarshal %s into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)


@pytest.mark.parametrize(
    ("body", "media", "why", "shown"),
    [
        (
            b"{bad",
            "application/json",
            "couldn't get version/kind; json parse error: invalid character 'b' looking for beginning of object key string",
            "{bad",
        ),
        (
            b'{"kind":"ConfigMap","data":{"a":"b"}',
            "application/json",
            "couldn't get version/kind; json parse error: unexpected end of JSON input",
            '{"kind":"ConfigMap","data":{"a ...',
        ),
        (
            b"",
            "application/json",
            "couldn't get version/kind; json parse error: unexpected end of JSON input",
            "<empty>",
        ),
        (b"[]", "application/json", "couldn't get version/kind; json parse error: " + STRUCT % "array", "5b5d"),
        (b"5", "application/json", "couldn't get version/kind; json parse error: " + STRUCT % "number", "35"),
        (b'"a"', "application/json", "couldn't get version/kind; json parse error: " + STRUCT % "string", "226122"),
        (
            b'{"kind":3}',
            "application/json",
            "couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of "
            "type string",
            '{"kind":3}',
        ),
        (
            b"xxxx",
            "application/vnd.kubernetes.protobuf",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
            "78787878",
        ),
        (b"a: [b", "application/yaml", "yaml: line 1: did not find expected ',' or ']'", "613a205b62"),
    ],
)
async def test_a_body_that_is_no_object_is_shown_in_its_refusal(api, body, media, why, shown):
    status, error = await api("POST", MAPS, body, content_type=media)
    assert (status, error["reason"]) == (400, "BadRequest")
    assert error["message"] == f"the object provided is unrecognized (must be of type ConfigMap): {why} ({shown})"


async def test_null_is_an_empty_object(api):
    status, error = await api("POST", MAPS, b"null")
    assert (status, error["details"]["causes"][0]["field"]) == (422, "metadata.name")


@pytest.mark.parametrize("media", [MERGE, "application/json-patch+json", "application/strategic-merge-patch+json"])
async def test_a_body_that_is_no_patch_says_why(api, media):
    await api("POST", MAPS, {"metadata": {"name": "a"}})
    status, error = await api("PATCH", f"{MAPS}/a", b"{bad", content_type=media)
    assert status == 400
    text = "error decoding patch: invalid character 'b' looking for beginning of object key string"
    assert error["message"] == text


async def test_text_that_is_no_unicode_is_mended_as_go_mends_it(api):
    body = b'{"metadata":{"name":"a"},"data":{"a":"x\xffy","b":"\\ud800"}}'
    status, made = await api("POST", MAPS, body)
    assert status == 201
    assert made["data"] == {"a": "x\ufffdy", "b": "\ufffd"}


async def test_a_write_must_name_the_object_of_its_url(api):
    await api("POST", MAPS, {"metadata": {"name": "a"}})
    nameless = "the name of the object (a based on URL) was undeterminable: name must be provided"
    assert (await api("PUT", f"{MAPS}/a", {"metadata": {}}))[1]["message"] == nameless
    _, error = await api("PATCH", f"{MAPS}/a", {"metadata": None}, content_type=MERGE)
    assert error["message"] == nameless
    _, error = await api("PATCH", f"{MAPS}/a", {"metadata": {"namespace": "x"}}, content_type=MERGE)
    assert error["message"] == "the namespace of the object (x) does not match the namespace on the request (default)"
    _, error = await api("PATCH", f"{MAPS}/a", {"metadata": {"name": "b"}}, content_type=MERGE)
    assert error["message"] == "the name of the object (b) does not match the name on the URL (a)"
    _, error = await api("PATCH", f"{MAPS}/a", {"metadata": "x"}, content_type=MERGE)
    assert error["message"] == (
        ' "" is invalid: patch: Invalid value: "{\\"kind\\":\\"ConfigMap\\",\\"apiVersion\\":\\"v1\\",\\"metadata\\":\\"x\\"}": '
        "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta"
    )


async def test_a_strict_patch_names_every_problem_at_once_in_what_it_makes(api):
    await api("POST", MAPS, {"metadata": {"name": "a"}})
    body = b'{"data":{"k":"1","k":"2"},"nope":1}'
    for media, seen in ((MERGE, "{"), ("application/strategic-merge-patch+json", "map[data:map[k:2] nope:1]")):
        status, error = await api("PATCH", f"{MAPS}/a?fieldValidation=Strict", body, content_type=media)
        assert (status, error["reason"]) == (422, "Invalid")
        assert error["message"].startswith(f' "" is invalid: patch: Invalid value: "{seen}')
        assert 'strict decoding error: duplicate field "data.k", unknown field "nope"' in error["message"]


async def test_a_scale_must_name_its_object(api):
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    await api("POST", path, {"metadata": {"name": "a"}, "spec": spec})
    status, error = await api("PUT", f"{path}/a/scale", {"metadata": {"name": "b"}, "spec": {"replicas": 2}})
    assert (status, error["message"]) == (400, "the name of the object (b) does not match the name on the URL (a)")


async def test_a_revision_from_the_future_is_a_timeout_by_name(api):
    status, error = await api("GET", f"{MAPS}?resourceVersion=99999999")
    assert (status, error["reason"]) == (504, "Timeout")
    assert error["message"].startswith("Timeout: Too large resource version: 99999999, current: ")


async def test_a_command_in_a_pod_that_is_not_there_is_not_found(api):
    status, error = await api("POST", "/api/v1/namespaces/default/pods/none/exec?command=a")
    assert (status, error["message"]) == (404, 'pods "none" not found')


@pytest.mark.parametrize("text", ["--5", "\u00b2", "1e3", "abc"])
async def test_a_number_of_log_lines_must_be_one(api, text):
    status, error = await api("GET", f"/api/v1/namespaces/default/pods/none/log?tailLines={quote(text)}")
    assert (status, error["message"]) == (400, f'strconv.ParseInt: parsing "{text}": invalid syntax')


async def test_strict_problems_are_told_in_the_order_of_the_document(api):
    spec = b'{"u":1,"u":2,"w":{"a":1,"a":2},"nodeName":"a","containers":[{"name":"c","name":"d","z":1}],"nodeName":"b"}'
    body = b'{"metadata":{"name":"x","name":"x","foo":1},"spec":%b,"bar":{}}' % spec
    code, error = await api("POST", "/api/v1/namespaces/default/pods?fieldValidation=Strict", body)
    told = [
        *('duplicate field "metadata.name"', 'unknown field "metadata.foo"', 'unknown field "spec.u"'),
        *('unknown field "spec.w"', 'duplicate field "spec.containers[0].name"'),
        *('unknown field "spec.containers[0].z"', 'duplicate field "spec.nodeName"', 'unknown field "bar"'),
    ]
    why = f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {", ".join(told)}'
    assert (code, error["message"]) == (400, why)


async def test_a_subresource_names_its_kind_in_what_it_refuses(api):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert (await api("POST", "/api/v1/namespaces/default/pods", pod))[0] == 201
    path = "/api/v1/namespaces/default/pods/p/binding?fieldValidation=Strict"
    code, error = await api("POST", path, {"target": {"kind": "Node", "name": "n"}, "x": 1})
    why = 'Binding in version "v1" cannot be handled as a Binding: strict decoding error: unknown field "x"'
    assert (code, error["message"]) == (400, why)
