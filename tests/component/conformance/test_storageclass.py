"""StorageClasses: upstream's test/e2e/storage/storageclass.go."""

import pytest
from tests.examples_of_kinds import example

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


@pytest.mark.conformance(
    "[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]"
)
async def test_storage_classes_live_and_go(api):
    await api.cycle(CLASSES, example("storage.k8s.io", "v1", "storageclasses"))
