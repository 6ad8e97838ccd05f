"""ReplicaSets: the parts of upstream's test/e2e/apps/replica_set.go that need no Pods."""

import pytest

SETS = "/apis/apps/v1/namespaces/default/replicasets"
STRATEGIC = "application/strategic-merge-patch+json"


def replica_set(name="web", replicas=1):
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "httpd"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": {"test": "rs"}}, "spec": spec}


@pytest.mark.conformance("[sig-apps] ReplicaSet Replace and Patch tests [Conformance]")
async def test_a_replica_set_is_replaced_and_patched(api):
    made = await api.ok("POST", SETS, replica_set())
    made["spec"]["replicas"] = 2
    assert (await api.ok("PUT", f"{SETS}/web", made))["spec"]["replicas"] == 2
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "pause"}]}
    change = {"metadata": {"labels": {"test": "patched"}}, "spec": {"replicas": 3, "template": {"spec": pod}}}
    patched = await api.ok("PATCH", f"{SETS}/web", change, content_type=STRATEGIC)
    assert patched["metadata"]["labels"]["test"] == "patched"
    assert patched["spec"]["replicas"] == 3
    assert patched["spec"]["template"]["spec"]["containers"][0]["image"] == "pause"
    assert patched["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 0


@pytest.mark.conformance("[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]")
async def test_scale_is_read_written_and_patched(api):
    await api.ok("POST", SETS, replica_set())
    scale = await api.ok("GET", f"{SETS}/web/scale")
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (1, "app=web")
    scale["metadata"]["resourceVersion"] = ""
    scale["spec"]["replicas"] = 2
    await api.ok("PUT", f"{SETS}/web/scale", scale)
    assert (await api.ok("GET", f"{SETS}/web"))["spec"]["replicas"] == 2
    await api.ok("PATCH", f"{SETS}/web/scale", {"spec": {"replicas": 4}}, content_type=STRATEGIC)
    assert (await api.ok("GET", f"{SETS}/web"))["spec"]["replicas"] == 4


@pytest.mark.conformance("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]")
async def test_replica_sets_are_listed_and_deleted_together(api):
    await api.ok("POST", SETS, replica_set())
    listed = await api.ok("GET", f"{SETS}?labelSelector=test%3Drs")
    assert len(listed["items"]) == 1
    await api.ok("DELETE", f"{SETS}?labelSelector=test%3Drs")
    assert (await api.ok("GET", f"{SETS}?labelSelector=test%3Drs"))["items"] == []


@pytest.mark.conformance("[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]")
async def test_the_status_of_a_replica_set_is_its_own(api):
    await api.ok("POST", SETS, replica_set())
    seen = await api.watch(f"{SETS}?watch=1&resourceVersion=0")
    shown = await api.ok("GET", f"{SETS}/web/status")
    shown["status"]["conditions"] = [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"}]
    await api.ok("PUT", f"{SETS}/web/status", shown)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusUpdate"]
    patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    await api.ok("PATCH", f"{SETS}/web/status", patch)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusPatched"]


async def test_replica_sets_have_every_verb(api):
    await api.cycle(SETS, replica_set(), status={"replicas": 1})
