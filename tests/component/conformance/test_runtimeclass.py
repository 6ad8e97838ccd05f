"""RuntimeClasses: upstream's test/e2e/common/node/runtimeclass.go."""

import pytest
from tests.examples_of_kinds import example

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


@pytest.mark.conformance("[sig-node] RuntimeClass  should support RuntimeClasses API operations [Conformance]")
async def test_runtime_classes_support_all_verbs(api):
    await api.cycle(CLASSES, example("node.k8s.io", "v1", "runtimeclasses"))
