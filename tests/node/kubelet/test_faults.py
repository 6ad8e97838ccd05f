"""What must survive: the end of the kubelet, of containerd, of the whole machine, of the API's knowledge."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from bench._node import NODE, NodeUnderTest, gone, raw_pod, running
from msgspec.structs import replace
from tests.node.cri import until

from pybernetes.aio.clock import SystemClock, rfc3339
from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.client.rest import key_of
from pybernetes.kernel import mounts
from pybernetes.kernel.cgroups import Cgroup
from pybernetes.kubelet.cri.model import CONTAINER_NAME, POD_UID, State

pytestmark = pytest.mark.root


async def living(one: NodeUnderTest) -> set[str]:
    return {c.id for c in await one.runtime.containers() if c.state == State.RUNNING}


async def sandboxes(one: NodeUnderTest, uid: str, count: int) -> None:
    """Waits until the runtime has so many sandboxes (of one Pod)."""

    async def so_many() -> bool:
        return len(await one.runtime.sandboxes(uid)) == count

    await until(so_many, f"{count} sandboxes")


def waits_after_a_restart(pod: core_v1.Pod | None) -> bool:
    one = pod.status.containerStatuses[0] if pod and pod.status.containerStatuses else core_v1.ContainerStatus()
    return bool(one.restartCount and one.state.waiting and one.state.waiting.reason == "CrashLoopBackOff")


async def test_a_new_kubelet_leaves_running_pods_alone(one: NodeUnderTest) -> None:
    await one.create("calm")
    await one.create("crash", "sh", "-c", "exit 1")
    await one.until("calm", running)
    before = await one.until("crash", waits_after_a_restart)

    async def one_runs() -> bool:  # CRI is some time behind the API
        return len(await living(one)) == 1

    await until(one_runs, "only the calm one runs")
    ids = await living(one)
    await one.stop_kubelet()
    await one.start_kubelet()
    await asyncio.sleep(1)
    assert await living(one) == ids
    after = await one.get("crash")
    assert after is not None
    # The back-off goes on: it is written down with the container.
    assert after.status.containerStatuses[0].restartCount == before.status.containerStatuses[0].restartCount
    calm = await one.get("calm")
    assert calm is not None
    assert calm.status.containerStatuses[0].restartCount == 0


async def test_pods_deleted_while_the_kubelet_was_away_are_cleaned(one: NodeUnderTest) -> None:
    await one.create("forced")
    await one.create("polite")
    await one.until("forced", running)
    await one.until("polite", running)
    await one.stop_kubelet()
    await one.pods.delete(Key("default", "forced"), grace=0)
    await one.pods.delete(Key("default", "polite"), grace=1)
    await one.start_kubelet()
    await one.until("polite", gone)
    await sandboxes(one, "", 0)


async def test_a_killed_containerd_comes_back_and_pods_go_on(one: NodeUnderTest) -> None:
    await one.create("calm")
    await one.until("calm", running)
    ids = await living(one)
    await asyncio.to_thread(one.containerd.kill)
    await one.create("meanwhile")
    await asyncio.to_thread(one.containerd.start)
    await one.until("meanwhile", running)
    assert ids < await living(one)
    calm = await one.get("calm")
    assert calm is not None
    assert calm.status.containerStatuses[0].restartCount == 0


async def test_after_a_power_cut_pods_start_anew_in_new_sandboxes(one: NodeUnderTest) -> None:
    init = core_v1.Container(name="i", image="docker.io/library/busybox:test", command=("true",))
    pod = await one.create("web", initContainers=(init,))
    await one.until("web", running)
    await one.stop_kubelet()
    await asyncio.to_thread(one.containerd.power_cut)
    await asyncio.to_thread(one.containerd.start)
    await one.start_kubelet()
    after = await one.until("web", lambda p: bool(running(p) and p and p.status.containerStatuses[0].restartCount))
    status = after.status.containerStatuses[0]
    assert status.restartCount == 1
    assert status.lastState.terminated is not None
    assert after.status.initContainerStatuses[0].restartCount == 1
    assert after.status.initContainerStatuses[0].ready
    await sandboxes(one, pod.metadata.uid, 1)


async def test_a_shorter_grace_ends_a_long_stop(one: NodeUnderTest) -> None:
    await one.create(
        "stubborn", "sh", "-c", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=600
    )
    await one.until("stubborn", running)
    await one.pods.delete(Key("default", "stubborn"))
    await one.until("stubborn", lambda p: p is not None and p.metadata.deletionTimestamp is not None)
    await one.pods.delete(Key("default", "stubborn"), grace=1)
    await one.until("stubborn", gone)


async def test_a_namesake_starts_while_the_old_pod_ends(one: NodeUnderTest) -> None:
    await one.create("twin", "sh", "-c", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=3)
    first = await one.until("twin", running)
    await one.pods.delete(Key("default", "twin"), grace=0)
    second = await one.create("twin")
    pod = await one.until("twin", running)
    assert pod.metadata.uid == second.metadata.uid != first.metadata.uid
    await sandboxes(one, first.metadata.uid, 0)


async def test_what_belongs_to_no_pod_is_swept(one: NodeUnderTest) -> None:
    """As a kubelet leaves it that was killed while a Pod started or ended: also after its successor's first look."""
    await one.create("calm")
    await one.until("calm", running)
    kubelet = one.folder / "kubelet" / "pods" / "orphan"
    memory, logs = kubelet / "volumes" / "kubernetes.io~empty-dir" / "m", one.folder / "pods" / "default_p_orphan"
    for folder in (memory, logs / "c"):
        folder.mkdir(parents=True)
    mounts.mount("tmpfs", memory, "tmpfs")
    (logs / "c" / "0.log").write_text("x")
    group = Cgroup(f"{one.containerd.cgroup.path}/kubepods/besteffort/podorphan")
    group.create()
    stray = await asyncio.create_subprocess_exec("sleep", "1000")
    group.add(stray.pid)
    await until(lambda: not any(f.exists() for f in (kubelet, logs, *group.folders())), "swept")
    assert await stray.wait() == -9
    assert await living(one)


async def test_starts_that_are_called_off_at_any_moment_leave_nothing_that_stays(one: NodeUnderTest) -> None:
    """As by a kubelet that is killed: the runtime's caller has gone, and with it the call."""
    await one.stop_kubelet()
    sandbox, container = raw_pod(one, "half", ("sleep", "1000"))
    labels = {**sandbox.labels, POD_UID: sandbox.pod.uid}
    sandbox, container = replace(sandbox, labels=labels), replace(container, labels={**labels, CONTAINER_NAME: "c"})
    id = await one.runtime.run_sandbox(sandbox)
    for attempt in range(20):
        made = await one.runtime.create_container(id, replace(container, attempt=attempt), sandbox)
        with suppress(TimeoutError):
            await asyncio.wait_for(one.runtime.start_container(made), 0.002 + 0.004 * attempt)
    await one.start_kubelet()  # for which it is a Pod that nobody knows
    await sandboxes(one, "", 0)


async def write_off(one: NodeUnderTest, name: str) -> None:
    """As the node lifecycle controller does with the Pods of a node that has fallen silent."""
    pod = await one.until(name, running)
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(one.clock.now())}]
    await one.pods.patch_raw(key_of(pod), {"status": {"conditions": conditions}}, subresource="status")
    assert not running(await one.get(name))


async def test_a_pod_that_was_written_off_is_ready_again(one: NodeUnderTest) -> None:
    await one.create("web")
    await write_off(one, "web")
    await one.until("web", running)


async def test_a_new_kubelet_says_ready_again(one: NodeUnderTest) -> None:
    await one.create("web")
    await one.until("web", running)
    await one.stop_kubelet()
    await write_off(one, "web")
    await one.start_kubelet()
    await one.until("web", running)


async def test_a_node_whose_network_was_cut_says_ready_again(one: NodeUnderTest) -> None:
    await one.create("web")
    await one.until("web", running)
    ids = await living(one)
    one.cut = True
    await write_off(one, "web")
    await asyncio.sleep(0.5)
    assert not running(await one.get("web"))
    one.cut = False
    await one.until("web", running)
    assert await living(one) == ids


class JumpingClock(SystemClock):
    """A wall clock that somebody sets; what is measured goes on as it did."""

    jump = 0.0

    def now(self) -> float:
        return super().now() + self.jump


@pytest.mark.parametrize("jump", [-7200.0, 7200.0], ids=["back", "forth"])
async def test_a_clock_that_is_set_ends_no_container_and_delays_no_restart(one: NodeUnderTest, jump: float) -> None:
    await one.stop_kubelet()
    one.clock = clock = JumpingClock()
    await one.start_kubelet()
    await one.create("calm")
    await one.create("crash", "sh", "-c", "sleep 0.5; exit 1")
    await one.until("calm", running)
    await one.until("crash", running)
    ids = await living(one)
    clock.jump = jump
    await one.create("new")
    await one.until("new", running)
    await one.until(
        "crash",
        lambda p: bool(p and p.status.containerStatuses and p.status.containerStatuses[0].restartCount >= 2),
        40,
    )
    calm = await one.get("calm")
    assert calm is not None
    assert running(calm)
    assert calm.status.containerStatuses[0].containerID.rpartition("/")[2] in ids


async def test_a_node_is_ready_as_soon_as_its_network_is_configured(one: NodeUnderTest) -> None:
    async def ready() -> bool:
        node = await one.client.of(core_v1.Node).get(NODE)
        return {c.type: c.status for c in node.status.conditions}["Ready"] == "True"

    async def unready() -> bool:
        return not await ready()

    await until(unready, "no network")
    folder = Path(await one.runtime.network_folder())
    assert folder == one.containerd.folder / "cni"
    file = folder / "10-net.conflist"
    await asyncio.sleep(8)  # without a word from the kernel, the kubelet would look again after more than 4 s now
    try:
        file.write_text('{"cniVersion": "0.4.0", "name": "net", "plugins": [{"type": "loopback"}]}')
        await until(ready, "ready", timeout=4.0)
    finally:
        file.unlink()
        await until(unready, "the network is away again")
