"""Events of core/v1: upstream's test/e2e/instrumentation/core_events.go."""

import pytest

EVENTS = "/api/v1/namespaces/default/events"
SELECTED = "labelSelector=testevent-set%3Dtrue"


def event(name):
    return {
        "metadata": {"name": name, "labels": {"testevent-set": "true"}},
        "message": "This is a test event",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": {"namespace": "default"},
    }


async def _life(api):
    await api.ok("POST", EVENTS, event("event-test"))
    found = await api.ok("GET", f"/api/v1/events?{SELECTED}")
    assert [item["metadata"]["name"] for item in found["items"]] == ["event-test"]
    patched = await api.ok("PATCH", f"{EVENTS}/event-test", {"message": "This is a test event - patched"})
    assert patched["message"] == "This is a test event - patched"
    got = await api.ok("GET", f"{EVENTS}/event-test")
    assert got == patched
    got["series"] = {"count": 100, "lastObservedTime": "2026-01-31T08:00:00.000000Z"}
    del got["metadata"]["resourceVersion"]
    got["metadata"].pop("managedFields", None)
    await api.ok("PUT", f"{EVENTS}/event-test", got)
    found = await api.ok("GET", f"{EVENTS}/event-test")
    del found["metadata"]["resourceVersion"]
    found["metadata"].pop("managedFields", None)
    assert found == got
    await api.ok("DELETE", f"{EVENTS}/event-test")
    assert (await api.ok("GET", f"/api/v1/events?{SELECTED}"))["items"] == []


@pytest.mark.conformance(
    "[sig-instrumentation] Events should ensure that an event can be fetched, patched, deleted, and listed [Conformance]"
)
async def test_an_event_can_be_fetched_patched_deleted_and_listed(api):
    await _life(api)


@pytest.mark.conformance("[sig-instrumentation] Events should manage the lifecycle of an event [Conformance]")
async def test_the_lifecycle_of_an_event(api):
    await _life(api)


@pytest.mark.conformance("[sig-instrumentation] Events should delete a collection of events [Conformance]")
async def test_a_collection_of_events_is_deleted(api):
    for name in ("test-event-1", "test-event-2", "test-event-3"):
        await api.ok("POST", EVENTS, event(name))
    assert len((await api.ok("GET", f"{EVENTS}?{SELECTED}"))["items"]) == 3
    await api.ok("DELETE", f"{EVENTS}?{SELECTED}")
    assert (await api.ok("GET", f"{EVENTS}?{SELECTED}"))["items"] == []
