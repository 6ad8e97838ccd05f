"""The order of a Pod's life on real containers: sidecars, hooks, restarts of all, ephemeral containers."""

from contextlib import suppress
from pathlib import Path

from bench._containerd import IMAGE
from bench._node import NodeUnderTest, gone, running
from msgspec.structs import replace
from tests.node.cri import until

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri.model import RuntimeRefused

NOTES = core_v1.VolumeMount(name="notes", mountPath="/n")


def noting(name: str, script: str, **fields: object) -> core_v1.Container:
    """A container that notes what it does in a file that all share."""
    script = f"say() {{ echo {name} $1 >> /n/log; }}; {script}"
    return core_v1.Container(
        **{"name": name, "image": IMAGE, "command": ("sh", "-c", script), "volumeMounts": (NOTES,), **fields}
    )


def sidecar(name: str) -> core_v1.Container:
    loop = 'trap "say down; exit 0" TERM; while :; do sleep 0.05; done'
    probe = core_v1.Probe(exec=core_v1.ExecAction(command=("test", "-f", f"/n/{name}")), periodSeconds=1)
    script = f"say up; touch /n/{name}; {loop}"
    return noting(name, script, restartPolicy="Always", startupProbe=probe)


def shared(folder: Path) -> tuple[core_v1.Volume, ...]:
    return (core_v1.Volume(name="notes", hostPath=core_v1.HostPathVolumeSource(path=str(folder))),)


def notes(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


async def test_sidecars_start_before_the_others_and_end_after_them(one: NodeUnderTest, tmp_path: Path) -> None:
    main = noting("main", 'say up; trap "sleep 0.3; say down; exit 0" TERM; while :; do sleep 0.05; done')
    await one.create(
        "p",
        initContainers=(sidecar("one"), sidecar("two")),
        containers=(main,),
        volumes=shared(tmp_path),
        terminationGracePeriodSeconds=10,
    )
    pod = await one.until("p", running)
    assert [s.started for s in pod.status.initContainerStatuses] == [True, True]
    await one.pods.delete(Key("default", "p"))
    await one.until("p", gone)
    assert notes(tmp_path) == ["one up", "two up", "main up", "main down", "two down", "one down"]


async def test_a_sidecar_in_back_off_delays_nobody(one: NodeUnderTest, tmp_path: Path) -> None:
    side = noting("side", "say up; sleep 0.3; exit 1", restartPolicy="Always")
    init = noting("init", "say up; until [ $(grep -c side /n/log) = 2 ]; do sleep 0.1; done; sleep 1")
    main = noting("main", "say up; exec sleep 1000")
    await one.create("p", initContainers=(side, init), containers=(main,), volumes=shared(tmp_path))
    pod = await one.until("p", lambda p: bool(p and p.status.phase == "Running" and "main up" in notes(tmp_path)))
    assert sorted(notes(tmp_path)[:3]) == ["init up", "side up", "side up"]
    assert notes(tmp_path)[3:] == ["main up"]
    waiting = pod.status.initContainerStatuses[0].state.waiting
    assert waiting is not None
    assert waiting.reason == "CrashLoopBackOff"


async def test_a_new_image_is_for_what_runs_and_lasts(one: NodeUnderTest, tmp_path: Path) -> None:
    other = "docker.io/library/busybox:other"
    one.containerd.ctr("images", "tag", "--force", IMAGE, other)
    side = noting("side", "say up; exec sleep 1000", restartPolicy="Always")
    await one.create(
        "p",
        initContainers=(noting("init", "say up"), side),
        containers=(noting("done", "say up"), noting("main", "say up; exec sleep 1000")),
        volumes=shared(tmp_path),
        restartPolicy="Never",
    )
    pod = await one.until("p", lambda p: ended(p, "done") and len(notes(tmp_path)) == 4)
    spec = replace(
        pod.spec,
        initContainers=tuple(replace(c, image=other) for c in pod.spec.initContainers),
        containers=tuple(replace(c, image=other) for c in pod.spec.containers),
    )
    await one.pods.patch(pod, replace(pod, spec=spec))

    def again(pod: core_v1.Pod | None) -> bool:
        found = {s.name: s for s in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)} if pod else {}
        return all(found[n].restartCount == 1 and found[n].state.running is not None for n in ("side", "main"))

    pod = await one.until("p", lambda p: again(p) and len(notes(tmp_path)) == 6)
    assert sorted(notes(tmp_path)) == ["done up", "init up", "main up", "main up", "side up", "side up"]
    assert ended(pod, "init")
    assert ended(pod, "done")


def ended(pod: core_v1.Pod | None, name: str) -> bool:
    """A container has succeeded, and only once."""
    every = (*pod.status.initContainerStatuses, *pod.status.containerStatuses) if pod else ()
    found = next((s for s in every if s.name == name), core_v1.ContainerStatus())
    return bool(found.state.terminated and found.state.terminated.exitCode == 0 and found.restartCount == 0)


async def test_init_containers_that_were_removed_do_not_run_again(one: NodeUnderTest, tmp_path: Path) -> None:
    first, second = noting("first", "say up"), noting("second", "say up; exec sleep 1000")
    await one.create("p", initContainers=(first, second), volumes=shared(tmp_path))
    pod = await one.until("p", lambda p: ended(p, "first") and notes(tmp_path) == ["first up", "second up"])
    await one.stop_kubelet()
    made = pod.status.initContainerStatuses[0].containerID.removeprefix("containerd://")

    async def removed() -> bool:
        with suppress(RuntimeRefused):  # a busy runtime may take it for one that runs yet
            await one.runtime.remove_container(made)
            return True
        return False

    await until(removed, "the container is removed")
    await one.start_kubelet()
    guest = core_v1.EphemeralContainer(name="debug", image=IMAGE, command=("true",))
    wanted = replace(pod, spec=replace(pod.spec, ephemeralContainers=(guest,)))
    await one.pods.patch(pod, wanted, subresource="ephemeralcontainers")
    pod = await one.until(  # by then the new kubelet has done whatever it wanted to
        "p", lambda p: bool(p and any(s.state.terminated for s in p.status.ephemeralContainerStatuses))
    )
    assert ended(pod, "first")
    assert notes(tmp_path) == ["first up", "second up"]


async def test_after_a_reboot_a_pod_is_pending_until_it_is_initialized_again(
    one: NodeUnderTest, tmp_path: Path
) -> None:
    init, main = noting("init", "say up; sleep 1"), noting("main", "say up; exec sleep 1000")
    await one.create("p", initContainers=(init, sidecar("side")), containers=(main,), volumes=shared(tmp_path))
    pod = await one.until("p", lambda p: running(p) and notes(tmp_path).count("main up") == 1)
    await one.stop_kubelet()
    for made in await one.runtime.sandboxes(pod.metadata.uid):
        await one.runtime.stop_sandbox(made.id)
    (tmp_path / "side").unlink()  # by which the sidecar tells that it is up
    await one.start_kubelet()

    def again(pod: core_v1.Pod | None) -> bool:
        return bool(pod and pod.status.initContainerStatuses[0].restartCount == 1 and pod.status.phase == "Pending")

    await one.until("p", again)
    pod = await one.until("p", lambda p: running(p) and notes(tmp_path).count("main up") == 2)
    assert [s.restartCount for s in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)] == [1, 1, 1]
    assert [line for line in notes(tmp_path) if line.endswith("up")] == ["init up", "side up", "main up"] * 2


async def test_a_pod_that_has_done_its_work_ends_its_sidecars(one: NodeUnderTest, tmp_path: Path) -> None:
    await one.create(
        "job",
        initContainers=(sidecar("one"),),
        containers=(noting("main", "say up"),),
        volumes=shared(tmp_path),
        restartPolicy="Never",
        terminationGracePeriodSeconds=10,
    )
    pod = await one.until("job", lambda p: bool(p and p.status.phase == "Succeeded"))
    assert pod.status.initContainerStatuses[0].state.terminated is not None
    assert notes(tmp_path) == ["one up", "main up", "one down"]


async def test_a_rule_starts_all_containers_anew_in_the_same_sandbox(one: NodeUnderTest, tmp_path: Path) -> None:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
    rule = core_v1.ContainerRestartRule(action="RestartAllContainers", exitCodes=codes)
    main = noting(
        "main",
        "say up; [ -e /n/again ] && exec sleep 1000; touch /n/again; exit 42",
        restartPolicy="Never",
        restartPolicyRules=(rule,),
    )
    await one.create(
        "p",
        initContainers=(noting("init", "say up"), sidecar("side")),
        containers=(main,),
        volumes=shared(tmp_path),
        restartPolicy="Never",
    )
    pod = await one.until("p", lambda p: running(p) and notes(tmp_path).count("main up") == 2)
    ups = [line for line in notes(tmp_path) if line.endswith("up")]
    assert ups == ["init up", "side up", "main up"] * 2
    assert [s.restartCount for s in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)] == [1, 1, 1]
    last = pod.status.containerStatuses[0].lastState.terminated
    assert last is not None
    assert last.exitCode == 42
    assert len(await one.runtime.sandboxes(pod.metadata.uid)) == 1
    assert len(await one.runtime.containers(pod.metadata.uid)) == 3
    conditions = {c.type: c.status for c in pod.status.conditions}
    assert conditions["AllContainersRestarting"] == "False"
    assert conditions["Initialized"] == "True"


async def test_a_sidecar_may_start_all_containers_anew_where_nothing_else_restarts(
    one: NodeUnderTest, tmp_path: Path
) -> None:
    codes = core_v1.ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
    rule = core_v1.ContainerRestartRule(action="RestartAllContainers", exitCodes=codes)
    script = "say up; [ -e /n/again ] && exec sleep 1000; until grep -q main /n/log; do sleep 0.1; done; touch /n/again; exit 42"
    side = noting("side", script, restartPolicy="Always", restartPolicyRules=(rule,))
    main = noting("main", "say up; exec sleep 1000")
    await one.create("p", initContainers=(side,), containers=(main,), volumes=shared(tmp_path), restartPolicy="Never")
    pod = await one.until("p", lambda p: running(p) and notes(tmp_path).count("main up") == 2)
    assert notes(tmp_path) == ["side up", "main up"] * 2
    assert [s.restartCount for s in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)] == [1, 1]
    ends = [s.lastState.terminated for s in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)]
    assert [end.exitCode for end in ends if end] == [42, 137]


async def test_a_post_start_hook_holds_up_the_next_container_and_its_failure_ends_its_own(
    one: NodeUnderTest, tmp_path: Path
) -> None:
    command = core_v1.ExecAction(command=("sh", "-c", "sleep 0.5; echo hook done >> /n/log; test -e /n/b; exit 3"))
    hook = core_v1.Lifecycle(postStart=core_v1.LifecycleHandler(exec=command))
    await one.create(
        "p",
        containers=(noting("a", "exec sleep 1000", lifecycle=hook), noting("b", "say up; exec sleep 1000")),
        volumes=shared(tmp_path),
    )

    def failed(pod: core_v1.Pod | None) -> bool:
        state = pod.status.containerStatuses[0].state if pod and pod.status.containerStatuses else None
        return bool(state and state.waiting and state.waiting.reason == "PostStartHookError")

    pod = await one.until("p", failed)
    assert pod.status.containerStatuses[0].lastState.terminated is not None
    await one.until("p", lambda p: "b up" in notes(tmp_path))
    assert notes(tmp_path)[:2] == ["hook done", "b up"]


async def test_an_ephemeral_container_joins_a_pod_that_is_still_initializing(one: NodeUnderTest) -> None:
    slow = core_v1.Container(name="slow", image=IMAGE, command=("sleep", "1000"))
    await one.create("p", initContainers=(slow,))
    pod = await one.until(
        "p", lambda p: bool(p and p.status.initContainerStatuses and p.status.initContainerStatuses[0].state.running)
    )
    guest = core_v1.EphemeralContainer(name="debug", image=IMAGE, command=("sh", "-c", "exit 5"))
    wanted = replace(pod, spec=replace(pod.spec, ephemeralContainers=(guest,)))
    await one.pods.patch(pod, wanted, subresource="ephemeralcontainers")

    def over(pod: core_v1.Pod | None) -> bool:
        found = pod.status.ephemeralContainerStatuses if pod else ()
        return bool(found and found[0].state.terminated and found[0].state.terminated.exitCode == 5)

    pod = await one.until("p", over)
    assert pod.status.phase == "Pending"
    assert pod.status.ephemeralContainerStatuses[0].restartCount == 0
