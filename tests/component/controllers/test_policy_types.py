"""What is said of the expressions of admission policies, with the real API server."""

from typing import Any

from tests.component.controllers.world import World, simulated, world

from pybernetes.api.objects import Object
from pybernetes.api.types.admissionregistration_v1 import ValidatingAdmissionPolicy

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
DEPLOYMENTS = ("apps", "v1", "deployments")


async def policy(w: World, validations: list[Object], *kinds: tuple[str, str, str], **more: Any) -> dict[str, str]:
    """The warnings by the field that they are about."""
    rules = [
        {"apiGroups": [g], "apiVersions": [v], "resources": [r], "operations": ["CREATE"]}
        for g, v, r in kinds or (DEPLOYMENTS,)
    ]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": validations, **more}
    await w.client.raw("POST", POLICIES, {"metadata": {"name": "p"}, "spec": spec})
    await w.clock.sleep(2)
    return await warnings(w)


async def warnings(w: World) -> dict[str, str]:
    found = await w.get(ValidatingAdmissionPolicy, "p", "")
    assert found.status.observedGeneration == found.metadata.generation
    assert found.status.typeChecking is not None
    return {one.fieldRef: one.warning for one in found.status.typeChecking.expressionWarnings}


@simulated
async def test_expressions_that_cannot_fit_are_told_and_those_that_can_are_not():
    async with world(nodes=0) as w:
        found = await policy(
            w,
            [
                {
                    "expression": "object.spec.replicas > '1'",
                    "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas",
                },
                {"expression": "object.spec.maxRetries < 10"},
                {"expression": "object.spec.template.spec.containers.all(c, c.image.startsWith('good/'))"},
                {"expression": "object.metadata.namespace == namespaceObject.metadata.name"},
            ],
        )
        assert found == {
            "spec.validations[0].expression": (
                "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to"
                " '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n"
            ),
            "spec.validations[0].messageExpression": (
                "apps/v1, Kind=Deployment: ERROR: <input>:1:28: found no matching overload for '_+_' applied to"
                " '(string, int)'\n | 'wants replicas > 1, got ' + object.spec.replicas\n | ...........................^\n"
            ),
            "spec.validations[1].expression": (
                "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'maxRetries'\n"
                " | object.spec.maxRetries < 10\n | ...........^\n"
            ),
        }
        good = {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}}
        await w.client.raw("PATCH", f"{POLICIES}/p", good, headers={"content-type": "application/merge-patch+json"})
        await w.clock.sleep(2)
        assert await warnings(w) == {}
        managers = (await w.get(ValidatingAdmissionPolicy, "p", "")).metadata.managedFields
        told = {(one.manager, one.operation) for one in managers if one.subresource == "status"}
        assert told == {("validatingadmissionpolicy-status-controller", "Apply")}


@simulated
async def test_variables_and_parameters_have_types_too():
    async with world(nodes=0) as w:
        found = await policy(
            w,
            [
                {"expression": "variables.wanted > params.data.most"},
                {"expression": "variables.other == 1"},
            ],
            variables=[{"name": "wanted", "expression": "object.spec.replicas"}],
            paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        )
        assert "applied to '(int, string)'" in found["spec.validations[0].expression"]
        assert "undefined field 'other'" in found["spec.validations[1].expression"]


@simulated
async def test_every_kind_is_looked_at_and_wildcards_are_not():
    async with world(nodes=0) as w:
        asked = {"expression": "object.spec.replicas > 1"}
        found = await policy(
            w, [asked], DEPLOYMENTS, ("", "v1", "pods"), ("*", "v1", "services"), ("", "v1", "pods/status")
        )
        (text,) = found.values()
        assert text.startswith("/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'\n")
        assert "Deployment" not in text


@simulated
async def test_custom_kinds_are_known_by_their_schema():
    async with world(nodes=0) as w:
        names = {"plural": "shirts", "singular": "shirt", "kind": "Shirt"}
        spec = {
            "type": "object",
            "properties": {"size": {"type": "integer"}, "open": {"x-kubernetes-preserve-unknown-fields": True}},
        }
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        crd = {"group": "test.example.com", "names": names, "scope": "Namespaced", "versions": [version]}
        where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await w.client.raw("POST", where, {"metadata": {"name": "shirts.test.example.com"}, "spec": crd})
        expressions = [
            "object.spec.size > 'large'",
            "object.spec.color == 'red'",
            "object.spec.open.x == 1",
            "object.metadata.name == ''",
        ]
        found = await policy(w, [{"expression": one} for one in expressions], ("test.example.com", "v1", "shirts"))
        assert list(found) == ["spec.validations[0].expression", "spec.validations[1].expression"]
        assert found["spec.validations[1].expression"].startswith(
            "test.example.com/v1, Kind=Shirt: ERROR: <input>:1:12: "
        )
