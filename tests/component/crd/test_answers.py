"""What custom objects answer where it differs from built-in kinds: their type, scale before it is said, columns, who owns status."""

from typing import Any

import pytest
from tests.component.crd.definitions import WIDGETS, Api, crd_of, widget

from pybernetes.apiserver.openapi import gnostic
from pybernetes.wire.http import read_body

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
ONE = f"{WIDGETS}/one"
SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def spec_of(**properties: Any) -> dict[str, Any]:
    return {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": properties}}


async def test_an_object_must_say_what_it_is(api: Api) -> None:
    await api.define(crd_of(spec_of()))
    nameless = {"metadata": {"name": "one"}}
    answers = [
        await api("POST", WIDGETS, nameless),
        await api("POST", WIDGETS, {**nameless, "kind": "Widget"}),
        await api("POST", WIDGETS, {**widget(), "kind": "Gadget"}),
    ]
    assert [(code, answer["message"]) for code, answer in answers] == [
        (
            400,
            'Widget in version "v1" cannot be handled as a Widget: '
            'Object \'Kind\' is missing in \'{"metadata":{"name":"one"}}\'',
        ),
        (400, "the API version in the data () does not match the expected API version (example.com/v1)"),
        (422, 'Gadget.example.com "one" is invalid: kind: Invalid value: "Gadget": must be Widget'),
    ]
    await api.ok("POST", WIDGETS, widget())
    assert await api.faults("PATCH", ONE, {"kind": "Foo"}) == ['kind: Invalid value: "Foo": must be Widget']
    gone = await api.faults("PATCH", ONE, [{"op": "replace", "path": "", "value": {}}], content_type=JSON_PATCH)
    assert gone == ["patch: Invalid value: \"{}\": Object 'Kind' is missing in '{}'"]


JSON_PATCH = "application/json-patch+json"


async def test_scale_may_be_patched_before_the_object_says_replicas(api: Api) -> None:
    await api.define(crd_of(spec_of(replicas=INTEGER), subresources={"status": {}, "scale": SCALE}))
    await api.ok("POST", WIDGETS, widget(spec={}))
    code, answer = await api("GET", f"{ONE}/scale")
    missing = 'Internal error occurred: the spec replicas field ".spec.replicas" does not exist'
    assert (code, answer["message"]) == (500, missing)  # as upstream
    code, answer = await api("PATCH", f"{ONE}/scale", {"metadata": {"labels": {"a": "b"}}})
    assert (code, answer["message"]) == (400, 'the spec replicas field ".spec.replicas" cannot be empty')
    assert (await api.ok("PATCH", f"{ONE}/scale", {"spec": {"replicas": 3}}))["spec"] == {"replicas": 3}
    assert (await api.ok("GET", ONE))["spec"] == {"replicas": 3}


async def test_nobody_owns_a_status_that_was_not_taken(api: Api) -> None:
    await api.define(crd_of({**spec_of(), "status": {"type": "object"}}, subresources={"status": {}}))
    made = await api.ok("POST", WIDGETS, widget(spec={"a": 1}, status={"b": 2}))
    assert "status" not in made
    assert [list(entry["fieldsV1"]) for entry in made["metadata"]["managedFields"]] == [["f:spec"]]


async def test_cells_are_written_as_upstream_does(api: Api) -> None:
    cells = (
        (("string", ".spec.map"), '{"a":"\\u003c1\\u003e","b":1}'),
        (("string", ".spec.list"), '["b","a"]'),
        (("string", ".spec.list[1]"), "a"),
        (("string", ".spec.none"), "<no value>"),
        (("string", ".spec.missing"), None),
        (("string", ".spec.yes"), "true"),
        (("integer", ".spec.none"), None),
        (("integer", ".spec.half"), 0),
        (("number", ".spec.half"), 0.5),
        (("boolean", ".spec.yes"), True),
        (("boolean", ".spec.half"), None),
        (("date", ".spec.empty"), "<unknown>"),
        (("date", ".spec.list[0]"), "<invalid>"),
        (("date", ".spec.missing"), None),
    )
    columns = [{"name": f"c{i}", "type": kind, "jsonPath": path} for i, ((kind, path), _) in enumerate(cells)]
    columns += [{"name": "bad", "type": "string", "jsonPath": ".spec[?(@"}, columns[0]]
    await api.define(crd_of(spec_of(), additionalPrinterColumns=columns))
    spec = {"map": {"b": 1, "a": "<1>"}, "list": ["b", "a"], "none": None, "yes": True, "half": 0.5, "empty": ""}
    await api.ok("POST", WIDGETS, widget(spec=spec))
    table = await api.ok("GET", WIDGETS, accept=TABLE)
    assert table["rows"][0]["cells"] == ["one", *[shown for _, shown in cells]]
    assert len(table["columnDefinitions"]) == len(cells) + 1, "from the first that cannot be read on none is shown"


async def test_a_new_definition_costs_the_others_no_openapi(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.define(crd_of(spec_of()))
    protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    await api.send("GET", "/openapi/v2", accept=protobuf)
    made: list[int] = []
    one = gnostic.part_bytes
    monkeypatch.setattr(gnostic, "part_bytes", lambda *parts: (made.append(len(parts[1])), one(*parts))[1])
    other = crd_of(spec_of())
    other["metadata"]["name"], other["spec"]["group"] = "widgets.example.org", "example.org"
    await api.define(other)
    response = await api.send("GET", "/openapi/v2", accept=protobuf)
    body = await read_body(response)
    assert b"org.example.v1.Widget" in body
    assert b"com.example.v1.Widget" in body
    assert made == [2], "the kind and its list, of the new one alone"
