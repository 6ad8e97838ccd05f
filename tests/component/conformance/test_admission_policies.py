"""Admission's objects: the API parts of upstream's test/e2e/apimachinery/{validating,mutating}admissionpolicy.go and
webhook.go."""

import pytest
from tests.component.conformance.crud import STATUS_CONDITION
from tests.examples_of_kinds import example

GROUP = "/apis/admissionregistration.k8s.io/v1"


async def passes(api, plural, status=None):
    await api.cycle(f"{GROUP}/{plural}", example("admissionregistration.k8s.io", "v1", plural), status=status)


@pytest.mark.conformance(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicy API operations [Conformance]"
)
async def test_validating_policies(api):
    await passes(api, "validatingadmissionpolicies", {"conditions": [STATUS_CONDITION]})


@pytest.mark.conformance(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicyBinding API operations [Conformance]"
)
async def test_bindings_of_validating_policies(api):
    await passes(api, "validatingadmissionpolicybindings")


@pytest.mark.conformance(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicy API operations [Conformance]"
)
async def test_mutating_policies(api):
    await passes(api, "mutatingadmissionpolicies")


@pytest.mark.conformance(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicyBinding API operations [Conformance]"
)
async def test_bindings_of_mutating_policies(api):
    await passes(api, "mutatingadmissionpolicybindings")


@pytest.mark.conformance(
    "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery "
    "documents [Conformance]"
)
async def test_webhook_configurations_are_in_discovery(api):
    groups = {group["name"]: group for group in (await api.ok("GET", "/apis"))["groups"]}
    group = groups["admissionregistration.k8s.io"]
    wanted = {"groupVersion": "admissionregistration.k8s.io/v1", "version": "v1"}
    assert wanted in group["versions"]
    assert wanted in (await api.ok("GET", "/apis/admissionregistration.k8s.io"))["versions"]
    names = {row["name"] for row in (await api.ok("GET", GROUP))["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= names
