"""VolumeAttributesClasses: upstream's test/e2e/storage/volumeattributesclass.go."""

import pytest
from tests.examples_of_kinds import example

CLASSES = "/apis/storage.k8s.io/v1/volumeattributesclasses"


async def unprotected(api, name):
    """What the controller does once no volume uses a deleted class: it takes the protection off."""
    code, left = await api("GET", f"{CLASSES}/{name}")
    if code == 200:
        assert left["metadata"]["deletionTimestamp"]
        await api.ok("PATCH", f"{CLASSES}/{name}", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{CLASSES}/{name}"))[0] == 404


@pytest.mark.conformance(
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a "
    "VolumeAttributesClass [Conformance]"
)
async def test_volume_attributes_classes_live_and_go(api):
    body = example("storage.k8s.io", "v1", "volumeattributesclasses")
    name = body["metadata"]["name"]
    made = await api.ok("POST", CLASSES, body)
    assert (await api.ok("GET", f"{CLASSES}/{name}"))["metadata"]["uid"] == made["metadata"]["uid"]
    patched = await api.ok("PATCH", f"{CLASSES}/{name}", {"metadata": {"labels": {"test": "patched"}}})
    assert patched["metadata"]["labels"] == {"test": "patched"}
    await api.ok("DELETE", f"{CLASSES}/{name}")
    await unprotected(api, name)
    replacement = await api.ok("POST", CLASSES, body)
    replacement["metadata"]["labels"] = {"test": "updated"}
    assert (await api.ok("PUT", f"{CLASSES}/{name}", replacement))["metadata"]["labels"] == {"test": "updated"}
    await api.ok("DELETE", f"{CLASSES}?labelSelector=test%3Dupdated")
    await unprotected(api, name)
