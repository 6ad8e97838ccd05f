"""Dynamic resource allocation's objects: upstream's test/e2e/dra/dra.go."""

import pytest
from tests.component.conformance.crud import STATUS_CONDITION, Case, supports_everything

GROUP = "/apis/resource.k8s.io/v1"
REQUESTS = {"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "test-class"}}]}}
CONFIG = [{"opaque": {"driver": "dra.example.com", "parameters": {"e2e": "test"}}}]
ALLOCATED = {"request": "req-0", "driver": "dra.example.com", "pool": "pool", "device": "dev"}


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]")
async def test_device_classes(api):
    obj = {"metadata": {"name": "test-ns"}, "spec": {"selectors": [{"cel": {"expression": "true"}}]}}
    by_json = [{"op": "add", "path": "/spec/config", "value": CONFIG}]
    change = {"spec": {"config": CONFIG}}
    await supports_everything(api, Case(GROUP, "deviceclasses", obj, change=change, change_by_json=by_json))


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceTaintRule [Conformance]")
async def test_device_taint_rules(api):
    spec = {"deviceSelector": {"driver": "dra.example.com"}, "taint": {"key": "example.com/t", "effect": "NoSchedule"}}
    obj = {"metadata": {"name": "test-ns"}, "spec": spec}
    by_json = [{"op": "replace", "path": "/spec/taint/effect", "value": "NoExecute"}]
    change = {"spec": {"taint": {"key": "example.com/t", "effect": "NoExecute"}}}
    status = {"conditions": [STATUS_CONDITION]}
    case = Case(GROUP, "devicetaintrules", obj, change=change, change_by_json=by_json, status=status)
    await supports_everything(api, case)


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]")
async def test_claims(api):
    obj = {"metadata": {"name": "test"}, "spec": REQUESTS}
    status = {"allocation": {"devices": {"results": [ALLOCATED]}}}
    await supports_everything(api, Case(GROUP, "resourceclaims", obj, "default", status=status))


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]")
async def test_claim_templates(api):
    obj = {"metadata": {"name": "test"}, "spec": {"spec": REQUESTS}}
    await supports_everything(api, Case(GROUP, "resourceclaimtemplates", obj, "default"))


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]")
async def test_slices(api):
    pool = {"name": "cluster", "resourceSliceCount": 1, "generation": 1}
    spec = {"driver": "dra.example.com", "pool": pool, "allNodes": True}
    obj = {"metadata": {"name": "test-ns"}, "spec": spec}
    device = [{"name": "device-0"}]
    by_json = [{"op": "add", "path": "/spec/devices", "value": device}]
    case = Case(GROUP, "resourceslices", obj, change={"spec": {"devices": device}}, change_by_json=by_json)
    await supports_everything(api, case)
