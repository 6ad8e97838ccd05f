"""Statuses: phases, conditions, container states, and what survives of the old status."""

from msgspec.structs import replace
from tests.unit.kubelet.pods import container, pod, run, sandbox

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import State
from pybernetes.kubelet.images.puller import ERR_PULL
from pybernetes.kubelet.pod_actions import Failure, Health, Observed, Verdict
from pybernetes.kubelet.status.pod_status import Surroundings, pod_status

AROUND = Surroundings(host_ips=("192.0.2.1",))
NOW = 1_767_225_600.0


def status(wanted: core_v1.Pod, **seen: object) -> core_v1.PodStatus:
    return pod_status(wanted, Observed(**{"now": NOW, "started": NOW - 60, **seen}), AROUND)


def condition(found: core_v1.PodStatus, kind: str) -> core_v1.PodCondition:
    return next(c for c in found.conditions if c.type == kind)


def test_a_pod_that_was_just_seen_is_pending_with_reasons() -> None:
    found = status(pod())
    assert found.phase == "Pending"
    assert found.containerStatuses[0].state.waiting == core_v1.ContainerStateWaiting(reason="ContainerCreating")
    assert found.startTime == rfc3339(NOW - 60)
    assert {c.type: c.status for c in found.conditions} == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
    assert condition(found, "Ready").message == "containers with unready status: [c]"
    assert all(c.observedGeneration == 1 for c in found.conditions)


def test_a_running_pod_is_ready_and_has_its_addresses() -> None:
    found = status(pod(), sandboxes=(sandbox(),), containers=(run(image_ref="x@sha256:1"),))
    assert (found.phase, found.podIP, found.hostIP) == ("Running", "10.0.0.7", "192.0.2.1")
    one = found.containerStatuses[0]
    assert (one.ready, one.started, one.containerID, one.imageID) == (True, True, "containerd://c0", "x@sha256:1")
    assert condition(found, "Ready").status == "True"
    assert found.qosClass == "BestEffort"


def test_a_pod_is_pending_until_every_container_has_started() -> None:
    wanted = pod(container("a"), container("b"))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run("a"), run("b", state=State.CREATED)))
    assert found.phase == "Pending"


def test_containers_wait_for_init_containers() -> None:
    wanted = pod(initContainers=(container("i"), container("j")))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run("i"),))
    assert found.containerStatuses[0].state.waiting == core_v1.ContainerStateWaiting(reason="PodInitializing")
    assert found.initContainerStatuses[1].state.waiting == core_v1.ContainerStateWaiting(reason="PodInitializing")
    assert condition(found, "Initialized").reason == "ContainersNotInitialized"
    assert condition(found, "Initialized").message == "containers with incomplete status: [i j]"


def test_probes_hold_ready_back() -> None:
    slow = {"c0": Health(started=True, ready=False)}
    found = status(pod(), sandboxes=(sandbox(),), containers=(run(),), health=slow)
    assert found.phase == "Running"
    assert not found.containerStatuses[0].ready
    assert condition(found, "ContainersReady").status == "False"


def test_readiness_gates_are_read() -> None:
    wanted = pod(readinessGates=(core_v1.PodReadinessGate(conditionType="example.com/x"),))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run(),))
    assert condition(found, "ContainersReady").status == "True"
    assert condition(found, "Ready").reason == "ReadinessGatesNotReady"


def test_a_crash_loop_says_how_long_it_waits() -> None:
    ended = run(attempt=1, state=State.EXITED, exit_code=1, reason="Error", finished=NOW - 1, restart_delay=10.0)
    ended = replace(ended, started=NOW - 2)
    found = status(
        replace(pod(), status=core_v1.PodStatus(phase="Running")), sandboxes=(sandbox(),), containers=(ended,)
    )
    one = found.containerStatuses[0]
    assert found.phase == "Running"
    assert one.state.waiting == core_v1.ContainerStateWaiting(
        reason="CrashLoopBackOff", message="back-off 10s restarting failed container=c pod=web_default(uid-1)"
    )
    assert one.lastState.terminated is not None
    assert one.lastState.terminated.exitCode == 1
    assert one.restartCount == 1


def test_a_failed_pull_becomes_a_back_off() -> None:
    failure = Failure(ERR_PULL, "not found", NOW + 10, NOW)
    key = {"pull/c/0": failure}
    first = status(pod(), sandboxes=(sandbox(),), failures=key).containerStatuses[0].state.waiting
    assert first == core_v1.ContainerStateWaiting(reason="ErrImagePull", message="not found")
    later = status(pod(), now=NOW + 2, sandboxes=(sandbox(),), failures=key).containerStatuses[0].state.waiting
    assert later == core_v1.ContainerStateWaiting(
        reason="ImagePullBackOff", message='Back-off pulling image "busybox:1": ErrImagePull: not found'
    )


def test_the_end_of_all_containers_is_the_end_of_the_pod() -> None:
    fine, failed = run(state=State.EXITED), run(state=State.EXITED, exit_code=2)
    assert status(pod(policy="Never"), containers=(fine,)).phase == "Succeeded"
    assert status(pod(policy="Never"), containers=(failed,)).phase == "Failed"
    done = status(pod(policy="Never"), containers=(fine,))
    assert condition(done, "Ready").reason == "PodCompleted"
    ended = done.containerStatuses[0].state.terminated
    assert ended is not None
    assert ended.reason == "Completed"


def test_the_end_is_for_ever() -> None:
    over = replace(pod(), status=core_v1.PodStatus(phase="Failed", reason="Evicted"))
    found = status(over, sandboxes=(sandbox(),), containers=(run(),))
    assert (found.phase, found.reason) == ("Failed", "Evicted")


def test_a_refused_pod_has_no_container_statuses() -> None:
    found = status(pod(), verdict=Verdict("OutOfcpu", "too much"))
    assert (found.phase, found.reason, found.message) == ("Failed", "OutOfcpu", "Pod was rejected: too much")
    assert found.containerStatuses == ()


def test_a_pod_past_its_deadline_is_failed_once_nothing_runs() -> None:
    wanted = pod(activeDeadlineSeconds=30)
    assert status(wanted, sandboxes=(sandbox(),), containers=(run(),)).phase == "Running"
    assert status(wanted, busy=frozenset({"start/c0"})).phase == "Running"
    found = status(wanted, sandboxes=(sandbox(),), containers=(run(state=State.EXITED),))
    assert (found.phase, found.reason) == ("Failed", "DeadlineExceeded")


def test_foreign_conditions_and_transition_times_survive() -> None:
    foreign = core_v1.PodCondition(type="DisruptionTarget", status="True")
    since = "2025-01-01T00:00:00Z"
    before = core_v1.PodCondition(type="PodScheduled", status="True", lastTransitionTime=since)
    wanted = replace(pod(), status=core_v1.PodStatus(conditions=(foreign, before)))
    found = status(wanted)
    assert condition(found, "DisruptionTarget") == foreign
    assert condition(found, "PodScheduled").lastTransitionTime == since
    assert condition(found, "Ready").lastTransitionTime == rfc3339(NOW)


def test_the_last_state_is_remembered_by_the_api() -> None:
    state = core_v1.ContainerState(terminated=core_v1.ContainerStateTerminated(exitCode=9))
    old = core_v1.ContainerStatus(name="c", lastState=state, restartCount=3)
    wanted = replace(pod(), status=core_v1.PodStatus(containerStatuses=(old,)))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run(attempt=3),), restarts={"c": 3})
    assert found.containerStatuses[0].lastState == state
    assert found.containerStatuses[0].restartCount == 3


def test_a_pod_of_the_hosts_network_has_the_hosts_address() -> None:
    found = status(pod(hostNetwork=True), sandboxes=(sandbox(),), containers=(run(),))
    assert found.podIP == "192.0.2.1"


def test_the_same_world_gives_the_same_status() -> None:
    wanted = pod()
    first = status(wanted, sandboxes=(sandbox(),), containers=(run(),))
    again = status(replace(wanted, status=first), now=NOW + 99, sandboxes=(sandbox(),), containers=(run(),))
    assert again == first
