"""Dynamic resource allocation's objects: upstream's test/e2e/dra/dra.go."""

import pytest
from tests.component.conformance.crud import STATUS_CONDITION, patched_in_every_way
from tests.examples_of_kinds import example

GROUP = "/apis/resource.k8s.io/v1"


async def passes(api, plural, namespace="", status=None):
    path = f"{GROUP}/namespaces/{namespace}/{plural}" if namespace else f"{GROUP}/{plural}"
    obj = example("resource.k8s.io", "v1", plural)
    await api.cycle(path, obj, status=status)
    await patched_in_every_way(api, path, obj)


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass [Conformance]")
async def test_device_classes(api):
    await passes(api, "deviceclasses")


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceTaintRule [Conformance]")
async def test_device_taint_rules(api):
    await passes(api, "devicetaintrules", status={"conditions": [STATUS_CONDITION]})


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim [Conformance]")
async def test_claims(api):
    await passes(api, "resourceclaims", "default", status={"allocation": {"devices": {}}})


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate [Conformance]")
async def test_claim_templates(api):
    await passes(api, "resourceclaimtemplates", "default")


@pytest.mark.conformance("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice [Conformance]")
async def test_slices(api):
    await passes(api, "resourceslices")
