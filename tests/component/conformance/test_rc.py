"""ReplicationControllers: the parts of upstream's test/e2e/apps/rc.go that need no Pods."""

import pytest

CONTROLLERS = "/api/v1/namespaces/default/replicationcontrollers"
STRATEGIC = "application/strategic-merge-patch+json"


def controller(name="rc", replicas=1):
    labels = {"name": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "httpd"}]}}
    spec = {"replicas": replicas, "selector": labels, "template": template}
    return {"metadata": {"name": name, "labels": {"test": "rc"}}, "spec": spec}


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"
)
async def test_scale_is_read_and_written(api):
    await api.ok("POST", CONTROLLERS, controller())
    scale = await api.ok("GET", f"{CONTROLLERS}/rc/scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]["replicas"]) == ("autoscaling/v1", "Scale", 1)
    scale["spec"]["replicas"] = 2
    await api.ok("PUT", f"{CONTROLLERS}/rc/scale", scale)
    assert (await api.ok("GET", f"{CONTROLLERS}/rc"))["spec"]["replicas"] == 2


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]"
)
async def test_a_controller_lives(api):
    seen = await api.watch(f"{CONTROLLERS}?watch=1&labelSelector=test%3Drc&resourceVersion=0")
    await api.ok("POST", CONTROLLERS, controller())
    await seen.until("ADDED")
    change = {"metadata": {"labels": {"patched": "yes"}}}
    await api.ok("PATCH", f"{CONTROLLERS}/rc", change, content_type=STRATEGIC)
    assert (await seen.until("MODIFIED"))["metadata"]["labels"]["patched"] == "yes"
    status = {"status": {"readyReplicas": 0, "availableReplicas": 0, "observedGeneration": 1}}
    await api.ok("PATCH", f"{CONTROLLERS}/rc/status", status, content_type=STRATEGIC)
    assert (await seen.until("MODIFIED"))["status"]["observedGeneration"] == 1
    assert (await api.ok("GET", f"{CONTROLLERS}/rc/status"))["metadata"]["name"] == "rc"
    await api.ok("PATCH", f"{CONTROLLERS}/rc/scale", {"spec": {"replicas": 2}}, content_type=STRATEGIC)
    assert (await seen.until("MODIFIED"))["spec"]["replicas"] == 2
    everywhere = await api.ok("GET", "/api/v1/replicationcontrollers?labelSelector=test%3Drc")
    assert len(everywhere["items"]) == 1
    got = await api.ok("GET", f"{CONTROLLERS}/rc")
    got["status"]["availableReplicas"] = 0
    await api.ok("PUT", f"{CONTROLLERS}/rc/status", got)
    await api.ok("DELETE", f"{CONTROLLERS}?labelSelector=test%3Drc&propagationPolicy=Background")
    assert (await seen.until("DELETED"))["metadata"]["name"] == "rc"
