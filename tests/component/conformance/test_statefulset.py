"""StatefulSets: the parts of upstream's test/e2e/apps/statefulset.go that need no Pods."""

import pytest

SETS = "/apis/apps/v1/namespaces/default/statefulsets"
STRATEGIC = "application/strategic-merge-patch+json"


def stateful_set(name="db", replicas=1):
    labels = {"app": "db"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "db", "image": "httpd"}]}}
    spec = {"serviceName": "db", "replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "labels": {"test": "ss"}}, "spec": spec}


@pytest.mark.conformance(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should have a working scale subresource"
    " [Conformance]"
)
async def test_scale_is_read_written_and_patched(api):
    await api.ok("POST", SETS, stateful_set())
    scale = await api.ok("GET", f"{SETS}/db/scale")
    assert scale["spec"]["replicas"] == 1
    scale["metadata"]["resourceVersion"] = ""
    scale["spec"]["replicas"] = 2
    assert (await api.ok("PUT", f"{SETS}/db/scale", scale))["spec"]["replicas"] == 2
    await api.ok("PATCH", f"{SETS}/db/scale", {"spec": {"replicas": 4}}, content_type=STRATEGIC)
    assert (await api.ok("GET", f"{SETS}/db"))["spec"]["replicas"] == 4


@pytest.mark.conformance(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should list, patch and delete a"
    " collection of StatefulSets [Conformance]"
)
async def test_stateful_sets_are_listed_patched_and_deleted_together(api):
    await api.ok("POST", SETS, stateful_set())
    everywhere = await api.ok("GET", "/apis/apps/v1/statefulsets?labelSelector=test%3Dss")
    assert len(everywhere["items"]) == 1
    pod = {"containers": [{"name": "db", "image": "pause"}]}
    change = {"metadata": {"labels": {"test": "patched"}}, "spec": {"replicas": 2, "template": {"spec": pod}}}
    patched = await api.ok("PATCH", f"{SETS}/db", change, content_type=STRATEGIC)
    assert (patched["spec"]["replicas"], patched["metadata"]["labels"]["test"]) == (2, "patched")
    assert patched["spec"]["template"]["spec"]["containers"][0]["image"] == "pause"
    await api.ok("DELETE", f"{SETS}?labelSelector=test%3Dpatched")
    assert (await api.ok("GET", f"{SETS}?labelSelector=test%3Dpatched"))["items"] == []


@pytest.mark.conformance(
    "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic] should validate Statefulset Status"
    " endpoints [Conformance]"
)
async def test_the_status_of_a_stateful_set_is_its_own(api):
    await api.ok("POST", SETS, stateful_set())
    seen = await api.watch(f"{SETS}?watch=1&resourceVersion=0")
    shown = await api.ok("GET", f"{SETS}/db/status")
    shown["status"]["conditions"] = [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"}]
    await api.ok("PUT", f"{SETS}/db/status", shown)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusUpdate"]
    patch = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    await api.ok("PATCH", f"{SETS}/db/status", patch)
    assert [c["type"] for c in (await seen.until("MODIFIED"))["status"]["conditions"]] == ["StatusPatched"]


async def test_stateful_sets_have_every_verb(api):
    await api.cycle(SETS, stateful_set(), status={"replicas": 1, "availableReplicas": 0})
