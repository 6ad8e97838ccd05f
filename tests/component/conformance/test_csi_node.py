"""CSINodes: upstream's test/e2e/storage/csi_node.go."""

import pytest
from tests.examples_of_kinds import example

NODES = "/apis/storage.k8s.io/v1/csinodes"


@pytest.mark.conformance(
    "[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]"
)
async def test_csi_nodes_live_and_go(api):
    await api.cycle(NODES, example("storage.k8s.io", "v1", "csinodes"))
