"""Ingresses: upstream's test/e2e/network/ingress.go."""

import pytest
from tests.examples_of_kinds import example

INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"


@pytest.mark.conformance("[sig-network] Ingress API should support creating Ingress API operations [Conformance]")
async def test_ingresses_support_all_verbs(api):
    status = {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}
    await api.cycle(INGRESSES, example("networking.k8s.io", "v1", "ingresses"), status=status)
