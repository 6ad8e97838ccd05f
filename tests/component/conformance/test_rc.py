"""ReplicationControllers: upstream's test/e2e/apps/rc.go, what the API alone has to do."""

import pytest

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
    """Without a controller manager, so that its counts are told by the test."""
    await api.cycle(PATH, controller(), status={"replicas": 1, "readyReplicas": 1})
    await api.ok("POST", PATH, controller())
    patched = await api.ok(
        "PATCH",
        f"{PATH}/rc-test",
        {"spec": {"replicas": 2, "template": {"spec": {"terminationGracePeriodSeconds": 0}}}},
    )
    assert (patched["spec"]["replicas"], patched["metadata"]["generation"]) == (2, 2)
    scale = await api.ok("PATCH", f"{PATH}/rc-test/scale", {"spec": {"replicas": 3}})
    assert scale["spec"]["replicas"] == 3


@pytest.mark.conformance(
    "[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"
)
async def test_a_controllers_scale(api):
    await api.ok("POST", PATH, controller())
    scale = await api.ok("GET", f"{PATH}/rc-test/scale")
    assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", 1)
    scale["spec"]["replicas"] = 2
    await api.ok("PUT", f"{PATH}/rc-test/scale", scale)
    assert (await api.ok("GET", f"{PATH}/rc-test"))["spec"]["replicas"] == 2
