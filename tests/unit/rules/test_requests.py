"""What Pods ask for."""

import msgspec
import pytest
import yaml

from pybernetes.api.types.core_v1 import Pod
from pybernetes.rules.requests import ASSUMED, host_ports, pod_limits, pod_requests, ports_clash


def pod(text: str) -> Pod:
    return msgspec.convert(yaml.safe_load(text), Pod)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{spec: {containers: [{}]}}", {}),
        (
            "{spec: {containers: [{name: a, resources: {requests: {cpu: 100m, memory: 1Gi}}},"
            " {name: b, resources: {requests: {cpu: '1', example.com/gpu: '2'}}}]}}",
            {"cpu": 1100, "memory": 1 << 30, "example.com/gpu": 2},
        ),
        (
            "{spec: {initContainers: [{name: i, resources: {requests: {cpu: '2'}}}],"
            " containers: [{name: a, resources: {requests: {cpu: '1', memory: '5'}}}]}}",
            {"cpu": 2000, "memory": 5},
        ),
        (
            "{spec: {initContainers: ["
            "{name: s, restartPolicy: Always, resources: {requests: {cpu: '1'}}},"
            "{name: i, resources: {requests: {cpu: '3'}}}],"
            " containers: [{name: a, resources: {requests: {cpu: '2'}}}]}}",
            {"cpu": 4000},
        ),
        (
            "{spec: {initContainers: ["
            "{name: i, resources: {requests: {cpu: '3'}}},"
            "{name: s, restartPolicy: Always, resources: {requests: {cpu: '1'}}}],"
            " containers: [{name: a, resources: {requests: {cpu: '2'}}}], overhead: {cpu: 250m}}}",
            {"cpu": 3250},
        ),
        (
            "{spec: {resources: {requests: {cpu: '5'}}, overhead: {cpu: '1'},"
            " containers: [{name: a, resources: {requests: {cpu: '2', memory: '7'}}}]}}",
            {"cpu": 6000, "memory": 7},
        ),
        (
            "{spec: {containers: [{name: a, resources: {requests: {cpu: '1'}}}]},"
            " status: {containerStatuses: [{name: a, allocatedResources: {cpu: '2'}}]}}",
            {"cpu": 2000},
        ),
        (
            "{spec: {containers: [{name: a, resources: {requests: {cpu: '9'}}}]}, status: {"
            "conditions: [{type: PodResizePending, status: 'True', reason: Infeasible}],"
            "containerStatuses: [{name: a, allocatedResources: {cpu: '2'}}]}}",
            {"cpu": 2000},
        ),
        (
            "{spec: {resources: {requests: {cpu: '1'}}, overhead: {cpu: '1'}, containers: [{name: a}]},"
            " status: {allocatedResources: {cpu: '2', memory: '9'}, resources: {requests: {cpu: '3'}}}}",
            {"cpu": 4000},
        ),
        (
            "{spec: {resources: {requests: {cpu: '9'}}, containers: [{name: a}]}, status: {"
            "conditions: [{type: PodResizePending, status: 'True', reason: Infeasible}], allocatedResources: {cpu: '2'}}}",
            {"cpu": 2000},
        ),
        (
            "{spec: {containers: [{name: a, resources: {requests: {cpu: '1'}}}]},"
            " status: {allocatedResources: {cpu: '2'}, resources: {requests: {cpu: '3'}}}}",
            {"cpu": 1000},
        ),
    ],
)
def test_requests_are_the_most_that_is_needed_at_one_time(text: str, wanted: dict[str, int]) -> None:
    assert pod_requests(pod(text)) == wanted


def test_a_container_that_asks_for_nothing_can_be_assumed_to_need_something() -> None:
    assert pod_requests(pod("{spec: {containers: [{name: a}, {name: b}]}}"), ASSUMED) == {
        "cpu": 200,
        "memory": 400 << 20,
    }


def test_overhead_counts_to_limits_only_where_there_is_one() -> None:
    text = "{spec: {overhead: {cpu: '1', memory: '1'}, containers: [{name: a, resources: {limits: {cpu: '1'}}}]}}"
    assert pod_limits(pod(text)) == {"cpu": 2000}


def test_host_ports_clash_by_protocol_number_and_overlapping_address() -> None:
    found = host_ports(pod("{spec: {containers: [{ports: [{containerPort: 1, hostPort: 80}, {containerPort: 2}]}]}}"))
    assert found == (("0.0.0.0", "TCP", 80),)
    assert ports_clash(found, [("127.0.0.1", "TCP", 80)])
    assert not ports_clash(found, [("127.0.0.1", "UDP", 80), ("0.0.0.0", "TCP", 81)])
    assert not ports_clash([("127.0.0.1", "TCP", 80)], [("127.0.0.2", "TCP", 80)])
