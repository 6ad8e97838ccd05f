"""Events of events.k8s.io: upstream's test/e2e/instrumentation/events.go."""

import pytest

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"


def event(name, **more):
    return {
        "metadata": {"name": name, "labels": {"testevent-constant": "true"}},
        "regarding": {"namespace": "default"},
        "eventTime": "2017-09-19T13:49:16.000000Z",
        "note": "This is a test",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
        **more,
    }


@pytest.mark.conformance(
    "[sig-instrumentation] Events API should ensure that an event can be fetched, patched, deleted, and listed [Conformance]"
)
async def test_an_event_can_be_fetched_patched_deleted_and_listed(api):
    await api.ok("POST", EVENTS, event("event-test"))
    for path in (EVENTS, "/apis/events.k8s.io/v1/events"):
        found = await api.ok("GET", f"{path}?labelSelector=testevent-constant%3Dtrue")
        assert [item["metadata"]["name"] for item in found["items"]] == ["event-test"]
    by_controller = await api.ok("GET", f"{EVENTS}?fieldSelector=reportingController%3Dtest-controller")
    assert len(by_controller["items"]) == 1
    of_core = "/api/v1/namespaces/default/events?fieldSelector=source%3Dtest-controller"
    assert [item["metadata"]["name"] for item in (await api.ok("GET", of_core))["items"]] == ["event-test"]
    old = await api.ok("GET", f"{EVENTS}/event-test")
    patch = {"series": {"count": 2, "lastObservedTime": "2014-12-02T00:01:00.000000Z"}}
    patched = await api.ok("PATCH", f"{EVENTS}/event-test", patch)
    assert {**patched, "metadata": None} == {**old, **patch, "metadata": None}
    patched["series"] = {"count": 100, "lastObservedTime": "2014-12-02T00:01:00.000000Z"}
    updated = await api.ok("PUT", f"{EVENTS}/event-test", patched)
    assert updated["series"] == patched["series"]
    assert (await api.ok("GET", f"{EVENTS}/event-test"))["series"] == patched["series"]
    await api.ok("DELETE", f"{EVENTS}/event-test")
    assert (await api.ok("GET", EVENTS))["items"] == []


@pytest.mark.conformance("[sig-instrumentation] Events API should delete a collection of events [Conformance]")
async def test_a_collection_of_events_is_deleted(api):
    for name in ("test-event-1", "test-event-2", "test-event-3"):
        await api.ok("POST", EVENTS, event(name))
    path = f"{EVENTS}?labelSelector=testevent-constant%3Dtrue"
    assert len((await api.ok("GET", path))["items"]) == 3
    await api.ok("DELETE", path)
    assert (await api.ok("GET", path))["items"] == []
