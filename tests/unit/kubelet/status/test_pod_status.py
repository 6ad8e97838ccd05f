"""Statuses: phases, conditions, container states, and what survives of the old status."""

from msgspec.structs import replace
from tests.unit.kubelet.pods import container, pod, run, sandbox

from pybernetes.aio.clock import rfc3339
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import State, User
from pybernetes.kubelet.images.references import ERR_PULL
from pybernetes.kubelet.pod_actions import Failure, Health, Observed, Verdict
from pybernetes.kubelet.restarts import CONTAINER_HASH
from pybernetes.kubelet.status.pod_status import Surroundings, pod_status, remembered

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


def test_whom_a_container_runs_as_is_told_where_the_runtime_says_so() -> None:
    said = run(user=User(1000, 2000, (3000,)), stop_signal="SIGUSR1")
    one = status(pod(), sandboxes=(sandbox(),), containers=(said,)).containerStatuses[0]
    assert one.user is not None
    assert one.user.linux == core_v1.LinuxContainerUser(uid=1000, gid=2000, supplementalGroups=(3000,))
    assert one.stopSignal == "SIGUSR1"
    silent = status(pod(), sandboxes=(sandbox(),), containers=(run(),)).containerStatuses[0]
    assert (silent.user, silent.stopSignal) == (None, None)


def test_a_pod_is_pending_until_every_container_has_started() -> None:
    wanted = pod(container("a"), container("b"))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run("a"), run("b", state=State.CREATED)))
    assert found.phase == "Pending"


def test_containers_wait_for_init_containers() -> None:
    wanted = pod(initContainers=(container("i"), container("j")))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run("i"),))
    assert found.containerStatuses[0].state.waiting == core_v1.ContainerStateWaiting(reason="PodInitializing")
    assert found.initContainerStatuses[1].state.waiting == core_v1.ContainerStateWaiting(reason="PodInitializing")
    assert [s.started for s in found.initContainerStatuses] == [True, False]
    new = status(wanted)
    waiting = [s.state.waiting for s in (*new.initContainerStatuses, *new.containerStatuses)]
    assert {w.reason for w in waiting if w} == {"PodInitializing"}
    began = (run("i", state=State.EXITED), run("j", state=State.EXITED), run(state=State.CREATED))
    late = status(wanted, sandboxes=(sandbox(),), containers=began).containerStatuses[0]
    assert late.state.waiting == core_v1.ContainerStateWaiting(reason="PodInitializing")
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


def test_a_pod_that_a_reboot_has_ended_keeps_its_address() -> None:
    old = core_v1.PodStatus(phase="Running", podIPs=(core_v1.PodIP(ip="10.0.0.9"),))
    wanted = replace(pod(policy="Never"), status=old)
    ended = run(state=State.EXITED, exit_code=255)
    found = status(wanted, sandboxes=(sandbox(ready=False),), containers=(ended,))
    assert (found.phase, found.podIP) == ("Failed", "10.0.0.9")
    assert status(replace(wanted, spec=pod().spec), sandboxes=(sandbox(ready=False),)).podIP == ""


def test_a_pod_that_is_initialized_once_more_after_a_reboot_is_pending() -> None:
    wanted = pod(initContainers=(container("i"), container("side", restartPolicy="Always")))
    old = (
        run("i", state=State.EXITED),
        run("side", state=State.EXITED, exit_code=255),
        run(state=State.EXITED, exit_code=255, finished=NOW, restart_delay=40.0),
    )
    seen = {"sandboxes": (sandbox(1), sandbox(ready=False))}
    before = replace(wanted, status=core_v1.PodStatus(phase="Running"))
    begun = status(before, containers=(run("i", 1, sandbox="s1"), *old), **seen)
    assert begun.phase == "Pending"
    assert begun.containerStatuses[0].state.terminated is not None  # it waits for its turn, not for back-off
    over = run("i", 1, state=State.EXITED, sandbox="s1")
    slow = {"side1": Health(started=False)}
    assert status(before, containers=(over, run("side", 1, sandbox="s1"), *old), health=slow, **seen).phase == "Pending"
    again = (over, run("side", 1, sandbox="s1"), run(attempt=1, sandbox="s1"), *old)
    assert status(before, containers=again, health=slow, **seen).phase == "Running"  # the sidecar has restarted


def test_a_refused_pod_has_no_container_statuses() -> None:
    found = status(pod(), verdict=Verdict("OutOfcpu", "too much"))
    assert (found.phase, found.reason, found.message) == ("Failed", "OutOfcpu", "Pod was rejected: too much")
    assert found.startTime == rfc3339(NOW - 60)
    assert found.containerStatuses == ()


def test_a_refused_pod_has_nothing_of_the_node_and_keeps_what_others_say() -> None:
    scheduled = core_v1.PodCondition(type="PodScheduled", status="True")
    foreign = core_v1.PodCondition(type="example.com/Approved", status="True")
    wanted = replace(pod(), status=core_v1.PodStatus(phase="Pending", conditions=(scheduled, foreign)))
    assert status(wanted, verdict=Verdict("OutOfcpu", "too much")) == core_v1.PodStatus(
        observedGeneration=1,
        phase="Failed",
        reason="OutOfcpu",
        message="Pod was rejected: too much",
        startTime=rfc3339(NOW - 60),
        qosClass="BestEffort",
        conditions=(foreign,),
    )


def test_a_pod_past_its_deadline_is_failed_once_nothing_runs() -> None:
    wanted = pod(activeDeadlineSeconds=30)
    assert status(wanted, sandboxes=(sandbox(),), containers=(run(),)).phase == "Running"
    assert status(wanted, busy=frozenset({"start/c0"})).phase == "Pending"
    found = status(wanted, sandboxes=(sandbox(),), containers=(run(state=State.EXITED),))
    assert (found.phase, found.reason) == ("Failed", "DeadlineExceeded")


def test_containers_that_never_ran_have_failed_when_the_pod_is_ended() -> None:
    deleted = pod(meta={"deletionTimestamp": rfc3339(NOW)})
    found = status(deleted, sandboxes=(sandbox(),))
    ended = found.containerStatuses[0].state.terminated
    assert ended is not None
    assert (found.phase, ended.exitCode, ended.reason) == ("Failed", 137, "ContainerStatusUnknown")
    assert ended.message == "The container could not be located when the pod was terminated"
    refused = status(pod(), sandboxes=(sandbox(),), verdict=Verdict("Evicted", "low"))
    assert (refused.phase, refused.containerStatuses[0].state.terminated) == ("Failed", ended)


def test_what_waited_for_init_containers_goes_on_waiting_when_the_pod_is_ended() -> None:
    wanted = pod(initContainers=(container("i"), container("j")), activeDeadlineSeconds=30)
    found = status(wanted, sandboxes=(sandbox(),), started=NOW - 60)
    first, second = (s.state for s in found.initContainerStatuses)
    assert (found.phase, found.reason) == ("Failed", "DeadlineExceeded")
    assert first.terminated is not None
    assert first.terminated.reason == "ContainerStatusUnknown"
    assert (second.terminated, found.containerStatuses[0].state.terminated) == (None, None)
    done = run(name="j", state=State.EXITED)
    went = status(
        wanted, sandboxes=(sandbox(),), containers=(run(name="i", state=State.EXITED), done), started=NOW - 60
    )
    assert went.containerStatuses[0].state.terminated is not None


def test_whatever_has_run_says_what_it_was_given_and_what_was_mounted() -> None:
    guest = core_v1.EphemeralContainer(name="g", volumeMounts=(core_v1.VolumeMount(name="v", mountPath="/v"),))
    asks = core_v1.ResourceRequirements(requests={"cpu": "1"})
    wanted = pod(container(resources=asks), container("free"), container("late"), ephemeralContainers=(guest,))
    runs = (run(state=State.EXITED), run("free"), run("g"))
    found = status(wanted, sandboxes=(sandbox(),), containers=runs)
    assert {s.name: s.resources for s in found.containerStatuses} == {
        "c": asks,
        "free": core_v1.ResourceRequirements(),
        "late": None,
    }
    assert found.containerStatuses[0].allocatedResources == {"cpu": "1"}
    (shown,) = found.ephemeralContainerStatuses[0].volumeMounts
    assert shown.mountPath == "/v"


def test_a_run_that_could_not_start_began_with_time_itself() -> None:
    wanted = pod(policy="Never")
    refused = run(state=State.EXITED, exit_code=128, reason="StartError", started=0.0)
    ended = status(wanted, sandboxes=(sandbox(),), containers=(refused,)).containerStatuses[0].state.terminated
    assert ended is not None
    assert ended.startedAt == "1970-01-01T00:00:00Z"


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


def test_an_end_that_others_have_said_stands() -> None:
    ours = status(pod(), sandboxes=(sandbox(),), containers=(run(),))
    foreign = core_v1.PodCondition(type="example.com/open", status="True")
    said = replace(ours, phase="Failed", reason="Gone", message="by somebody", conditions=(foreign,))
    merged = remembered(replace(pod(), status=said), ours)
    assert (merged.status.phase, merged.status.reason, merged.status.message) == ("Failed", "Gone", "by somebody")
    assert merged.status.conditions == (*ours.conditions, foreign)
    ended = status(merged, sandboxes=(sandbox(),), containers=(run(state=State.EXITED, exit_code=0),))
    assert ended.phase == "Failed"


def test_a_pod_of_the_hosts_network_has_the_hosts_address() -> None:
    found = status(pod(hostNetwork=True), sandboxes=(sandbox(),), containers=(run(),))
    assert found.podIP == "192.0.2.1"


def test_the_same_world_gives_the_same_status() -> None:
    wanted = pod()
    first = status(wanted, sandboxes=(sandbox(),), containers=(run(),))
    again = status(replace(wanted, status=first), now=NOW + 99, sandboxes=(sandbox(),), containers=(run(),))
    assert again == first


HOOK = core_v1.Lifecycle(postStart=core_v1.LifecycleHandler(sleep=core_v1.SleepAction(seconds=9)))


def test_a_container_does_not_count_as_running_before_its_post_start_hook_has_ended() -> None:
    seen = {"sandboxes": (sandbox(),), "containers": (run(),)}
    found = status(pod(container(lifecycle=HOOK)), busy=frozenset({"start/c0"}), **seen)
    assert found.containerStatuses[0].state.waiting == core_v1.ContainerStateWaiting(reason="ContainerCreating")
    assert found.phase == "Pending"
    assert status(pod(container(lifecycle=HOOK)), **seen).phase == "Running"
    killed = {**seen, "containers": (run(state=State.EXITED, exit_code=137, finished=NOW, restart_delay=10.0),)}
    found = status(pod(container(lifecycle=HOOK)), busy=frozenset({"start/c0"}), **killed)
    assert found.containerStatuses[0].state.waiting == core_v1.ContainerStateWaiting(reason="ContainerCreating")


def test_a_failed_post_start_hook_is_the_reason_until_back_off_is() -> None:
    failed = {"start/c0": Failure("PostStartHookError", "Exec lifecycle hook failed", NOW + 5)}
    ended = run(state=State.EXITED, exit_code=137, finished=NOW - 1)
    found = status(pod(container(lifecycle=HOOK)), sandboxes=(sandbox(),), containers=(ended,), failures=failed)
    assert found.containerStatuses[0].state.waiting.reason == "PostStartHookError"
    assert found.containerStatuses[0].lastState.terminated.exitCode == 137
    again = replace(ended, restart_delay=10.0, started=NOW - 2)
    wanted, seen = pod(container(lifecycle=HOOK)), {"sandboxes": (sandbox(),), "containers": (again,)}
    found = status(wanted, failures={"start/c0": replace(failed["start/c0"], since=NOW - 0.5)}, **seen)
    assert found.containerStatuses[0].state.waiting.reason == "PostStartHookError"
    found = status(wanted, failures=failed, **seen)
    assert found.containerStatuses[0].state.waiting.reason == "CrashLoopBackOff"


def test_a_pod_is_not_over_before_its_sidecars_have_ended() -> None:
    wanted = pod(policy="Never", initContainers=(container("side", restartPolicy="Always"),))
    ended = run(state=State.EXITED)
    assert status(wanted, sandboxes=(sandbox(),), containers=(ended, run("side"))).phase == "Running"
    over = status(wanted, containers=(ended, run("side", state=State.EXITED, exit_code=143)))
    assert over.phase == "Succeeded"


def test_sidecars_count_for_ready_and_initialized() -> None:
    wanted = pod(initContainers=(container("side", restartPolicy="Always"),))
    slow = {"side0": Health(started=False, ready=False)}
    found = status(wanted, sandboxes=(sandbox(),), containers=(run("side"),), health=slow)
    assert condition(found, "Initialized").message == "containers with incomplete status: [side]"
    assert found.phase == "Pending"
    unready = {"side0": Health(ready=False)}
    found = status(wanted, sandboxes=(sandbox(),), containers=(run("side"), run()), health=unready)
    assert condition(found, "Initialized").status == "True"
    assert condition(found, "ContainersReady").message == "containers with unready status: [side]"
    assert found.initContainerStatuses[0].started


def test_a_failed_init_container_fails_the_pod_by_its_own_policy() -> None:
    wanted = pod(initContainers=(container("i", restartPolicy="Never"),))
    found = status(wanted, containers=(run("i", state=State.EXITED, exit_code=1),))
    assert found.phase == "Failed"


def test_a_restart_of_all_containers_shows_in_a_condition_and_keeps_the_pod_initialized() -> None:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
    rule = core_v1.ContainerRestartRule(action="RestartAllContainers", exitCodes=codes)
    one = container(restartPolicy="Never", restartPolicyRules=(rule,))
    wanted = pod(one, policy="Never", initContainers=(container("i"),))
    init = run("i", state=State.EXITED)
    quiet = status(wanted, sandboxes=(sandbox(),), containers=(init, run()))
    assert condition(quiet, "AllContainersRestarting").status == "False"
    before = replace(wanted, status=quiet)
    trigger = run(state=State.EXITED, exit_code=42)
    begun = status(before, sandboxes=(sandbox(),), containers=(init, trigger))
    restarting = condition(begun, "AllContainersRestarting")
    assert (restarting.status, restarting.reason) == ("True", "RestartAllContainersStarted")
    again = status(replace(wanted, status=begun), sandboxes=(sandbox(),), restarts={"c": 0, "i": 0})
    assert condition(again, "AllContainersRestarting").status == "False"
    assert condition(again, "Initialized").status == "True"
    assert again.phase == "Running"
    one = again.containerStatuses[0]
    assert (one.restartCount, one.lastState.terminated.exitCode) == (0, 42)
    # Also where nothing was told between the end of the old runs and the new ones.
    new = status(replace(wanted, status=begun), sandboxes=(sandbox(),), containers=(run("i", attempt=1),))
    assert new.initContainerStatuses[0].state.running is not None


def test_termination_messages_share_twelve_kibibytes() -> None:
    names = ("a", "b", "c", "d")
    wanted = pod(*(container(n) for n in names), policy="Never")
    ended = tuple(run(n, state=State.EXITED) for n in names)
    around = Surroundings(host_ips=(), messages={f"{n}0": "\u00e9" * 2048 for n in names})
    found = pod_status(wanted, Observed(now=NOW, containers=ended), around)
    assert [len(s.state.terminated.message.encode()) for s in found.containerStatuses] == [3072] * 4


def test_containers_are_listed_by_name_and_init_containers_in_their_order() -> None:
    found = status(pod(container("b"), container("a"), initContainers=(container("y"), container("x"))))
    assert [s.name for s in found.containerStatuses] == ["a", "b"]
    assert [s.name for s in found.initContainerStatuses] == ["y", "x"]


def test_an_eviction_marks_the_pod_as_disrupted_and_other_parts_have_their_conditions() -> None:
    verdict = Verdict("Evicted", "The node was low on resource: memory. ", disruption="low on memory")
    found = status(pod(), verdict=verdict, sandboxes=(sandbox(),), containers=(run(),))
    target = condition(found, "DisruptionTarget")
    assert (target.status, target.reason, target.message) == ("True", "TerminationByKubelet", "low on memory")
    assert (found.phase, found.reason) == ("Running", "Evicted")
    told = core_v1.PodCondition(type="PodResizePending", status="True", reason="Deferred")
    observed = Observed(now=NOW)
    pending = pod_status(pod(), observed, replace(AROUND, conditions={"PodResizePending": told}))
    assert condition(pending, "PodResizePending").lastTransitionTime == rfc3339(NOW)
    after = replace(AROUND, conditions={"PodResizePending": None})
    taken = pod_status(replace(pod(), status=pending), observed, after)
    assert "PodResizePending" not in {c.type for c in taken.conditions}


def test_who_is_not_ready_is_named_in_the_order_of_the_spec() -> None:
    found = status(pod(container("z"), container("a")))
    assert condition(found, "Ready").message == "containers with unready status: [z a]"


def test_a_container_that_waits_says_what_it_will_mount() -> None:
    mount = core_v1.VolumeMount(name="v", mountPath="/v")
    found = status(pod(container(volumeMounts=(mount,)))).containerStatuses[0]
    assert [(m.name, m.mountPath) for m in found.volumeMounts] == [("v", "/v")]


def test_an_init_container_that_somebody_removed_has_done_its_work_where_the_others_have_begun() -> None:
    wanted = pod(initContainers=(container("i"),))
    seen = {"sandboxes": (sandbox(),)}
    whole = status(wanted, containers=(run("i", state=State.EXITED, attempt=2), run()), **seen)
    for before in (wanted, replace(wanted, status=whole)):
        found = status(before, containers=(run(),), **seen)
        one = found.initContainerStatuses[0]
        assert (one.ready, one.state.terminated.exitCode, one.state.terminated.reason) == (True, 0, "Completed")
        assert (found.phase, condition(found, "Initialized").status) == ("Running", "True")
        assert one.state.terminated.message.startswith("Unable to get" if before is wanted else "")
        assert one.restartCount == (0 if before is wanted else 2)
    two = pod(initContainers=(container("i"), container("j")))
    half = status(two, containers=(run("j"),), **seen)
    assert half.initContainerStatuses[0].ready
    assert condition(half, "Initialized").message == "containers with incomplete status: [j]"


def test_a_readiness_gate_says_what_is_missing() -> None:
    gates = (core_v1.PodReadinessGate(conditionType="a"), core_v1.PodReadinessGate(conditionType="b"))
    held = (core_v1.PodCondition(type="a", status="False"),)
    wanted = replace(pod(readinessGates=gates), status=core_v1.PodStatus(conditions=held))
    found = status(wanted, sandboxes=(sandbox(),), containers=(run(),))
    assert condition(found, "Ready").message == (
        'the status of pod readiness gate "a" is not "True", but False, '
        'corresponding condition of pod readiness gate "b" does not exist.'
    )


def test_a_run_that_follows_an_end_for_good_is_not_told() -> None:
    """The API takes no other word: a status that says so would be refused, and with it all that comes after."""
    ended = run(state=State.EXITED, exit_code=0)
    for policy in ("Never", "OnFailure"):
        told = replace(
            pod(policy=policy), status=status(pod(policy=policy), sandboxes=(sandbox(),), containers=(ended,))
        )
        assert told.status.containerStatuses[0].state.terminated is not None
        again = run(attempt=1, state=State.CREATED)
        found = status(told, sandboxes=(sandbox(),), containers=(again, ended)).containerStatuses[0]
        assert found.state == told.status.containerStatuses[0].state
        assert (found.ready, found.started) == (False, False)


def test_a_run_that_is_stopped_for_another_spec_has_not_ended_for_good() -> None:
    old = run(state=State.EXITED, exit_code=137, annotations={CONTAINER_HASH: "of another spec"}, replaced=True)
    found = status(pod(policy="Never"), sandboxes=(sandbox(),), containers=(old,))
    assert found.containerStatuses[0].state.waiting is not None
    assert found.containerStatuses[0].lastState.terminated is not None
    assert found.phase == "Running"


def test_an_init_container_that_has_done_its_work_is_not_disturbed_by_a_new_spec() -> None:
    old = run("i", state=State.EXITED, annotations={CONTAINER_HASH: "of another spec"})
    found = status(pod(initContainers=(container("i"),)), sandboxes=(sandbox(),), containers=(old, run()))
    assert found.initContainerStatuses[0].state.terminated is not None
    assert found.initContainerStatuses[0].ready


def test_a_mounted_image_is_told_also_by_a_kubelet_that_did_not_pull_it() -> None:
    mounts = (core_v1.VolumeMount(name="files", mountPath="/f"), core_v1.VolumeMount(name="data", mountPath="/d"))
    files = core_v1.Volume(name="files", image=core_v1.ImageVolumeSource(reference="web:1"))
    wanted = pod(container(volumeMounts=mounts), volumes=(files, core_v1.Volume(name="data")))
    seen = Observed(now=NOW, started=NOW - 60, sandboxes=(sandbox(),), containers=(run(),))
    first = pod_status(wanted, seen, replace(AROUND, volume_images={"files": "sha256:1"}))
    told = [m.volumeStatus for m in first.containerStatuses[0].volumeMounts]
    assert told == [core_v1.VolumeStatus(image=core_v1.ImageVolumeStatus(imageRef="sha256:1")), None]
    later = pod_status(replace(wanted, status=first), seen, AROUND)
    assert later == first
    other = replace(seen, containers=(run(attempt=1),))
    assert (
        pod_status(replace(wanted, status=first), other, AROUND).containerStatuses[0].volumeMounts[0].volumeStatus
        is None
    )


def test_what_a_pod_was_given_is_told_and_what_its_cgroup_has_until_it_follows() -> None:
    small = core_v1.ResourceRequirements(requests={"cpu": "1"})
    before = pod(resources=small)
    wanted = pod(resources=core_v1.ResourceRequirements(requests={"cpu": "2"}))
    seen = Observed(now=NOW, started=NOW - 60, sandboxes=(sandbox(),), containers=(run(),))
    found = pod_status(wanted, seen, replace(AROUND, applied=before))
    assert (found.allocatedResources, found.resources) == ({"cpu": "2"}, small)
    assert pod_status(wanted, seen, AROUND).resources == wanted.spec.resources
