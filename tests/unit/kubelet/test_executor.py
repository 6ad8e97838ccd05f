"""The executor's own rules; what it does to a machine is tried in tests/node/kubelet."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.unit.kubelet.pods import pod, sandbox

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import pod_actions as act
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cgroups import PodCgroups
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.executor import Executor, Tools, let_finish
from pybernetes.kubelet.failures import ActionFailed
from pybernetes.kubelet.pod_actions import Observed
from pybernetes.kubelet.resizer import Resizer
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.specs.dns import Dns
from pybernetes.kubelet.specs.names import pod_ref
from pybernetes.kubelet.worker import PodWorker


async def test_a_call_that_is_called_off_ends_first():
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        await go.wait()
        ended.set()

    task = asyncio.create_task(let_finish(call()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_call_that_does_not_end_is_called_off_in_the_end():
    begun = asyncio.Event()

    async def call() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(let_finish(call(), patience=0.01))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_error_of_a_call_is_its_callers():
    async def call() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await let_finish(call())


PLACES = 10


class SlowRuntime:
    """Sandboxes are not finished before `go`; it remembers what was begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()

    async def run_sandbox(self, spec: m.SandboxSpec) -> str:
        self.begun.append(f"sandbox {spec.pod.name}")
        await self.go.wait()
        return ""

    async def sandbox(self, known: m.Sandbox) -> m.Sandbox:
        return known

    async def container(self, known: m.Container) -> m.Container:
        return known

    async def stop_container(self, container: str, grace: float) -> None:
        self.begun.append(f"stop {container} {grace:g}")

    async def create_container(self, sandbox: str, spec: object, pod: object) -> str:
        return "made"

    async def start_container(self, container: str) -> None:
        self.begun.append(f"start {container}")


class QuickMaker:
    """Knows only the Pod's names."""

    async def sandbox(self, wanted: core_v1.Pod, attempt: int) -> tuple[m.SandboxSpec, Dns]:
        spec = m.SandboxSpec(pod_ref(wanted), attempt, "web", "", "", {}, {})
        return spec, Dns((), (), ())

    async def same_sandbox(self, wanted: core_v1.Pod, attempt: int) -> m.SandboxSpec:
        return (await self.sandbox(wanted, attempt))[0]

    async def container(self, *about: object) -> SimpleNamespace:
        return SimpleNamespace(annotations={"a": "b"}, image="sha256:1")


class Quiet:
    """Events nobody reads, hooks that take long."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.events: list[str] = []
        self.hooks = 0
        self.over: list[str] = []

    def event(self, about: core_v1.ObjectReference, kind: str, reason: str, message: str) -> None:
        self.events.append(f"{reason}: {message}")

    async def run(self, hook: core_v1.LifecycleHandler, *about: object) -> None:
        self.hooks += 1
        try:
            await self.clock.sleep(hook.sleep.seconds if hook.sleep is not None else 0)
        finally:
            self.over.append("hook over")


def executor_of(runtime: SlowRuntime, clock: Clock) -> tuple[Executor, Quiet]:
    quiet = Quiet(clock)
    settings = Settings("n1", ("192.0.2.1",), config=Configuration(resolv_conf=""), max_parallel_starts=PLACES)
    cgroups, allocations = PodCgroups(within=()), Allocations(settings.root)
    tools = Tools(
        runtime=runtime,
        sources=None,
        puller=None,
        volumes=None,
        cgroups=cgroups,
        reporter=None,
        events=quiet,
        hooks=quiet,
        maker=QuickMaker(),
        allocations=allocations,
        resizer=Resizer(runtime, cgroups, allocations, None, settings),
        network=lambda: "",
    )
    return Executor(tools, settings, clock), quiet


def worker_of(wanted: core_v1.Pod, executor: Executor, clock: Clock) -> PodWorker:
    made = PodWorker(pod_ref(wanted), None, executor, None, clock)
    made.update(wanted)
    return made


async def test_what_was_made_is_known_before_the_runtime_tells_of_it_but_not_by_its_images_id() -> None:
    clock = SystemClock()
    executor, quiet = executor_of(SlowRuntime(), clock)
    worker = worker_of(pod(), executor, clock)
    worker.observed = Observed(now=0.0, sandboxes=(sandbox(),))
    worker.images["pull/c/0"] = "sha256:1"
    await executor.perform(worker, act.CreateContainer("c", 0, "s0", 10.0))
    made = worker.observed.containers[0]
    assert (made.id, made.state, made.restart_delay, made.annotations) == ("made", m.State.CREATED, 10.0, {"a": "b"})
    assert made.image == ""  # its status shows the name that the spec has
    assert quiet.events == ["Created: Container created"]


@pytest.mark.parametrize("lacks", ["folders", "group"])
async def test_a_full_disk_is_told_before_anything_of_a_pod_is_there(
    lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()
    executor, quiet = executor_of(SlowRuntime(), clock)

    def full(pod: core_v1.Pod) -> None:
        raise OSError(28, "No space left on device", "/var/lib/kubelet/pods/1")

    monkeypatch.setattr(executor, "_make_folders", full if lacks == "folders" else lambda pod: None)
    monkeypatch.setattr(executor._tools.cgroups, "create", full)
    with pytest.raises(ActionFailed):
        await executor.perform(worker_of(pod(), executor, clock), act.Prepare())
    told = {
        "folders": "FailedToMakePodDataDirectories: error making pod data directories: mkdir /var/lib/kubelet/pods/1",
        "group": "FailedCreatePodContainer: unable to ensure pod container exists: /var/lib/kubelet/pods/1",
    }
    assert quiet.events == [f"{told[lacks]}: no space left on device"]


async def test_what_cannot_be_stopped_is_an_event() -> None:
    class Refusing(SlowRuntime):
        async def stop_container(self, container: str, grace: float) -> None:
            raise m.RuntimeRefused("UNKNOWN", "it hangs")

        async def stop_sandbox(self, sandbox: str) -> None:
            raise m.RuntimeRefused("UNKNOWN", 'failed to destroy network for sandbox "s0"')

    clock = SystemClock()
    executor, quiet = executor_of(Refusing(), clock)
    worker = worker_of(pod(), executor, clock)
    with pytest.raises(ActionFailed):
        await executor.perform(worker, act.StopContainer("c", "c0", 0.0))
    with pytest.raises(ActionFailed):
        await executor.perform(worker, act.StopSandbox("s0"))
    said = "FailedKillPod: error killing pod: failed to"
    assert quiet.events[1:] == [
        f'{said} "KillContainer" for "c" with KillContainerError: "rpc error: code = Unknown desc = it hangs"',
        f'{said} "KillPodSandbox" for "uid-1" with KillPodSandboxError: "rpc error: code = Unknown desc = '
        'failed to destroy network for sandbox \\"s0\\""',
    ]


async def test_a_stop_does_not_wait_for_a_hundred_starts() -> None:
    clock, runtime = SystemClock(), SlowRuntime()
    executor, _ = executor_of(runtime, clock)
    starts = []
    for n in range(100):
        new = worker_of(pod(meta={"name": f"p{n}", "uid": f"u{n}"}), executor, clock)
        starts.append(asyncio.create_task(executor.perform(new, act.RunSandbox(0))))
    while len(runtime.begun) < PLACES:
        await asyncio.sleep(0)
    old = worker_of(pod(), executor, clock)
    await executor.perform(old, act.StopContainer("c", "c0", 5.0))
    assert runtime.begun[PLACES:] == ["stop c0 5"]
    runtime.go.set()
    await asyncio.gather(*starts)
    assert len(runtime.begun) == 101
