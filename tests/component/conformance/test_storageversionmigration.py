"""StorageVersionMigrations as objects: upstream's test/e2e/apimachinery/storageversionmigration.go."""

import pytest
from tests.component.conformance.crud import STATUS_CONDITION, patched_in_every_way
from tests.examples_of_kinds import example

PATH = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"


@pytest.mark.conformance(
    "[sig-api-machinery] StorageVersionMigration CRUD Tests storagemigration.k8s.io/v1 StorageVersionMigration "
    "[Conformance]"
)
async def test_migrations(api):
    obj = example("storagemigration.k8s.io", "v1", "storageversionmigrations")
    condition = {**STATUS_CONDITION, "type": "Running"}
    await api.cycle(PATH, obj, status={"conditions": [condition]})
    await patched_in_every_way(api, PATH, obj)
