"""ControllerRevisions: upstream's test/e2e/apps/controller_revision.go."""

import pytest
from tests.component.conformance.e2e import APPS, HASH, Workloads, workloads
from tests.component.conformance.test_daemon_set import daemon_set, on_all_nodes, pods_of, status_is_right
from tests.component.controllers.world import simulated

REVISIONS = f"{APPS}/controllerrevisions"
SELECTED = "labelSelector=daemonset-name%3Ddaemon-set"


async def counted(k: Workloads, count: int) -> None:
    async def right() -> bool:
        return len(await k.items(f"{REVISIONS}?{SELECTED}")) == count

    await k.poll(right, seconds=60)


@pytest.mark.conformance(
    "[sig-apps] ControllerRevision should manage the lifecycle of a ControllerRevision [Conformance] [Serial]"
)
@simulated
async def test_a_revision_lives_beside_the_controller():
    async with workloads() as k:
        made = await k.made(f"{APPS}/daemonsets", daemon_set(labelled=True))
        await on_all_nodes(k, made)
        await status_is_right(k)
        (ds,) = await k.items(f"/apis/apps/v1/daemonsets?{SELECTED}")
        (initial,) = await k.items(f"/apis/apps/v1/controllerrevisions?{SELECTED}")
        ref = initial["metadata"]["ownerReferences"][0]
        assert (ref["kind"], ref["uid"]) == ("DaemonSet", ds["metadata"]["uid"])
        name = initial["metadata"]["name"]
        patched = await k.ok("PATCH", f"{REVISIONS}/{name}", {"metadata": {"labels": {name: "patched"}}})
        assert patched["metadata"]["labels"][name] == "patched"
        before = {pod["metadata"]["uid"] for pod in await pods_of(k)}
        labels = ds["spec"]["template"]["metadata"]["labels"] | {HASH: "86cf984b4"}
        meta = {"name": "daemon-set-86cf984b4", "labels": labels, "annotations": ds["metadata"]["annotations"]}
        meta["ownerReferences"] = initial["metadata"]["ownerReferences"]
        await k.made(REVISIONS, {"metadata": meta, "data": initial["data"], "revision": initial["revision"] + 1})
        await counted(k, 2)
        await k.ok("DELETE", f"{REVISIONS}/{name}")
        await counted(k, 1)
        (current,) = await k.items(REVISIONS)
        name = current["metadata"]["name"]
        updated = await k.updated(f"{REVISIONS}/{name}", lambda r: r["metadata"]["labels"].update({name: "updated"}))
        assert updated["metadata"]["labels"][name] == "updated"
        assert {pod["metadata"]["uid"] for pod in await pods_of(k)} == before
        grace = {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}
        patch = {"spec": grace, "updateStrategy": {"type": "RollingUpdate"}}
        await k.ok("PATCH", f"{APPS}/daemonsets/daemon-set", patch)
        await counted(k, 2)
        await k.ok("DELETE", f"{REVISIONS}?labelSelector={name}%3Dupdated")
        await counted(k, 1)
        assert [item["revision"] for item in await k.items(REVISIONS)] == [3]


async def test_revisions_have_every_verb(api):
    revision = {"metadata": {"name": "agent-1"}, "data": {"spec": {"n": 1}}, "revision": 1}
    await api.cycle(REVISIONS, revision)
