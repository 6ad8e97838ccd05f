"""StorageClasses: upstream's test/e2e/storage/storageclass.go."""

import pytest
from tests.component.conformance.crud import Case, supports_everything


@pytest.mark.conformance(
    "[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]"
)
async def test_storage_classes_live_and_go(api):
    obj = {"metadata": {"name": "test-ns"}, "provisioner": "e2e-fake-provisioner", "parameters": {"foo": "bar"}}
    options = ["ro", "soft"]
    case = Case("/apis/storage.k8s.io/v1", "storageclasses", obj)
    case.change, case.change_by_json = (
        {"mountOptions": options},
        [{"op": "add", "path": "/mountOptions", "value": options}],
    )
    await supports_everything(api, case)
