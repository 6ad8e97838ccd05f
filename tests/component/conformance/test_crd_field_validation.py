"""Upstream's test/e2e/apimachinery/field_validation.go, the behaviours about custom resources."""

from typing import Any

import pytest
from tests.component.api import APPLY, Api
from tests.component.conformance.crds import definition, established

_SUITE = "[sig-api-machinery] FieldValidation "
PATH = "/apis/mygroup.example.com/v1/namespaces/default/checks"
STRICT = "fieldValidation=Strict&fieldManager=field_validation_test"
STRING = {"type": "string"}
PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
    "items": {
        "type": "object",
        "properties": {"containerPort": {"type": "integer"}, "hostPort": {"type": "integer"}, "protocol": STRING},
        "required": ["containerPort", "protocol"],
    },
}
SPEC = {
    "type": "object",
    "properties": {"cronSpec": {**STRING, "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"}, "ports": PORTS},
}
EMBEDDED = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}


async def _applied(api: Api, text: str) -> tuple[int, Any]:
    return await api("PATCH", f"{PATH}/mytest?{STRICT}", text.encode(), content_type=APPLY)


_HEAD = """\
apiVersion: mygroup.example.com/v1
kind: Check
metadata:
  name: mytest
  finalizers:
  - test/finalizer
"""
_PORTS = """\
  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP
"""


@pytest.mark.conformance(
    _SUITE + "should create/apply a CR with unknown fields for CRD with no validation schema [Conformance]"
)
async def test_a_cr_with_unknown_fields_for_a_crd_with_no_validation_schema(api: Api) -> None:
    await established(api, definition("checks"))
    code, answer = await _applied(api, f"{_HEAD}spec:\n{_PORTS}")
    assert code == 201, answer
    assert answer["spec"]["ports"][0]["name"] == "x"


@pytest.mark.conformance(_SUITE + "should create/apply a valid CR for CRD with validation schema [Conformance]")
async def test_a_valid_cr_for_a_crd_with_validation_schema(api: Api) -> None:
    await established(api, definition("checks", {"type": "object", "properties": {"spec": SPEC}}))
    text = f"{_HEAD}spec:\n{_PORTS}".replace("  - name: x\n    containerPort", "  - containerPort")
    code, answer = await _applied(api, text)
    assert code == 201, answer


@pytest.mark.conformance(
    _SUITE + "should create/apply an invalid CR with extra properties for CRD with validation schema [Conformance]"
)
async def test_an_invalid_cr_with_extra_properties_for_a_crd_with_validation_schema(api: Api) -> None:
    await established(api, definition("checks", {"type": "object", "properties": {"spec": SPEC}}))
    code, answer = await _applied(api, f"{_HEAD}spec:\n  unknownField: unknown\n{_PORTS}extraProperty: 1\n")
    assert code in (400, 500), answer
    assert ".spec.unknownField: field not declared in schema" in answer["message"]
    code, answer = await _applied(api, f"{_HEAD}extraProperty: 1\nspec:\n  cronSpec: '* * * * */5'\n")
    assert ".extraProperty: field not declared in schema" in answer["message"]


@pytest.mark.conformance(
    _SUITE + "should detect unknown metadata fields in both the root and embedded object of a CR [Conformance]"
)
async def test_unknown_metadata_fields_of_root_and_embedded_object(api: Api) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"embeddedObj": EMBEDDED}}}}
    await established(api, definition("checks", schema))
    text = """\
apiVersion: mygroup.example.com/v1
kind: Check
metadata:
  name: mytest
  unknownMeta: unknown
spec:
  embeddedObj:
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: my-cm
      namespace: my-ns
      unknownEmbeddedMeta: unknown
"""
    code, answer = await _applied(api, text)
    assert code in (400, 500), answer
    assert ".metadata.unknownMeta: field not declared in schema" in answer["message"]
    assert ".spec.embeddedObj.metadata.unknownEmbeddedMeta: field not declared in schema" in answer["message"]


@pytest.mark.conformance(_SUITE + "should detect duplicates in a CR when preserving unknown fields [Conformance]")
async def test_duplicates_in_a_cr_when_preserving_unknown_fields(api: Api) -> None:
    await established(api, definition("checks"))
    code, answer = await _applied(api, f"{_HEAD}spec:\n  foo: a\n  foo: b\n")
    assert code == 400, answer
    assert 'line 9: key "foo" already set in map' in answer["message"]
    raw = b'{"apiVersion":"mygroup.example.com/v1","kind":"Check","metadata":{"name":"x"},"a":{"foo":1,"foo":2}}'
    code, answer = await api("POST", f"{PATH}?{STRICT}", raw, content_type="application/json")
    assert code == 400
    assert answer["message"].endswith('strict decoding error: duplicate field "a.foo"')
