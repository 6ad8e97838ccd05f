"""VolumeAttachments: upstream's test/e2e/storage/volume_attachment.go."""

import pytest
from tests.examples_of_kinds import example

ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"


@pytest.mark.conformance(
    "[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment [Conformance]"
)
async def test_volume_attachments_live_and_go(api):
    await api.cycle(ATTACHMENTS, example("storage.k8s.io", "v1", "volumeattachments"))


@pytest.mark.conformance(
    "[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]"
)
async def test_the_status_of_an_attachment_is_written_apart(api):
    body = example("storage.k8s.io", "v1", "volumeattachments")
    body["metadata"]["uid"] = "va-e2e"
    made = await api.ok("POST", ATTACHMENTS, {**body, "status": {"attached": True}})
    assert made["metadata"]["uid"] != "va-e2e"
    one = f"{ATTACHMENTS}/{body['metadata']['name']}"
    await api.ok("PATCH", one, {"metadata": {"labels": {"a": "b"}}})
    assert (await api.ok("GET", f"{one}/status"))["status"] == {"attached": False}
    patched = await api.ok("PATCH", f"{one}/status", {"status": {"attached": True}})
    assert patched["status"] == {"attached": True}
    patched["status"]["attached"] = False
    updated = await api.ok("PUT", f"{one}/status", patched)
    assert (updated["status"], updated["metadata"]["labels"]) == ({"attached": False}, {"a": "b"})
    await api.ok("DELETE", one)
    assert (await api("GET", one))[0] == 404
