"""In-place resize on a real containerd: spec, status and cgroups follow, and nothing restarts that need not."""

from collections.abc import Mapping

import msgspec
import pytest
from bench._containerd import IMAGE
from bench._node import NodeUnderTest, running
from tests.node.cri import until

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.rules.requests import amount

pytestmark = pytest.mark.root

MIB = 1 << 20
Amounts = Mapping[str, str]


def container(name: str, requests: Amounts, limits: Amounts, **fields: object) -> core_v1.Container:
    resources = core_v1.ResourceRequirements(requests=requests, limits=limits)
    return core_v1.Container(name=name, image=IMAGE, command=("sleep", "1000"), resources=resources, **fields)  # type: ignore[arg-type] # fields by name


def group(one: NodeUnderTest, pod: core_v1.Pod, file: tuple[str, str], name: str = "") -> str:
    """What a file of the Pod's cgroup says, or of one of its containers: v1's name of it, and v2's."""
    run = ""
    if name:
        every = (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
        status = next(s for s in every if s.name == name)
        run = status.containerID.rpartition("/")[2]
    for folder in one.containerd.cgroup.folders():
        for parent in ("kubepods", "kubepods/burstable", "kubepods/besteffort"):
            for wanted in file:
                found = folder / parent / f"pod{pod.metadata.uid}" / run / wanted
                if found.exists():
                    return found.read_text().strip()
    raise FileNotFoundError(file)


MEMORY = ("memory.limit_in_bytes", "memory.max")
QUOTA = ("cpu.cfs_quota_us", "cpu.max")
SHARES = ("cpu.shares", "cpu.weight")


async def resize(one: NodeUnderTest, name: str, wanted: Mapping[str, tuple[Amounts, Amounts]]) -> core_v1.Pod:
    pod = await one.pods.get(Key("default", name))

    def of(containers: tuple[core_v1.Container, ...]) -> tuple[core_v1.Container, ...]:
        made = []
        for c in containers:
            requests, limits = wanted.get(c.name, (c.resources.requests, c.resources.limits))
            made.append(
                msgspec.structs.replace(c, resources=core_v1.ResourceRequirements(requests=requests, limits=limits))
            )
        return tuple(made)

    spec = msgspec.structs.replace(
        pod.spec, containers=of(pod.spec.containers), initContainers=of(pod.spec.initContainers)
    )
    return await one.pods.patch(pod, msgspec.structs.replace(pod, spec=spec), subresource="resize")


def done(wanted: Mapping[str, tuple[Amounts, Amounts]], generation: int):
    def holds(pod: core_v1.Pod | None) -> bool:
        if pod is None or pod.status.observedGeneration != generation or conditions(pod):
            return False
        has = {s.name: s for s in (*pod.status.containerStatuses, *pod.status.initContainerStatuses)}
        return all(
            (has[n].resources or core_v1.ResourceRequirements()).requests == requests
            and (has[n].resources or core_v1.ResourceRequirements()).limits == limits
            and has[n].allocatedResources == requests
            for n, (requests, limits) in wanted.items()
        )

    return holds


def conditions(pod: core_v1.Pod) -> dict[str, core_v1.PodCondition]:
    return {c.type: c for c in pod.status.conditions if c.type.startswith("PodResize")}


async def told(one: NodeUnderTest, name: str, reason: str) -> list[str]:
    async def there() -> bool:
        found = await one.client.of(core_v1.Event).list("default")
        return any(e.involvedObject.name == name and e.reason == reason for e in found.items)

    await until(there, f"event {reason}")
    found = await one.client.of(core_v1.Event).list("default")
    return [e.message for e in found.items if e.involvedObject.name == name and e.reason == reason]


def amounts(cpu: str, memory: str) -> Amounts:
    return {"cpu": cpu, "memory": memory}


async def test_requests_and_limits_change_in_running_containers(one: NodeUnderTest) -> None:
    first = container("a", amounts("50m", "32Mi"), amounts("100m", "64Mi"))
    second = container("b", amounts("50m", "32Mi"), amounts("100m", "64Mi"))
    third = container("c", {"cpu": "20m"}, {})
    await one.create("web", containers=(first, second, third))
    before = await one.until("web", running)
    wanted = {
        "a": (amounts("100m", "48Mi"), amounts("200m", "128Mi")),
        "b": (amounts("20m", "16Mi"), amounts("50m", "32Mi")),
        "c": (amounts("30m", "16Mi"), amounts("60m", "32Mi")),
    }
    asked = await resize(one, "web", wanted)
    assert asked.metadata.generation == 2
    pod = await one.until("web", done(wanted, 2))
    ids = {s.name: (s.containerID, s.restartCount) for s in pod.status.containerStatuses}
    assert ids == {s.name: (s.containerID, 0) for s in before.status.containerStatuses}
    assert group(one, pod, MEMORY, "a") == str(128 * MIB)
    assert group(one, pod, QUOTA, "b").split()[0] == "5000"
    assert group(one, pod, SHARES, "a") in ("102", "17")
    # Now every container has limits, so the Pod has them, too.
    assert group(one, pod, MEMORY) == str(192 * MIB)
    assert group(one, pod, QUOTA).split()[0] == "31000"
    assert (await told(one, "web", "ResizeStarted"))[0].startswith('Pod resize started: {"containers":[{"name":"a",')
    assert (await told(one, "web", "ResizeCompleted"))[0].endswith('"generation":2}')


async def test_the_pod_as_a_whole_is_resized_and_its_status_follows(one: NodeUnderTest) -> None:
    first = core_v1.ResourceRequirements(requests=amounts("200m", "64Mi"), limits=amounts("400m", "128Mi"))
    second = core_v1.ResourceRequirements(requests=amounts("100m", "32Mi"), limits=amounts("300m", "96Mi"))
    await one.create("web", containers=(container("c", {}, {}),), resources=first)
    pod = await one.until("web", running)
    assert (pod.status.allocatedResources, pod.status.resources) == (first.requests, first)
    asked = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, resources=second))
    await one.pods.patch(pod, asked, subresource="resize")
    pod = await one.until("web", lambda p: p is not None and p.status.resources == second and not conditions(p))
    assert pod.status.allocatedResources == second.requests
    assert group(one, pod, MEMORY) == str(96 * MIB)
    assert group(one, pod, QUOTA).split()[0] == "30000"
    # Of a Pod that says nothing for itself it is the sum of its containers.
    await one.create("sum", containers=(container("a", {"cpu": "50m"}, {}), container("b", {"cpu": "60m"}, {})))
    pod = await one.until("sum", running)
    both = {"cpu": "110m"}
    assert (pod.status.allocatedResources, pod.status.resources) == (both, core_v1.ResourceRequirements(requests=both))


async def test_an_init_container_is_resized_while_it_runs_and_only_told_of_when_it_has_ended(
    one: NodeUnderTest,
) -> None:
    first = container("i", amounts("50m", "32Mi"), amounts("100m", "64Mi"))
    first = msgspec.structs.replace(first, command=("sh", "-c", "until test -e /tmp/go; do sleep 0.1; done"))
    await one.create("web", containers=(container("c", {}, {}),), initContainers=(first,))

    def initializing(pod: core_v1.Pod | None) -> bool:
        return bool(pod and pod.status.initContainerStatuses and pod.status.initContainerStatuses[0].state.running)

    before = await one.until("web", initializing)
    run = before.status.initContainerStatuses[0].containerID.rpartition("/")[2]
    assert group(one, before, MEMORY, "i") == str(64 * MIB)
    larger = {"i": (amounts("60m", "48Mi"), amounts("200m", "128Mi"))}
    await resize(one, "web", larger)
    await one.until("web", done(larger, 2))
    assert group(one, before, MEMORY, "i") == str(128 * MIB)
    await one.runtime.exec(run, ("touch", "/tmp/go"), 5.0)
    await one.until("web", running)
    smaller = {"i": (amounts("50m", "32Mi"), amounts("100m", "64Mi"))}
    await resize(one, "web", smaller)
    pod = await one.until("web", done(smaller, 3))
    assert pod.status.initContainerStatuses[0].restartCount == 0


async def test_equivalent_requests_are_shown_as_they_were_asked(one: NodeUnderTest) -> None:
    await one.create("web", containers=(container("c", {"cpu": "2m"}, {"cpu": "10m"}),))
    await one.until("web", running)
    for generation, (request, limit) in ((2, ("1m", "5m")), (3, ("2m", "10m"))):
        wanted = {"c": ({"cpu": request}, {"cpu": limit})}
        await resize(one, "web", wanted)
        await one.until("web", done(wanted, generation))


async def test_a_container_that_must_restart_for_it_does_and_no_other(one: NodeUnderTest) -> None:
    policy = (
        core_v1.ContainerResizePolicy(resourceName="cpu", restartPolicy="NotRequired"),
        core_v1.ContainerResizePolicy(resourceName="memory", restartPolicy="RestartContainer"),
    )
    tender = container("tender", amounts("50m", "32Mi"), amounts("100m", "64Mi"), resizePolicy=policy)
    other = container("other", amounts("50m", "32Mi"), amounts("100m", "64Mi"))
    await one.create("web", containers=(tender, other))
    await one.until("web", running)
    wanted = {"tender": (amounts("60m", "32Mi"), amounts("100m", "64Mi"))}
    await resize(one, "web", wanted)
    pod = await one.until("web", done(wanted, 2))
    assert [s.restartCount for s in pod.status.containerStatuses] == [0, 0]
    wanted = {"tender": (amounts("60m", "16Mi"), amounts("100m", "48Mi"))}
    await resize(one, "web", wanted)
    pod = await one.until("web", done(wanted, 3))
    assert {s.name: s.restartCount for s in pod.status.containerStatuses} == {"tender": 1, "other": 0}
    assert group(one, pod, MEMORY, "tender") == str(48 * MIB)
    assert group(one, pod, MEMORY) == str(112 * MIB)
    assert "Container tender resize requires restart" in await told(one, "web", "Killing")


async def test_what_the_node_does_not_have_now_waits_until_somebody_goes(one: NodeUnderTest) -> None:
    assert one.kubelet is not None
    have = amount("cpu", one.kubelet.node.allocatable()["cpu"])
    await one.create("other", containers=(container("c", {"cpu": f"{have - 500}m"}, {}),))
    await one.create("web", containers=(container("c", {"cpu": "100m"}, {}),))
    for name in ("other", "web"):
        await one.until(name, running)
    await resize(one, "web", {"c": ({"cpu": "1"}, {})})
    pod = await one.until("web", lambda p: p is not None and "PodResizePending" in conditions(p))
    pending = conditions(pod)["PodResizePending"]
    numbers = f"cpu, requested: 1000, used: {have - 500}, capacity: {have}"
    assert (pending.status, pending.reason, pending.message, pending.observedGeneration) == (
        "True",
        "Deferred",
        f"Node didn't have enough resource: {numbers}",
        2,
    )
    assert pod.status.containerStatuses[0].allocatedResources == {"cpu": "100m"}
    assert group(one, pod, SHARES) in ("102", "17")
    assert numbers in (await told(one, "web", "ResizeDeferred"))[0]
    await one.pods.delete(Key("default", "other"), grace=0)
    pod = await one.until("web", done({"c": ({"cpu": "1"}, {})}, 2))
    assert group(one, pod, SHARES) in ("1024", "100")


async def test_what_waits_can_be_taken_back(one: NodeUnderTest) -> None:
    assert one.kubelet is not None
    have = amount("cpu", one.kubelet.node.allocatable()["cpu"])
    await one.create("other", containers=(container("c", {"cpu": f"{have - 500}m"}, {}),))
    await one.create("web", containers=(container("c", {"cpu": "100m"}, {}),))
    for name in ("other", "web"):
        await one.until(name, running)
    await resize(one, "web", {"c": ({"cpu": "1"}, {})})
    await one.until("web", lambda p: p is not None and "PodResizePending" in conditions(p))
    await resize(one, "web", {"c": ({"cpu": "100m"}, {})})
    await one.until("web", done({"c": ({"cpu": "100m"}, {})}, 3))


async def test_a_memory_limit_below_what_is_used_is_an_error_until_it_is_free(one: NodeUnderTest) -> None:
    # tmpfs counts as the Pod's memory, and is freed when the file goes.
    memory = core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource(medium="Memory"))
    fills = "dd if=/dev/zero of=/v/f bs=1M count=40 2>/dev/null; while [ ! -e /v/free ]; do sleep 0.1; done"
    hungry = container("c", amounts("50m", "32Mi"), amounts("200m", "96Mi"))
    hungry = msgspec.structs.replace(
        hungry,
        command=("sh", "-c", f"{fills}; rm /v/f; exec sleep 1000"),
        volumeMounts=(core_v1.VolumeMount(name="v", mountPath="/v"),),
    )
    await one.create("web", containers=(hungry,), volumes=(memory,))
    pod = await one.until("web", running)
    file = one.folder / "kubelet" / "pods" / pod.metadata.uid / "volumes" / "kubernetes.io~empty-dir" / "v" / "f"

    async def full() -> bool:
        return file.exists() and file.stat().st_size == 40 * MIB

    await until(full, "40 MiB in memory")
    wanted = {"c": (amounts("50m", "16Mi"), amounts("200m", "24Mi"))}
    await resize(one, "web", wanted)
    pod = await one.until(
        "web", lambda p: p is not None and getattr(conditions(p).get("PodResizeInProgress"), "reason", "") == "Error"
    )
    said = conditions(pod)["PodResizeInProgress"].message
    assert said.startswith(
        f"cannot decrease memory limits: [attempting to set pod memory limit ({24 * MIB}) below current"
    )
    assert f'attempting to set container "c" memory limit ({24 * MIB}) below current usage (' in said
    assert pod.status.containerStatuses[0].resources is not None
    assert pod.status.containerStatuses[0].resources.limits["memory"] == "96Mi"
    assert group(one, pod, MEMORY, "c") == str(96 * MIB)
    (file.parent / "free").touch()
    pod = await one.until("web", done(wanted, 2), timeout=40.0)
    assert group(one, pod, MEMORY, "c") == str(24 * MIB)
    assert pod.status.containerStatuses[0].restartCount == 0


async def test_a_kubelet_that_comes_back_finishes_what_was_asked_meanwhile(one: NodeUnderTest) -> None:
    await one.create("web", containers=(container("c", {"cpu": "100m"}, {"cpu": "200m"}),))
    before = await one.until("web", running)
    await one.stop_kubelet()
    wanted = {"c": ({"cpu": "200m"}, {"cpu": "300m"})}
    await resize(one, "web", wanted)
    await one.start_kubelet()
    pod = await one.until("web", done(wanted, 2))
    assert group(one, pod, QUOTA, "c").split()[0] == "30000"
    assert pod.status.containerStatuses[0].containerID == before.status.containerStatuses[0].containerID
