"""StorageVersionMigrations as objects: upstream's test/e2e/apimachinery/storageversionmigration.go."""

import pytest
from tests.component.conformance.crud import STATUS_CONDITION, Case, supports_everything


@pytest.mark.conformance(
    "[sig-api-machinery] StorageVersionMigration CRUD Tests storagemigration.k8s.io/v1 StorageVersionMigration "
    "[Conformance]"
)
async def test_migrations(api):
    obj = {"metadata": {"name": "test-ns"}, "spec": {"resource": {"group": "", "resource": "foo"}}}
    status = {"conditions": [STATUS_CONDITION]}
    case = Case("/apis/storagemigration.k8s.io/v1", "storageversionmigrations", obj, status=status)
    await supports_everything(api, case)
