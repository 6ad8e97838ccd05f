"""PriorityClasses: upstream's test/e2e/scheduling/preemption.go."""

import pytest

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.mark.conformance(
    "[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be "
    "operated with different HTTP methods [Conformance]"
)
async def test_priority_classes_change_in_what_may_change(api):
    await api.cycle(CLASSES, {"metadata": {"name": "p"}, "value": 1})
    made = await api.ok("POST", CLASSES, {"metadata": {"name": "p1"}, "value": 1})
    listed = await api.ok("GET", CLASSES)
    names = [item["metadata"]["name"] for item in listed["items"]]
    assert names == ["p1", "system-cluster-critical", "system-node-critical"]
    one = f"{CLASSES}/p1"
    assert (await api("PATCH", one, {"value": 2}))[0] == 422
    assert (await api("PUT", one, {**made, "value": 2}))[0] == 422
    assert (await api.ok("PATCH", one, {"description": "patched"}))["description"] == "patched"
    current = await api.ok("GET", one)
    assert (await api.ok("PUT", one, {**current, "description": "updated"}))["description"] == "updated"
    assert (await api.ok("GET", one))["value"] == 1
