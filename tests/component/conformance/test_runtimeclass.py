"""RuntimeClasses: upstream's test/e2e/common/node/runtimeclass.go."""

import pytest
from tests.examples_of_kinds import example

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
PODS = "/api/v1/namespaces/default/pods"


def pod_of_class(name):
    body = example("", "v1", "pods")
    body["spec"]["runtimeClassName"] = name
    return body


@pytest.mark.conformance("[sig-node] RuntimeClass  should support RuntimeClasses API operations [Conformance]")
async def test_runtime_classes_support_all_verbs(api):
    await api.cycle(CLASSES, example("node.k8s.io", "v1", "runtimeclasses"))


@pytest.mark.conformance(
    "[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [Conformance] [NodeConformance]"
)
async def test_a_pod_of_no_class_is_refused(api):
    code, answer = await api("POST", f"{PODS}?dryRun=All", pod_of_class("nothing"))
    assert (code, answer["reason"]) == (403, "Forbidden")


@pytest.mark.conformance(
    "[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [Conformance] [NodeConformance]"
)
async def test_a_pod_of_a_deleted_class_is_refused(api):
    await api.ok("POST", CLASSES, example("node.k8s.io", "v1", "runtimeclasses"))
    await api.ok("POST", f"{PODS}?dryRun=All", pod_of_class("example"))
    await api.ok("DELETE", f"{CLASSES}/example")
    assert (await api("GET", f"{CLASSES}/example"))[0] == 404
    assert (await api("POST", f"{PODS}?dryRun=All", pod_of_class("example")))[0] == 403


async def scheduled(api):
    """The pod of the example's class, once it is bound to a node as the scheduler does."""
    await api.ok("POST", PODS, pod_of_class("example"))
    await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await api.ok("POST", f"{PODS}/example/binding", {"metadata": {"name": "example"}, "target": {"name": "n1"}})
    pod = await api.ok("GET", f"{PODS}/example")
    assert pod["spec"]["nodeName"] == "n1"
    return pod


@pytest.mark.conformance(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead [Conformance] "
    "[NodeConformance]"
)
async def test_a_pod_has_the_overhead_of_its_class(api):
    overhead = {"podFixed": {"cpu": "10m", "memory": "1Mi"}}
    await api.ok("POST", CLASSES, {**example("node.k8s.io", "v1", "runtimeclasses"), "overhead": overhead})
    assert (await scheduled(api))["spec"]["overhead"] == overhead["podFixed"]


@pytest.mark.conformance(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [Conformance] "
    "[NodeConformance]"
)
async def test_a_pod_of_a_class_without_overhead_has_none(api):
    await api.ok("POST", CLASSES, example("node.k8s.io", "v1", "runtimeclasses"))
    assert "overhead" not in (await scheduled(api))["spec"]
