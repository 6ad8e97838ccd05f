"""IngressClasses: upstream's test/e2e/network/ingressclass.go."""

import pytest
from tests.examples_of_kinds import example

CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"


@pytest.mark.conformance(
    "[sig-network] IngressClass API  should support creating IngressClass API operations [Conformance]"
)
async def test_ingress_classes_support_all_verbs(api):
    await api.cycle(CLASSES, example("networking.k8s.io", "v1", "ingressclasses"))
