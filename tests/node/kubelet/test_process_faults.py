"""What a kubelet that is a process of its own must survive: its kill, a runtime that fails, an API server that is away.

See bench/_process.py. The same at length: tools/soak/kubelet.py.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from bench._containerd import IMAGE, OwnContainerd
from bench._node import NodeUnderTest, gone, running
from bench._process import ProcessNode, process_node
from bench._proxy import FaultyRuntime, Trouble
from msgspec.structs import replace
from tests.node.cri import until

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.informer import Informers
from pybernetes.kernel import mounts
from pybernetes.kubelet.cri.model import State

pytestmark = pytest.mark.root

FULL = {"evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                         "imagefs.available": "0%", "imagefs.inodesFree": "0%"}}  # fmt: skip
"""No eviction: what a full disk does by itself."""


@pytest_asyncio.fixture
async def proxied(containerd: OwnContainerd, tmp_path: Path) -> AsyncIterator[tuple[ProcessNode, FaultyRuntime]]:
    async with (
        FaultyRuntime(tmp_path / "proxy.sock", containerd.endpoint) as proxy,
        process_node(tmp_path / "n", containerd, proxy.endpoint) as one,
    ):
        yield one, proxy


async def ids(one: NodeUnderTest) -> dict[str, str]:
    """Running containers by their Pod's name."""
    return {c.pod.name: c.id for c in await one.runtime.containers() if c.state == State.RUNNING}


async def delete_all(one: NodeUnderTest) -> None:
    """Every Pod, and waits until the node has nothing of them."""
    for pod in (await one.pods.list("default")).items:
        await one.pods.delete(Key("default", pod.metadata.name), grace=1)
    for pod in (await one.pods.list("default")).items:
        await one.until(pod.metadata.name, gone, 60)
    await one.emptied()


async def test_a_killed_kubelet_disturbs_no_pod_and_loses_none(proxied: tuple[ProcessNode, FaultyRuntime]) -> None:
    one, _ = proxied
    for number in range(6):
        await one.create(f"calm-{number}")
    for number in range(6):
        await one.until(f"calm-{number}", running)
    calm = await ids(one)
    for moment in (0.0, 0.1, 0.3):
        for number in range(4):
            await one.create(f"new-{moment}-{number}")
        await asyncio.sleep(moment)
        await one.kill_kubelet()
        await one.start_kubelet()
    names = [pod.metadata.name for pod in (await one.pods.list("default")).items]
    for name in names:
        pod = await one.until(name, running, 60)
        assert pod.status.containerStatuses[0].restartCount == 0, name
    after = await ids(one)
    assert {name: after[name] for name in calm} == calm
    assert len(await one.runtime.sandboxes()) == len(names)
    await delete_all(one)


def probed(name: str, **more: Any) -> core_v1.Container:
    """A container whose readiness probe leaves a line in /seen/<name>, and takes its time before that."""
    command = ("sh", "-c", f"sleep 0.4; echo asked >> /seen/{name}")
    probe = core_v1.Probe(exec=core_v1.ExecAction(command=command), periodSeconds=2, timeoutSeconds=5)
    mount = core_v1.VolumeMount(name="seen", mountPath="/seen")
    made = core_v1.Container(name=name, image=IMAGE, command=("sleep", "1000"), volumeMounts=(mount,))
    return replace(made, readinessProbe=probe, **more)


@contextlib.asynccontextmanager
async def changes(one: ProcessNode, note: Callable[[core_v1.Pod], None]) -> AsyncIterator[None]:
    """Every version of every Pod that the API has from now on."""
    informers = Informers(one.client)
    informers.of(core_v1.Pod).on_change(lambda _, new: note(new) if new is not None else None)
    watching = asyncio.create_task(informers.run())
    try:
        await informers.synced()
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_pods_that_are_ready_stay_so_in_the_api_while_their_kubelet_restarts(
    containerd: OwnContainerd, tmp_path: Path
) -> None:
    seen, manifests = tmp_path / "seen", tmp_path / "manifests"
    seen.mkdir()
    manifests.mkdir()
    started = core_v1.Probe(exec=core_v1.ExecAction(command=("true",)), periodSeconds=1)
    volume = core_v1.Volume(name="seen", hostPath=core_v1.HostPathVolumeSource(path=str(seen)))
    sidecar = probed("sidecar", restartPolicy="Always", startupProbe=started)
    spec = core_v1.PodSpec(hostNetwork=True, terminationGracePeriodSeconds=1, volumes=(volume,))
    static = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name="static"),
        spec=replace(spec, containers=(probed("static", startupProbe=started),)),
    )
    async with process_node(tmp_path / "n", containerd, staticPodPath=str(manifests)) as one:
        await one.create("plain", containers=(probed("plain"),), volumes=(volume,))
        await one.create("two", containers=(probed("main"),), initContainers=(sidecar,), volumes=(volume,))
        (manifests / "static.json").write_bytes(msgspec.json.encode(static))
        for name in ("plain", "two", "static-n1"):
            await one.until(name, running)
        unready: list[core_v1.Pod] = []
        async with changes(one, lambda pod: None if running(pod) else unready.append(pod)):
            for end in (one.kill_kubelet, one.stop_kubelet):
                await end()
                before = {file.name: file.stat().st_size for file in seen.iterdir()}
                assert before.keys() == {"plain", "main", "sidecar", "static"}
                await one.start_kubelet()

                def asked_again(before: Mapping[str, int] = before) -> bool:
                    return all(file.stat().st_size > before[file.name] for file in seen.iterdir())

                await until(asked_again, "every container is asked by the new kubelet")
            assert [(pod.metadata.name, pod.status) for pod in unready] == []
        (manifests / "static.json").unlink()
        await one.until("static-n1", gone)


async def test_pods_go_on_while_the_api_server_is_away_and_statuses_catch_up(
    proxied: tuple[ProcessNode, FaultyRuntime],
) -> None:
    one, _ = proxied
    await one.create("calm")
    await one.create("ends", "sh", "-c", "sleep 2", restartPolicy="Never")
    await one.create("fragile", "sh", "-c", "sleep 1.5; exit 3", restartPolicy="Always")
    await one.until("calm", running)
    await one.until("ends", running)
    await one.until("fragile", running)
    before = (await ids(one))["calm"]
    await one.cut_api()

    async def restarted() -> bool:
        return any(c.pod.name == "fragile" and c.attempt >= 1 for c in await one.runtime.containers())

    await until(restarted, "the container is restarted without an API server")
    await one.open_api()
    await one.until("ends", lambda p: p is not None and p.status.phase == "Succeeded")
    await one.until("fragile", lambda p: bool(p and p.status.containerStatuses[0].restartCount))
    assert (await ids(one))["calm"] == before
    await delete_all(one)


async def test_a_runtime_that_is_slow_refuses_and_loses_answers_is_borne(
    proxied: tuple[ProcessNode, FaultyRuntime],
) -> None:
    one, proxy = proxied
    await one.create("calm")
    await one.until("calm", running)
    before = (await ids(one))["calm"]
    proxy.trouble = Trouble(slow=0.2, refuse=0.15, lose=0.15)
    for number in range(6):
        await one.create(f"p-{number}")
    await asyncio.sleep(3)
    for number in range(3):
        await one.pods.delete(Key("default", f"p-{number}"), grace=1)
    await asyncio.sleep(1)
    proxy.trouble = Trouble()
    for number in range(3, 6):
        await one.until(f"p-{number}", running, 60)
    for number in range(3):
        await one.until(f"p-{number}", gone, 60)
    assert (await ids(one))["calm"] == before
    found = await ids(one)
    assert set(found) == {"calm", "p-3", "p-4", "p-5"}
    running_containers = [c for c in await one.runtime.containers() if c.state == State.RUNNING]
    assert len(running_containers) == len(found), "a container runs twice"
    await delete_all(one)


@pytest.mark.parametrize("method", ["PullImage", "RunPodSandbox", "CreateContainer", "StartContainer"])
async def test_a_pod_that_is_deleted_in_the_middle_of_its_start_goes_and_leaves_nothing(
    proxied: tuple[ProcessNode, FaultyRuntime], method: str
) -> None:
    one, proxy = proxied
    proxy.trouble = Trouble(slow=4.0, only=(method,))
    more = {"imagePullPolicy": "Always"} if method == "PullImage" else {}
    container = core_v1.Container(name="c", image=IMAGE, command=("sleep", "1000"), **more)
    await one.create("early", containers=(container,))

    async def called() -> bool:
        return proxy.calls.get(method, 0) > 0

    await until(called, f"{method} is under way")
    await one.pods.delete(Key("default", "early"), grace=1)
    await one.until("early", gone, 30)
    await one.emptied()


async def test_a_full_disk_stops_no_pod_and_is_survived(containerd: OwnContainerd, tmp_path: Path) -> None:
    disk = tmp_path / "n"
    disk.mkdir()
    mounts.mount("tmpfs", disk, "tmpfs", options="size=8m")
    try:
        async with process_node(disk, containerd, **FULL) as one:
            await one.create("calm")
            await one.until("calm", running)
            before = await ids(one)
            volumes = (core_v1.Volume(name="facts", configMap=core_v1.ConfigMapVolumeSource(name="big")),)
            mounted = (core_v1.VolumeMount(name="facts", mountPath="/facts"),)
            container = core_v1.Container(name="c", image=IMAGE, command=("sleep", "1000"), volumeMounts=mounted)
            await one.client.of(core_v1.ConfigMap).create(_map("big", "x" * 500_000))
            filler = disk / "filler"
            await asyncio.to_thread(_fill, filler)
            await one.create("late", volumes=volumes, containers=(container,))
            await until(lambda: one.process is not None and one.process.poll() is None, "the kubelet lives")
            assert not running(await one.get("late"))
            await asyncio.sleep(1)
            assert await ids(one) == before
            await asyncio.to_thread(filler.unlink)
            await one.until("late", running, 60)
            assert (await ids(one))["calm"] == before["calm"]
            await delete_all(one)
    finally:
        mounts.unmount_below(disk)


async def test_a_pod_whose_volume_cannot_be_removed_stays_until_it_can(
    proxied: tuple[ProcessNode, FaultyRuntime],
) -> None:
    one, _ = proxied
    volumes = (core_v1.Volume(name="disk", emptyDir=core_v1.EmptyDirVolumeSource()),)
    mounted = (core_v1.VolumeMount(name="disk", mountPath="/disk"),)
    command = ("sh", "-c", "touch /disk/stuck; sleep 1000")
    container = core_v1.Container(name="c", image=IMAGE, command=command, volumeMounts=mounted)
    pod = await one.create("held", volumes=volumes, containers=(container,))
    await one.until("held", running)
    folder = one.folder / "kubelet" / "pods" / pod.metadata.uid / "volumes" / "kubernetes.io~empty-dir" / "disk"
    await until((folder / "stuck").exists, "the file is there")
    chattr = ["chattr", "+i", str(folder / "stuck")]
    ended = await asyncio.to_thread(subprocess.run, chattr, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"no file here can be made immutable: {ended.stderr}")
    try:
        await one.pods.delete(Key("default", "held"), grace=1)

        async def stopped() -> bool:
            return "held" not in await ids(one)

        await until(stopped, "its container has ended")
        await asyncio.sleep(1)
        assert await one.get("held") is not None
    finally:
        await asyncio.to_thread(subprocess.run, ["chattr", "-i", str(folder / "stuck")], check=True)
    await one.until("held", gone, 60)


async def test_pids_that_begin_anew_confuse_nobody(proxied: tuple[ProcessNode, FaultyRuntime]) -> None:
    one, _ = proxied
    last, limit = Path("/proc/sys/kernel/ns_last_pid"), int(Path("/proc/sys/kernel/pid_max").read_text())
    if not last.exists():
        pytest.skip("this kernel does not let the next pid be chosen")
    await one.create("before")
    await one.until("before", running)
    kept = await ids(one)
    last.write_text(str(limit - 20))
    for number in range(4):
        await one.create(f"over-{number}")
    for number in range(4):
        await one.until(f"over-{number}", running)
    assert int(last.read_text()) < limit - 20, "pids have begun anew"
    await one.pods.delete(Key("default", "over-0"), grace=0)
    await one.until("over-0", gone)
    assert (await ids(one))["before"] == kept["before"]
    await delete_all(one)


async def test_ten_thousand_lines_a_second_are_kept_within_bounds(containerd: OwnContainerd, tmp_path: Path) -> None:
    limits = {"containerLogMaxSize": "1Mi", "containerLogMaxFiles": 3, "containerLogMonitorInterval": "3s"}
    async with process_node(tmp_path / "n", containerd, **limits) as one:
        command = f"while sleep 1; do i=0; while [ $i -lt 10000 ]; do echo $i-{'x' * 60}; i=$((i+1)); done; done"
        pod = await one.create("loud", "sh", "-c", command)
        await one.until("loud", running)
        logs = one.folder / "pods" / f"default_loud_{pod.metadata.uid}" / "c"

        def rotated() -> bool:
            return len(list(logs.glob("*.gz"))) == 1

        await until(rotated, "the log is rotated twice", 60)
        await until(lambda: len(list(logs.iterdir())) <= 3, "no more than three files are kept")
        await delete_all(one)
        await until(lambda: not logs.exists(), "its logs are gone")


def _map(name: str, text: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), data={"text": text})


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(b"x" * 65536)
        except OSError:
            return
