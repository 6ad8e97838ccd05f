"""Strict decoding of built-in kinds: upstream's test/e2e/apimachinery/field_validation.go."""

import orjson
import pytest

APPLY = "application/apply-patch+yaml"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(**more):
    template = {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "labels": {"app": "nginx"}, **more},
        "spec": {"selector": {"matchLabels": {"app": "nginx"}}, "template": template},
    }


@pytest.mark.conformance(
    "[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]"
)
async def test_unknown_and_duplicate_fields_are_all_told_at_once(api):
    text = orjson.dumps(deployment())
    text = text.replace(b'"spec":{"selector"', b'"spec":{"unknownField":"x","replicas":1,"replicas":2,"selector"', 1)
    code, answer = await api("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", text)
    assert code == 400
    told = 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"'
    assert told in answer["message"], answer
    assert (await api("GET", f"{DEPLOYMENTS}/d"))[0] == 404


@pytest.mark.conformance(
    "[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]"
)
async def test_unknown_metadata_is_told(api):
    code, answer = await api("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", deployment(unknownMeta="x"))
    assert (code, 'strict decoding error: unknown field "metadata.unknownMeta"' in answer["message"]) == (400, True)


async def test_an_apply_of_unknown_fields_is_refused_whatever_the_validation(api):
    for validation in ("Strict", "Warn", "Ignore"):
        target = f"{DEPLOYMENTS}/d?fieldManager=a&fieldValidation={validation}"
        code, answer = await api("PATCH", target, deployment(unknownMeta="x"), content_type=APPLY)
        assert (code, ".metadata.unknownMeta: field not declared in schema" in answer["message"]) == (400, True)
