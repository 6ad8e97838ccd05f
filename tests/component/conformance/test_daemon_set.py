"""DaemonSets: the parts of upstream's test/e2e/apps/daemon_set.go that need no Pods."""

import pytest

SETS = "/apis/apps/v1/namespaces/default/daemonsets"


def daemon_set(name="agent"):
    labels = {"app": "agent"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "agent", "image": "httpd"}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": {"test": "ds"}}, "spec": spec}


@pytest.mark.conformance(
    "[sig-apps] Daemon set [Serial] should list and delete a collection of DaemonSets [Conformance]"
)
async def test_daemon_sets_are_listed_and_deleted_together(api):
    await api.ok("POST", SETS, daemon_set())
    everywhere = await api.ok("GET", "/apis/apps/v1/daemonsets?labelSelector=test%3Dds")
    assert [item["metadata"]["name"] for item in everywhere["items"]] == ["agent"]
    await api.ok("DELETE", f"{SETS}?labelSelector=test%3Dds")
    assert (await api.ok("GET", f"{SETS}?labelSelector=test%3Dds"))["items"] == []


@pytest.mark.conformance("[sig-apps] Daemon set [Serial] should verify changes to a daemon set status [Conformance]")
async def test_the_status_of_a_daemon_set_is_its_own(api):
    await api.ok("POST", SETS, daemon_set())
    seen = await api.watch(f"{SETS}?watch=1&resourceVersion=0")
    shown = await api.ok("GET", f"{SETS}/agent/status")
    shown["status"]["conditions"] = [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"}]
    await api.ok("PUT", f"{SETS}/agent/status", shown)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusUpdate"]
    patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    await api.ok("PATCH", f"{SETS}/agent/status", patch)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusPatched"]


async def test_daemon_sets_have_every_verb(api):
    await api.cycle(SETS, daemon_set(), status={"numberReady": 1})
