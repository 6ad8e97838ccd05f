"""Init containers: upstream's test/e2e/common/node/init_container.go."""

import pytest
from tests.node.conformance.place import condition, finished, ready, statuses
from tests.node.conformance.pods import container, pod


def _pod(name: str, *inits: str, **spec) -> dict:
    init = [container(command, name=f"init{number}") for number, command in enumerate(inits, 1)]
    return pod(name, container(*spec.pop("command", ()), name="run1"), initContainers=init, **spec)


def _initialized(found: dict) -> dict:
    return next(c for c in found["status"]["conditions"] if c["type"] == "Initialized")


@pytest.mark.conformance(
    "[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartNever pod [Conformance]"
)
async def test_init_containers_end_before_a_pod_that_runs_once(space):
    await space.create("pods", _pod("once", "true", "true", command=["true"]))
    found = await space.until("once", finished)
    assert found["status"]["phase"] == "Succeeded"
    assert condition(found, "Initialized") == "True"
    _check_inits(found)


@pytest.mark.conformance(
    "[sig-node] InitContainer [NodeConformance] should invoke init containers on a RestartAlways pod [Conformance]"
)
async def test_init_containers_end_before_a_pod_that_goes_on(space):
    await space.create("pods", _pod("always", "true", "true", restartPolicy="Always"))
    found = await space.until("always", ready)
    assert condition(found, "Initialized") == "True"
    _check_inits(found)


def _check_inits(found: dict) -> None:
    inits = statuses(found, "initContainerStatuses")
    assert list(inits) == ["init1", "init2"]
    for status in inits.values():
        assert status["ready"]
        assert status["state"]["terminated"]["exitCode"] == 0
    ends, starts = inits["init1"]["state"]["terminated"], inits["init2"]["state"]["terminated"]
    assert ends["finishedAt"] <= starts["startedAt"]


@pytest.mark.conformance(
    "[sig-node] InitContainer [NodeConformance] should not start app containers if init containers fail on a "
    "RestartAlways pod [Conformance]"
)
async def test_a_failing_init_container_is_tried_again_and_keeps_the_others_away(space):
    await space.create("pods", _pod("stuck", "false", "true", restartPolicy="Always"))
    # Two restarts, ten seconds apart; upstream waits for a third
    found = await space.until(
        "stuck", lambda p: statuses(p, "initContainerStatuses").get("init1", {}).get("restartCount", 0) >= 2
    )
    assert found["status"]["phase"] == "Pending"
    _check_waiting(found)
    assert _initialized(found)["message"] == "containers with incomplete status: [init1 init2]"
    assert "waiting" in statuses(found, "initContainerStatuses")["init2"]["state"]


@pytest.mark.conformance(
    "[sig-node] InitContainer [NodeConformance] should not start app containers and fail the pod if init containers "
    "fail on a RestartNever pod [Conformance]"
)
async def test_a_failing_init_container_fails_a_pod_that_runs_once(space):
    await space.create("pods", _pod("failed", "true", "false"))
    found = await space.until("failed", finished)
    assert found["status"]["phase"] == "Failed"
    _check_waiting(found)
    assert _initialized(found)["message"] == "containers with incomplete status: [init2]"
    assert statuses(found, "initContainerStatuses")["init2"]["state"]["terminated"]["exitCode"] == 1


def _check_waiting(found: dict) -> None:
    assert (_initialized(found)["status"], _initialized(found)["reason"]) == ("False", "ContainersNotInitialized")
    app = statuses(found)["run1"]
    assert app["state"]["waiting"]["reason"] == "PodInitializing"
    assert (app["ready"], app["restartCount"], app.get("containerID", "")) == (False, 0, "")
