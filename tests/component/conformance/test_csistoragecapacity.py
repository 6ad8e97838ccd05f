"""CSIStorageCapacities: upstream's test/e2e/storage/csistoragecapacity.go."""

import pytest
from tests.examples_of_kinds import example

CAPACITIES = "/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities"


@pytest.mark.conformance(
    "[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]"
)
async def test_storage_capacities_support_all_verbs(api):
    await api.cycle(CAPACITIES, example("storage.k8s.io", "v1", "csistoragecapacities"))
