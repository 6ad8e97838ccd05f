"""ReplicationControllers: upstream's test/e2e/apps/rc.go, what the API alone has to do."""

import pytest
from tests.component.api import STRATEGIC

PATH = "/api/v1/namespaces/default/replicationcontrollers"


def controller(replicas=1):
    template = {
        "metadata": {"labels": {"test-rc-static": "true"}},
        "spec": {"containers": [{"name": "rc-test", "image": "agnhost"}]},
    }
    return {
        "metadata": {"name": "rc-test", "labels": {"test-rc-static": "true"}},
        "spec": {"replicas": replicas, "selector": {"test-rc-static": "true"}, "template": template},
    }


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]"
)
async def test_the_lifecycle_of_a_controller(api):
    """Without a controller manager, so that the counts are told by the test and nothing orphans Pods."""
    made = await api.ok("POST", PATH, controller())
    start = made["metadata"]["resourceVersion"]
    seen = await api.watch(f"{PATH}?watch=1&labelSelector=test-rc-static%3Dtrue&resourceVersion={start}")
    blank = {"metadata": {"creationTimestamp": None}, "status": {"replicas": 0}}
    patch = {**blank, "metadata": {**blank["metadata"], "labels": {"test-rc": "patched"}}, "spec": {}}
    patched = await api.ok("PATCH", f"{PATH}/rc-test", patch, content_type=STRATEGIC)
    assert (patched["spec"], patched["metadata"]["generation"]) == (made["spec"], 1)
    assert patched["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert (await seen.until("MODIFIED"))["metadata"]["labels"]["test-rc"] == "patched"
    status = {"replicas": 1, "readyReplicas": 1}
    told = await api.ok("PATCH", f"{PATH}/rc-test/status", {"status": status})
    assert told["status"] == status
    assert (await seen.until("MODIFIED"))["status"] == status
    patch = {**blank, "spec": {"replicas": 3}}
    scale = await api.ok("PATCH", f"{PATH}/rc-test/scale", patch, content_type=STRATEGIC)
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 1)
    found = await api.ok("GET", "/api/v1/replicationcontrollers?labelSelector=test-rc-static%3Dtrue")
    assert [item["spec"]["replicas"] for item in found["items"]] == [3]
    update = {**found["items"][0], "spec": {**found["items"][0]["spec"], "replicas": 1}}
    assert (await api.ok("PUT", f"{PATH}/rc-test", update))["spec"]["replicas"] == 1
    await api.ok("DELETE", f"{PATH}?labelSelector=test-rc-static%3Dtrue&propagationPolicy=Background")
    assert (await seen.until("DELETED"))["metadata"]["name"] == "rc-test"


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"
)
async def test_a_controllers_scale(api):
    await api.ok("POST", PATH, controller())
    scale = await api.ok("GET", f"{PATH}/rc-test/scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 1)
    scale["metadata"]["resourceVersion"] = ""
    scale["spec"]["replicas"] = 2
    await api.ok("PUT", f"{PATH}/rc-test/scale", scale)
    assert (await api.ok("GET", f"{PATH}/rc-test"))["spec"]["replicas"] == 2
