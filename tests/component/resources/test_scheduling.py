"""scheduling.k8s.io: PriorityClass."""

import pytest
from tests.examples_of_kinds import example

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
RESERVED = (
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error:"
)


def priority(name="example", **fields):
    return {**example("scheduling.k8s.io", "v1", "priorityclasses"), "metadata": {"name": name}, **fields}


async def test_the_system_has_its_two_classes_from_the_start(api):
    rows = await api.table(CLASSES)
    shown = [(row["Name"], row["Value"], row["Global-Default"], row["PreemptionPolicy"]) for row in rows]
    assert shown == [
        ("system-cluster-critical", 2000000000, False, "PreemptLowerPriority"),
        ("system-node-critical", 2000001000, False, "PreemptLowerPriority"),
    ]
    assert list(rows[0]) == ["Name", "Value", "Global-Default", "Age", "PreemptionPolicy"]


async def test_the_classes_of_the_system_stay(api):
    assert await api.refused("DELETE", f"{CLASSES}/system-node-critical") == (
        'priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: this is a system priority class and cannot'
        " be deleted"
    )
    assert (await api("DELETE", CLASSES))[0] == 200
    assert (await api("GET", CLASSES))[1]["items"] == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            priority(value=1000000001, preemptionPolicy="Maybe"),
            [
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
                'preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"',
            ],
        ),
        (priority("system-x"), [f"{RESERVED} system-x is not a known system priority class"]),
        (
            priority("system-node-critical"),
            [f"{RESERVED} value of system-node-critical PriorityClass must be 2000001000"],
        ),
        (
            priority("system-node-critical", value=2000001000, globalDefault=True),
            [f"{RESERVED} globalDefault of system-node-critical PriorityClass must be false"],
        ),
    ],
)
async def test_highest_priorities_are_the_systems(api, body, expected):
    assert await api.faults("POST", CLASSES, body) == expected


async def test_value_and_policy_stay_and_generation_too(api):
    made = await api.made(CLASSES, priority())
    assert (made["preemptionPolicy"], made["metadata"]["generation"]) == ("PreemptLowerPriority", 1)
    assert await api.faults("PUT", f"{CLASSES}/example", {**made, "value": 2, "preemptionPolicy": "Never"}) == [
        "value: Forbidden: may not be changed in an update.",
        'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]
    _, changed = await api("PUT", f"{CLASSES}/example", {**made, "description": "more"})
    assert changed["metadata"]["generation"] == 1
