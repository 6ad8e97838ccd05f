"""ControllerRevisions: upstream's test/e2e/apps/controller_revision.go; what the DaemonSet controller does there is done by hand."""

import pytest

REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
STRATEGIC = "application/strategic-merge-patch+json"
LABELS = {"daemonset-name": "agent"}


def revision(name, number):
    return {"metadata": {"name": name, "labels": LABELS}, "data": {"spec": {"n": number}}, "revision": number}


@pytest.mark.conformance(
    "[sig-apps] ControllerRevision should manage the lifecycle of a ControllerRevision [Conformance] [Serial]"
)
async def test_a_revision_lives(api):
    first = await api.ok("POST", REVISIONS, revision("agent-1", 1))
    selected = "labelSelector=daemonset-name%3Dagent"
    everywhere = await api.ok("GET", f"/apis/apps/v1/controllerrevisions?{selected}")
    assert [item["revision"] for item in everywhere["items"]] == [1]
    change = {"metadata": {"labels": {"agent-1": "patched"}}}
    patched = await api.ok("PATCH", f"{REVISIONS}/agent-1", change, content_type=STRATEGIC)
    assert patched["metadata"]["labels"]["agent-1"] == "patched"
    await api.ok("POST", REVISIONS, {**revision("agent-2", 2), "data": first["data"]})
    await api.ok("DELETE", f"{REVISIONS}/agent-1")
    assert len((await api.ok("GET", f"{REVISIONS}?{selected}"))["items"]) == 1
    second = await api.ok("GET", f"{REVISIONS}/agent-2")
    second["metadata"]["labels"]["agent-2"] = "updated"
    assert (await api.ok("PUT", f"{REVISIONS}/agent-2", second))["metadata"]["labels"]["agent-2"] == "updated"
    await api.ok("POST", REVISIONS, revision("agent-3", 3))
    await api.ok("DELETE", f"{REVISIONS}?labelSelector=agent-2%3Dupdated")
    left = (await api.ok("GET", f"{REVISIONS}?{selected}"))["items"]
    assert [item["revision"] for item in left] == [3]


async def test_revisions_have_every_verb(api):
    await api.cycle(REVISIONS, revision("agent", 1))
