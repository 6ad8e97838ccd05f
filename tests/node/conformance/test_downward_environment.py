"""What a container may know of its Pod, as variables: upstream's test/e2e/common/node/downwardapi.go."""

import pytest
from tests.node.conformance.pods import container, pod

AMOUNTS = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
RESOURCES = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")


def _fields(*paths: str) -> list[dict]:
    return [{"name": path, "valueFrom": {"fieldRef": {"fieldPath": path}}} for path in paths]


def _resources(*names: str) -> list[dict]:
    return [{"name": name, "valueFrom": {"resourceFieldRef": {"resource": name}}} for name in names]


async def _environment(space, *env: dict, **fields) -> tuple[dict[str, str], dict]:
    """What the container saw, and the Pod afterwards."""
    printed = await space.output(pod("downward", container("env", env=list(env), **fields)))
    return dict(line.split("=", 1) for line in printed.splitlines()), await space.get("downward")


@pytest.mark.conformance(
    "[sig-node] Downward API should provide pod name, namespace and IP address as env vars "
    "[NodeConformance] [Conformance]"
)
async def test_name_namespace_and_address_are_variables(space):
    seen, made = await _environment(space, *_fields("metadata.name", "metadata.namespace", "status.podIP"))
    assert (seen["metadata.name"], seen["metadata.namespace"]) == ("downward", space.name)
    assert seen["status.podIP"] == made["status"]["podIP"]


@pytest.mark.conformance("[sig-node] Downward API should provide host IP as an env var [NodeConformance] [Conformance]")
async def test_the_address_of_the_node_is_a_variable(space):
    seen, made = await _environment(space, *_fields("status.hostIP"))
    assert seen["status.hostIP"] == made["status"]["hostIP"] == space.address_of(made["spec"]["nodeName"])


@pytest.mark.conformance("[sig-node] Downward API should provide hostIPs as an env var [Conformance] [NodeConformance]")
async def test_all_addresses_of_the_node_are_a_variable(space):
    seen, made = await _environment(space, *_fields("status.hostIPs"))
    assert seen["status.hostIPs"] == ",".join(one["ip"] for one in made["status"]["hostIPs"])


@pytest.mark.conformance("[sig-node] Downward API should provide pod UID as env vars [NodeConformance] [Conformance]")
async def test_the_uid_is_a_variable(space):
    seen, made = await _environment(space, *_fields("metadata.uid"))
    assert seen["metadata.uid"] == made["metadata"]["uid"]


@pytest.mark.conformance(
    "[sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars "
    "[NodeConformance] [Conformance]"
)
async def test_requests_and_limits_are_variables_rounded_up(space):
    seen, _ = await _environment(space, *_resources(*RESOURCES), resources=AMOUNTS)
    assert [seen[name] for name in RESOURCES] == ["2", "67108864", "1", "33554432"]


@pytest.mark.conformance(
    "[sig-node] Downward API should provide default limits.cpu/memory from node allocatable "
    "[NodeConformance] [Conformance]"
)
async def test_without_limits_the_node_is_the_limit(space):
    seen, made = await _environment(space, *_resources("limits.cpu", "limits.memory"))
    node = await space.api.ok("GET", f"/api/v1/nodes/{made['spec']['nodeName']}")
    allocatable = node["status"]["allocatable"]
    assert seen["limits.cpu"] == allocatable["cpu"]
    assert int(seen["limits.memory"]) == int(allocatable["memory"].removesuffix("Ki")) * 1024
