"""ConfigMaps: upstream's test/e2e/common/node/configmap.go, what the API alone has to do."""

import pytest

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.mark.conformance("[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]")
async def test_an_empty_key_is_refused(api):
    code, error = await api("POST", PATH, {"metadata": {"name": "c"}, "data": {"": "value-1"}})
    assert (code, error["reason"]) == (422, "Invalid")


@pytest.mark.conformance("[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]")
async def test_the_lifecycle_of_a_config_map(api):
    await api.cycle(PATH, {"metadata": {"name": "c"}, "data": {"valueName": "value"}})
