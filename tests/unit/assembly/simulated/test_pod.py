"""Simulated Pods go through their phases as on a kubelet, at the kubelet's times."""

import pytest
from tests.unit.assembly.simulated.worlds import START, World, holds, main, simulated, state

from pybernetes.api.errors import Conflict, NotFound
from pybernetes.client.rest import STRATEGIC


async def starts(w: World, seconds: float) -> list[int]:
    """At which seconds of the next so many the container of a Pod that crashes at once has started."""
    began, found = w.clock.monotonic(), []
    await w.clock.sleep(0.5)
    while w.clock.monotonic() < began + seconds:
        told = main(await w.get())
        ended = told.state.terminated or told.lastState.terminated
        if ended is not None and told.restartCount not in [count for count, _ in found]:
            found.append((told.restartCount, int(w.clock.monotonic() - began)))
        await w.clock.sleep(1)
    return [second for _, second in found]


@simulated
async def test_a_pod_runs_at_once_with_all_that_a_kubelet_tells(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    pod = await w.get()
    told = main(pod)
    assert (pod.status.phase, pod.status.startTime, pod.status.qosClass) == ("Running", START, "BestEffort")
    assert (pod.status.hostIP, pod.status.observedGeneration) == ("198.18.0.1", 1)
    assert pod.status.podIP == pod.status.podIPs[0].ip
    assert {c.type: c.status for c in pod.status.conditions} == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )
    assert (state(told), told.ready, told.started, told.restartCount) == ("running", True, True, 0)
    assert told.containerID == f"simulated://{pod.metadata.uid}/main/0"
    assert await w.events() == [
        'Pulled: Container image "web" already present on machine and can be accessed by the pod',
        "Created: Container created",
        "Started: Container started",
    ]


@simulated
async def test_a_pod_whose_image_takes_time_is_being_created_meanwhile(w: World) -> None:
    await w.pod(rules={"start-seconds": "5"})
    await w.clock.sleep(4)
    pod = await w.get()
    assert (pod.status.phase, state(main(pod)), holds(pod, "PodReadyToStartContainers")) == (
        "Pending",
        "ContainerCreating",
        "True",
    )
    await w.clock.sleep(2)
    assert (await w.get()).status.phase == "Running"
    assert (await w.events())[:2] == [
        'Pulling: Pulling image "web"',
        'Pulled: Successfully pulled image "web" in 5s (5s including waiting). Image size: 0 bytes.',
    ]


@simulated
async def test_init_containers_run_one_after_another_and_sidecars_stay(w: World) -> None:
    inits = [
        {"name": "first", "image": "one"},
        {"name": "beside", "image": "two", "restartPolicy": "Always"},
        {"name": "second", "image": "three"},
    ]
    rules = {"run-seconds.first": "3", "run-seconds.second": "4", "ready-after-seconds.beside": "2"}
    await w.pod(initContainers=inits, rules=rules)
    await w.clock.sleep(1)
    pod = await w.get()
    assert [state(s) for s in pod.status.initContainerStatuses] == ["running", "PodInitializing", "PodInitializing"]
    assert holds(pod, "Initialized") == "False ContainersNotInitialized"
    await w.clock.sleep(3)
    pod = await w.get()
    assert [state(s) for s in pod.status.initContainerStatuses] == ["Completed 0", "running", "running"]
    assert (pod.status.phase, state(main(pod))) == ("Pending", "PodInitializing")
    await w.clock.sleep(4)
    pod = await w.get()
    assert [state(s) for s in pod.status.initContainerStatuses] == ["Completed 0", "running", "Completed 0"]
    assert [s.ready for s in pod.status.initContainerStatuses] == [True, True, True]
    assert (pod.status.phase, state(main(pod)), holds(pod, "Ready")) == ("Running", "running", "True")


@simulated
async def test_a_failed_init_container_is_the_end_of_a_pod_that_never_restarts(w: World) -> None:
    await w.pod(
        initContainers=[{"name": "first", "image": "one"}], restartPolicy="Never", rules={"exit-code.first": "2"}
    )
    await w.clock.sleep(1)
    pod = await w.get()
    assert (pod.status.phase, state(main(pod, "first")), state(main(pod))) == ("Failed", "Error 2", "PodInitializing")


@simulated
async def test_containers_that_end_well_make_a_pod_succeed(w: World) -> None:
    containers = [{"name": "short", "image": "a"}, {"name": "long", "image": "b"}]
    beside = [{"name": "beside", "image": "two", "restartPolicy": "Always"}]
    rules = {"run-seconds.short": "2", "run-seconds.long": "5"}
    await w.pod(containers=containers, initContainers=beside, restartPolicy="OnFailure", rules=rules)
    await w.clock.sleep(4)
    pod = await w.get()
    assert (pod.status.phase, state(main(pod, "short")), state(main(pod, "long"))) == (
        "Running", "Completed 0", "running",
    )  # fmt: skip
    assert holds(pod, "Ready") == "False ContainersNotReady"
    await w.clock.sleep(2)
    pod = await w.get()
    assert (pod.status.phase, holds(pod, "Ready")) == ("Succeeded", "False PodCompleted")
    assert state(main(pod, "beside")) == "Error 143"


@simulated
async def test_one_failure_makes_a_pod_fail(w: World) -> None:
    containers = [{"name": "good", "image": "a"}, {"name": "bad", "image": "b"}]
    await w.pod(containers=containers, restartPolicy="Never", rules={"run-seconds": "1", "exit-code.bad": "3"})
    await w.clock.sleep(2)
    pod = await w.get()
    assert (pod.status.phase, state(main(pod, "good")), state(main(pod, "bad"))) == ("Failed", "Completed 0", "Error 3")


@simulated
async def test_a_crashing_container_waits_ten_seconds_and_twice_as_long_each_time_up_to_five_minutes(w: World) -> None:
    await w.pod(rules={"exit-code": "1"})
    assert await starts(w, 1000) == [0, 10, 30, 70, 150, 310, 610, 910]
    pod = await w.get()
    waiting = main(pod).state.waiting
    assert (waiting.reason, waiting.message) == (
        "CrashLoopBackOff",
        f"back-off 5m0s restarting failed container=main pod=p_default({pod.metadata.uid})",
    )
    assert (pod.status.phase, main(pod).restartCount) == ("Running", 8)
    back_off = f"BackOff: Back-off restarting failed container main in pod p_default({pod.metadata.uid})"
    assert back_off in await w.events()


@simulated
async def test_a_long_run_makes_the_next_restart_immediate_again(w: World) -> None:
    await w.pod(rules={"exit-code": "1", "run-seconds": "601"})
    await w.clock.sleep(601 * 3 + 5)
    told = main(await w.get())
    assert (state(told), told.restartCount) == ("running", 3)


@simulated
async def test_a_container_may_crash_so_many_times_and_then_go_on(w: World) -> None:
    await w.pod(rules={"exit-code": "1", "times": "2"})
    await w.clock.sleep(600)
    told = main(await w.get())
    assert (state(told), told.restartCount) == ("running", 2)


@simulated
async def test_restart_policies_are_obeyed(w: World) -> None:
    for policy in ("Always", "OnFailure", "Never"):
        for code in ("0", "1"):
            await w.pod(f"{policy}-{code}".lower(), restartPolicy=policy, rules={"run-seconds": "5", "exit-code": code})
    await w.clock.sleep(6)
    pods = [await w.get(name) for name in sorted(await w.names())]
    assert {p.metadata.name: (p.status.phase, main(p).restartCount) for p in pods} == {
        "always-0": ("Running", 1),
        "always-1": ("Running", 1),
        "never-0": ("Succeeded", 0),
        "never-1": ("Failed", 0),
        "onfailure-0": ("Succeeded", 0),
        "onfailure-1": ("Running", 1),
    }


@simulated
async def test_a_rule_restarts_all_containers_at_once(w: World) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7]}}
    containers = [
        {"name": "main", "image": "a", "restartPolicy": "Never", "restartPolicyRules": [rule]},
        {"name": "other", "image": "b"},
    ]
    await w.pod(containers=containers, rules={"exit-code.main": "7", "run-seconds.main": "20", "times.main": "1"})
    await w.clock.sleep(22)
    pod = await w.get()
    assert [(s.name, s.restartCount, state(s)) for s in pod.status.containerStatuses] == [
        ("main", 1, "running"),
        ("other", 1, "running"),
    ]


@simulated
async def test_readiness_comes_with_the_probes_first_success_and_with_rules(w: World) -> None:
    probes = {
        "startupProbe": {"initialDelaySeconds": 2, "exec": {"command": ["true"]}},
        "readinessProbe": {
            "initialDelaySeconds": 3,
            "periodSeconds": 4,
            "successThreshold": 2,
            "tcpSocket": {"port": 80},
        },
    }
    await w.pod("probed", containers=[{"name": "main", "image": "web", **probes}])
    await w.pod("ruled", rules={"ready-after-seconds": "5"})
    ready = {"probed": [], "ruled": []}
    for _ in range(9):
        await w.clock.sleep(1)
        for name, found in ready.items():
            found.append(main(await w.get(name)).ready)
    assert [ready["probed"].index(True), ready["ruled"].index(True)] == [6, 4]  # counted from the first second
    assert main(await w.get("probed")).started


@simulated
async def test_readiness_is_as_it_is_ordered(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    pod = await w.simulated()
    pod.set_ready("main", False)
    await w.clock.sleep(1)
    assert holds(await w.get(), "Ready") == "False ContainersNotReady"
    pod.set_ready("main", True)
    await w.clock.sleep(1)
    assert holds(await w.get(), "Ready") == "True"
    await w.say(ready="false")
    await w.clock.sleep(1)
    assert holds(await w.get(), "Ready") == "False ContainersNotReady"
    await w.say(ready=None)
    await w.clock.sleep(1)
    assert holds(await w.get(), "Ready") == "True"


@simulated
async def test_readiness_gates_hold_a_pod_back_until_somebody_says_so(w: World) -> None:
    await w.pod(readinessGates=[{"conditionType": "example.com/open"}])
    await w.clock.sleep(1)
    pod = await w.get()
    assert (holds(pod, "ContainersReady"), holds(pod, "Ready")) == ("True", "False ReadinessGatesNotReady")
    opened = {"status": {"conditions": [{"type": "example.com/open", "status": "True"}]}}
    await w.patch(opened, content_type=STRATEGIC, subresource="status")
    await w.clock.sleep(1)
    pod = await w.get()
    assert (holds(pod, "Ready"), holds(pod, "example.com/open")) == ("True", "True")


@simulated
async def test_the_active_deadline_ends_a_pod(w: World) -> None:
    await w.pod(activeDeadlineSeconds=60)
    await w.clock.sleep(59)
    assert (await w.get()).status.phase == "Running"
    await w.clock.sleep(2)
    pod = await w.get()
    assert (pod.status.phase, pod.status.reason, pod.status.message) == (
        "Failed",
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    assert "DeadlineExceeded: Pod was active on the node longer than the specified deadline" in await w.events()


@simulated
async def test_a_killed_container_says_who_killed_it(w: World) -> None:
    await w.pod(restartPolicy="Never")
    await w.clock.sleep(1)
    (await w.simulated()).run_out_of_memory("main")
    await w.clock.sleep(1)
    pod = await w.get()
    assert (pod.status.phase, state(main(pod))) == ("Failed", "OOMKilled 137")


@simulated
async def test_the_end_of_a_log_is_the_message_of_a_failure_where_the_spec_wants_it(w: World) -> None:
    spec = {"name": "main", "image": "web", "terminationMessagePolicy": "FallbackToLogsOnError"}
    await w.pod(containers=[spec], restartPolicy="Never", rules={"log": "cannot read\nthe file", "exit-code": "4"})
    await w.clock.sleep(1)
    ended = main(await w.get()).state.terminated
    assert (ended.exitCode, ended.message) == (4, "cannot read\nthe file\n")


@simulated
async def test_an_image_that_cannot_be_pulled_backs_off_and_is_tried_again(w: World) -> None:
    await w.pod(rules={"pull-error": "no such image"})
    await w.clock.sleep(0.5)
    assert state(main(await w.get())) == "ErrImagePull"
    await w.clock.sleep(2)
    waiting = main(await w.get()).state.waiting
    assert (waiting.reason, waiting.message) == (
        "ImagePullBackOff",
        'Back-off pulling image "web": ErrImagePull: no such image',
    )
    await w.say(pull_error=None)
    await w.clock.sleep(6)
    assert (await w.get()).status.phase == "Pending"
    await w.clock.sleep(3)
    assert (await w.get()).status.phase == "Running"
    events = await w.events()
    assert 'Failed: Failed to pull image "web": no such image' in events
    assert 'BackOff: Back-off pulling image "web"' in events


@simulated
async def test_a_name_that_no_image_has_is_refused(w: World) -> None:
    await w.pod(image="WEB")
    await w.clock.sleep(1)
    assert state(main(await w.get())) == "InvalidImageName"


@simulated
async def test_a_rule_that_cannot_be_obeyed_is_told_and_can_be_mended(w: World) -> None:
    await w.pod(rules={"run-seconds": "soon"})
    await w.clock.sleep(1)
    pod = await w.get()
    waiting = main(pod).state.waiting
    assert (pod.status.phase, waiting.reason, waiting.message) == (
        "Pending",
        "CreateContainerConfigError",
        'annotation simulated.pybernetes.io/run-seconds: "soon": must be a number of seconds, at least 0',
    )
    assert f"Failed: Error: {waiting.message}" in await w.events()
    await w.say(run_seconds="30")
    await w.clock.sleep(12)
    assert (await w.get()).status.phase == "Running"


# -- ends that are asked for -------------------------------------------------------------------------------------------


@simulated
async def test_a_deleted_pod_is_gone_at_once_with_a_last_report(w: World) -> None:
    await w.pod()
    await w.clock.sleep(1)
    await w.patch({"metadata": {"finalizers": ["example.com/keep"]}})
    await w.delete()
    await w.clock.sleep(0.1)
    pod = await w.get()
    assert (pod.status.phase, state(main(pod)), pod.metadata.deletionGracePeriodSeconds) == ("Failed", "Error 143", 0)
    assert "Killing: Stopping container main" in await w.events()
    await w.patch({"metadata": {"finalizers": None}})
    with pytest.raises(NotFound):
        await w.get()
    await w.clock.sleep(1)
    assert w.nodes.agents["one"].table.pods == {}


@simulated
async def test_a_pod_that_does_not_heed_its_end_takes_its_whole_grace(w: World) -> None:
    await w.pod(terminationGracePeriodSeconds=20)
    await w.clock.sleep(1)
    (await w.simulated()).set_stubborn(True)
    await w.patch({"metadata": {"finalizers": ["example.com/keep"]}})
    await w.delete()
    await w.clock.sleep(19)
    assert state(main(await w.get())) == "running"
    await w.clock.sleep(2)
    assert state(main(await w.get())) == "Error 137"


@simulated
async def test_a_shorter_grace_ends_a_pod_that_is_ending(w: World) -> None:
    await w.pod(rules={"stop-seconds": "100"}, terminationGracePeriodSeconds=100)
    await w.clock.sleep(1)
    await w.delete()
    await w.clock.sleep(5)
    await w.delete(grace=3)
    await w.clock.sleep(2)
    assert await w.names() == ["p"]
    await w.clock.sleep(2)
    assert await w.names() == []


@simulated
async def test_what_takes_time_to_end_and_a_hook_that_sleeps_come_before_the_end(w: World) -> None:
    hook = {"preStop": {"sleep": {"seconds": 4}}}
    await w.pod(containers=[{"name": "main", "image": "web", "lifecycle": hook}], rules={"stop-seconds": "3"})
    await w.clock.sleep(1)
    await w.delete()
    await w.clock.sleep(6.5)
    assert await w.names() == ["p"]
    await w.clock.sleep(1)
    assert await w.names() == []


@simulated
async def test_sidecars_end_after_those_that_may_need_them(w: World) -> None:
    beside = [{"name": "beside", "image": "two", "restartPolicy": "Always"}]
    await w.pod(initContainers=beside, rules={"stop-seconds": "5", "stop-seconds.beside": "2"})
    await w.clock.sleep(1)
    await w.delete()
    await w.clock.sleep(6)
    pod = await w.get()
    assert (state(main(pod)), state(main(pod, "beside"))) == ("Error 143", "running")
    await w.clock.sleep(2)
    assert await w.names() == []


@simulated
async def test_a_pod_that_is_taken_away_by_force_leaves_nothing(w: World) -> None:
    await w.pod(rules={"stop-seconds": "100"})
    await w.clock.sleep(1)
    await w.delete(grace=0)
    assert await w.names() == []
    await w.clock.sleep(40)
    assert w.nodes.agents["one"].table.pods == {}


@simulated
async def test_a_namesake_is_another_pod(w: World) -> None:
    first = await w.pod()
    await w.clock.sleep(1)
    await w.delete(grace=0)
    second = await w.pod()
    await w.clock.sleep(1)
    pod = await w.get()
    assert (pod.metadata.uid, pod.status.phase) == (second.metadata.uid, "Running")
    assert first.metadata.uid not in w.nodes.agents["one"].table.pods


@simulated
async def test_a_report_that_met_a_conflict_is_made_again(w: World) -> None:
    for method in ("PATCH", "DELETE"):
        w.fail(
            Conflict("by chance"),
            lambda request, method=method: request.method == method and "/pods/" in request.target,
        )
    await w.pod()
    await w.clock.sleep(5)
    assert (await w.get()).status.phase == "Pending"
    await w.clock.sleep(10)
    assert (await w.get()).status.phase == "Running"
    await w.delete()
    await w.clock.sleep(5)
    assert await w.names() == ["p"]
    await w.clock.sleep(10)
    assert await w.names() == []
