"""The timeline of a Pod, from its conditions and events."""

from typing import Any

import msgspec

from pybernetes.api.types import core_v1
from pybernetes.assembly.demo import is_ready, timeline


def pod(*conditions: dict[str, Any]) -> core_v1.Pod:
    metadata = {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return msgspec.convert({"metadata": metadata, "status": {"conditions": conditions}}, core_v1.Pod)


def event(reason: str, **times: str) -> core_v1.Event:
    return msgspec.convert({"reason": reason, **times}, core_v1.Event)


READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}


def test_the_timeline_counts_from_the_creation_in_milliseconds() -> None:
    events = [
        event("Scheduled", eventTime="2026-01-01T00:00:00.250000Z"),
        event("Pulled", firstTimestamp="2026-01-01T00:00:01Z"),
        event("Started", eventTime="2026-01-01T00:00:01.500000Z"),
    ]
    assert timeline(pod(READY), events) == [
        ("created", 0.0),
        ("scheduled", 250.0),
        ("pulled", 1000.0),
        ("started", 1500.0),
        ("ready", 2000.0),
    ]


def test_what_has_not_happened_is_left_out_and_the_first_event_counts() -> None:
    events = [
        event("Pulled", eventTime="2026-01-01T00:00:03.000000Z"),
        event("Pulled", firstTimestamp="2026-01-01T00:00:09Z"),
    ]
    assert timeline(pod(), [*events, event("Started")]) == [("created", 0.0), ("pulled", 3000.0)]


def test_a_pod_is_ready_by_its_condition_alone() -> None:
    assert is_ready(pod(READY))
    assert not is_ready(pod(READY | {"status": "False"}))
    assert not is_ready(pod())
