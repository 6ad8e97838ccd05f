"""Pods on a real containerd: their whole life, what goes wrong with them, and what is left of them."""

import asyncio
from pathlib import Path

import pytest
from bench._containerd import IMAGE
from bench._node import NODE, NodeUnderTest, gone, running
from tests.node.cri import until

from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, core_v1, meta_v1

pytestmark = pytest.mark.root


def terminated(pod: core_v1.Pod | None) -> core_v1.ContainerStateTerminated | None:
    return pod.status.containerStatuses[0].state.terminated if pod and pod.status.containerStatuses else None


def waiting(reason: str, container: int = 0):
    def holds(pod: core_v1.Pod | None) -> bool:
        if pod is None or len(pod.status.containerStatuses) <= container:
            return False
        state = pod.status.containerStatuses[container].state
        return state.waiting is not None and state.waiting.reason == reason

    return holds


async def events(one: NodeUnderTest, name: str, reason: str) -> list[str]:
    for _ in range(100):
        found = await one.client.of(core_v1.Event).list("default")
        texts = [e.message for e in found.items if e.involvedObject.name == name and e.reason == reason]
        if texts:
            return texts
        await asyncio.sleep(0.02)
    return []


def configured(name: str, **fields: object) -> core_v1.Container:
    return core_v1.Container(**{"name": name, "image": IMAGE, "command": ("sleep", "1000"), **fields})


async def test_a_pod_that_wants_a_cluster_dns_where_there_is_none_is_told_and_its_node_too(one: NodeUnderTest) -> None:
    await one.create("web", dnsPolicy="ClusterFirstWithHostNet")
    await one.until("web", running)

    async def told() -> bool:
        found = (await one.client.of(core_v1.Event).list()).items
        return {e.involvedObject.kind for e in found if e.reason == "MissingClusterDNS"} == {"Pod", "Node"}

    await until(told, "MissingClusterDNS of the Pod and of the Node")


async def test_a_pod_runs_and_leaves_nothing_when_deleted(one: NodeUnderTest) -> None:
    await one.create("web")
    pod = await one.until("web", running)
    status = pod.status.containerStatuses[0]
    assert pod.status.phase == "Running"
    assert pod.status.podIP == "127.0.0.1"
    assert status.ready
    assert status.restartCount == 0
    listed = {f"containerd://{c.id}" for c in await one.runtime.containers(pod.metadata.uid)}
    assert {status.containerID} == listed
    groups = [f for f in one.containerd.cgroup.folders() if list(f.glob(f"kubepods/*/pod{pod.metadata.uid}"))]
    assert len(groups) == len(one.containerd.cgroup.folders())
    await one.pods.delete(Key("default", "web"), grace=1)
    await one.until("web", gone)
    assert one.kubelet is not None
    workers = one.kubelet.workers
    await until(lambda: not workers, "nothing left")
    assert not await one.runtime.sandboxes(pod.metadata.uid)
    assert not [f for f in one.containerd.cgroup.folders() if list(f.glob(f"kubepods/*/pod{pod.metadata.uid}"))]
    assert not (one.folder / "kubelet" / "pods" / pod.metadata.uid).exists()
    assert not list((one.folder / "pods").iterdir())


async def test_the_node_says_what_it_is_and_renews_its_lease(one: NodeUnderTest) -> None:
    node = await one.client.of(core_v1.Node).get(NODE)
    assert node.metadata.labels["kubernetes.io/hostname"] == NODE
    assert node.metadata.labels["kubernetes.io/os"] == "linux"
    ready = next(c for c in node.status.conditions if c.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "KubeletNotReady")
    assert ready.message == (
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"
        " message:Network plugin returns error: cni plugin not initialized"
    )
    assert node.status.nodeInfo.containerRuntimeVersion.startswith("containerd://1.")
    leases = one.client.of(coordination_v1.Lease)
    for _ in range(100):
        found = await leases.list("kube-node-lease")
        if found.items:
            break
        await asyncio.sleep(0.05)
    assert found.items[0].spec.holderIdentity == NODE
    assert found.items[0].metadata.ownerReferences[0].uid == node.metadata.uid


async def test_a_pod_that_ends_is_succeeded_and_keeps_its_log(one: NodeUnderTest) -> None:
    await one.create("job", "sh", "-c", "echo done; echo why > /dev/termination-log", restartPolicy="Never")
    pod = await one.until("job", lambda p: p is not None and p.status.phase == "Succeeded")
    ended = terminated(pod)
    assert ended is not None
    assert (ended.exitCode, ended.reason, ended.message) == (0, "Completed", "why\n")
    log = one.folder / "pods" / f"default_job_{pod.metadata.uid}" / "c" / "0.log"
    assert log.read_text().endswith("stdout F done\n")


async def test_a_crash_loop_restarts_at_once_then_waits_ten_seconds(one: NodeUnderTest) -> None:
    await one.create("crash", "sh", "-c", "exit 3")
    pod = await one.until("crash", waiting("CrashLoopBackOff"))
    status = pod.status.containerStatuses[0]
    assert status.restartCount == 1
    assert status.lastState.terminated is not None
    assert status.lastState.terminated.exitCode == 3
    where = f"container=c pod=crash_default({pod.metadata.uid})"
    assert status.state.waiting is not None
    assert status.state.waiting.message == f"back-off 10s restarting failed {where}"
    assert await events(one, "crash", "BackOff") == [
        f"Back-off restarting failed container c in pod crash_default({pod.metadata.uid})"
    ]


async def test_init_containers_run_first_and_share_a_volume(one: NodeUnderTest) -> None:
    mount = (core_v1.VolumeMount(name="shared", mountPath="/shared"),)
    await one.create(
        "pair",
        volumes=(core_v1.Volume(name="shared", emptyDir=core_v1.EmptyDirVolumeSource()),),
        initContainers=(configured("first", command=("sh", "-c", "echo hello > /shared/file"), volumeMounts=mount),),
        containers=(configured("c", command=("cat", "/shared/file"), volumeMounts=mount),),
        restartPolicy="Never",
    )
    pod = await one.until("pair", lambda p: p is not None and p.status.phase == "Succeeded")
    assert "hello" in (one.folder / "pods" / f"default_pair_{pod.metadata.uid}" / "c" / "0.log").read_text()


async def test_configuration_reaches_files_and_environment(one: NodeUnderTest) -> None:
    meta = meta_v1.ObjectMeta(name="config", namespace="default")
    await one.client.of(core_v1.ConfigMap).create(core_v1.ConfigMap(metadata=meta, data={"key": "value"}))
    reference = core_v1.ConfigMapKeySelector(name="config", key="key")
    env = (
        core_v1.EnvVar(name="FROM_MAP", valueFrom=core_v1.EnvVarSource(configMapKeyRef=reference)),
        core_v1.EnvVar(name="BOTH", value="$(FROM_MAP)-$(UNKNOWN)"),
    )
    source = core_v1.ConfigMapVolumeSource(name="config")
    await one.create(
        "reader",
        volumes=(core_v1.Volume(name="v", configMap=source),),
        containers=(
            configured(
                "c",
                command=("sh", "-c", "echo $BOTH; cat /etc/config/key"),
                env=env,
                volumeMounts=(core_v1.VolumeMount(name="v", mountPath="/etc/config"),),
            ),
        ),
        restartPolicy="Never",
    )
    pod = await one.until("reader", lambda p: p is not None and p.status.phase == "Succeeded")
    log = (one.folder / "pods" / f"default_reader_{pod.metadata.uid}" / "c" / "0.log").read_text()
    assert "value-$(UNKNOWN)" in log
    assert log.rstrip().endswith("value")


async def test_a_missing_configuration_is_waited_for(one: NodeUnderTest) -> None:
    secret = core_v1.SecretKeySelector(name="late", key="k")
    env = (core_v1.EnvVar(name="A", valueFrom=core_v1.EnvVarSource(secretKeyRef=secret)),)
    await one.create("early", containers=(configured("c", env=env),))
    pod = await one.until("early", waiting("CreateContainerConfigError"))
    assert pod.status.phase == "Pending"
    meta = meta_v1.ObjectMeta(name="late", namespace="default")
    await one.client.of(core_v1.Secret).create(core_v1.Secret(metadata=meta, data={"k": "dmFsdWU="}))
    await one.until("early", running)


async def test_an_image_that_cannot_be_had_says_why(one: NodeUnderTest) -> None:
    await one.create("no-registry", containers=(configured("c", image="127.0.0.1:9/none:1"),))
    await one.create("never", containers=(configured("c", image="absent:1", imagePullPolicy="Never"),))
    await one.create("wrong", containers=(configured("c", image="Wrong Name"),))
    pod = await one.until("no-registry", waiting("ImagePullBackOff"))
    message = pod.status.containerStatuses[0].state.waiting
    assert message is not None
    assert message.message.startswith('Back-off pulling image "127.0.0.1:9/none:1": ErrImagePull: rpc error')
    await one.until("never", waiting("ErrImageNeverPull"))
    await one.until("wrong", waiting("InvalidImageName"))
    assert (await events(one, "never", "Failed")) == ["Error: ErrImageNeverPull"]


async def test_a_volume_type_that_is_not_known_is_an_event(one: NodeUnderTest) -> None:
    volume = core_v1.Volume(name="v", nfs=core_v1.NFSVolumeSource(server="x", path="/"))
    await one.create("odd", volumes=(volume,))
    found = await events(one, "odd", "FailedMount")
    assert found[0] == (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]:"
        ' failed to get Plugin from volumeSpec for volume "v" err=no volume plugin matched'
    )
    await one.until("odd", waiting("ContainerCreating"))


async def test_a_pod_whose_devices_nobody_prepares_is_refused(one: NodeUnderTest) -> None:
    claims = (core_v1.PodResourceClaim(name="gpu", resourceClaimName="mine"),)
    await one.create("gpu", resourceClaims=claims)
    pod = await one.until("gpu", lambda p: p is not None and p.status.phase == "Failed")
    said = "Pod requires node features that are not available: DynamicResourceAllocation"
    assert (pod.status.reason, pod.status.message) == ("PodFeatureUnsupported", f"Pod was rejected: {said}")
    assert await events(one, "gpu", "PodFeatureUnsupported") == [said]


async def test_what_does_not_fit_is_refused(one: NodeUnderTest) -> None:
    huge = core_v1.ResourceRequirements(requests={"cpu": "500"})
    await one.create("huge", containers=(configured("c", resources=huge),))
    pod = await one.until("huge", lambda p: p is not None and p.status.phase == "Failed")
    assert pod.status.reason == "OutOfcpu"
    assert (pod.status.hostIP, pod.status.conditions) == ("", ())
    assert "Node didn't have enough resource: cpu, requested: 500000, used: 0, capacity:" in pod.status.message


async def test_the_deadline_of_a_pod_ends_it(one: NodeUnderTest) -> None:
    await one.create("late", activeDeadlineSeconds=1)
    pod = await one.until("late", lambda p: p is not None and p.status.phase == "Failed")
    assert pod.status.reason == "DeadlineExceeded"


async def test_probes_decide_on_ready_and_restart(one: NodeUnderTest) -> None:
    ready = core_v1.Probe(exec=core_v1.ExecAction(command=("cat", "/tmp/ready")), periodSeconds=1)
    live = core_v1.Probe(
        exec=core_v1.ExecAction(command=("test", "!", "-e", "/tmp/sick")), periodSeconds=1, failureThreshold=1
    )
    script = (
        "touch /tmp/ready; [ -e /dev/shm/again ] || { touch /dev/shm/again; sleep 1; touch /tmp/sick; }; sleep 1000"
    )
    container = configured("c", command=("sh", "-c", script), readinessProbe=ready, livenessProbe=live)
    await one.create("probed", containers=(container,))
    pod = await one.until("probed", lambda p: bool(p and running(p) and p.status.containerStatuses[0].restartCount))
    assert pod.status.containerStatuses[0].restartCount == 1
    assert "Container c failed liveness probe, will be restarted" in await events(one, "probed", "Killing")


async def what_a_prestop_writes(one: NodeUnderTest, tmp_path: Path, script: str) -> str:
    """What the preStop hook of a Pod that is deleted with three seconds of grace has put into /out/file."""
    hook = core_v1.LifecycleHandler(exec=core_v1.ExecAction(command=("sh", "-c", script)))
    out = tmp_path / "out"
    out.mkdir(mode=0o777)
    container = configured(
        "c",
        lifecycle=core_v1.Lifecycle(preStop=hook),
        volumeMounts=(core_v1.VolumeMount(name="out", mountPath="/out"),),
    )
    volume = core_v1.Volume(name="out", hostPath=core_v1.HostPathVolumeSource(path=str(out)))
    await one.create("hooked", containers=(container,), volumes=(volume,))
    await one.until("hooked", running)
    await one.pods.delete(Key("default", "hooked"), grace=3)
    await one.until("hooked", gone)
    return (out / "file").read_text()


async def test_prestop_runs_before_the_end_and_within_the_grace(one: NodeUnderTest, tmp_path: Path) -> None:
    written = await what_a_prestop_writes(one, tmp_path, "echo stopped > /out/file")
    assert written == "stopped\n"


async def test_a_prestop_that_does_not_end_lives_as_long_as_its_container(one: NodeUnderTest, tmp_path: Path) -> None:
    written = await what_a_prestop_writes(one, tmp_path, "while :; do date +%s >> /out/file; sleep 0.1; done")
    ticks = [int(line) for line in written.split()]
    # Three seconds of grace, and the two that TERM gets at least, which this container (a first process) does not hear
    assert ticks[-1] - ticks[0] >= 4
    assert await events(one, "hooked", "FailedPreStopHook") == ["PreStopHook failed"]


async def test_a_prestop_that_sleeps_ends_with_a_pod_that_is_removed_by_force(one: NodeUnderTest) -> None:
    hook = core_v1.LifecycleHandler(sleep=core_v1.SleepAction(seconds=999))
    container = configured("c", lifecycle=core_v1.Lifecycle(preStop=hook))
    pod = await one.create("hooked", containers=(container,), terminationGracePeriodSeconds=1000)
    await one.until("hooked", running)
    await one.pods.delete(Key("default", "hooked"))
    assert await events(one, "hooked", "Killing")
    await one.pods.delete(Key("default", "hooked"), grace=0)
    await one.emptied()
    assert one.kubelet is not None
    folder = one.folder / "kubelet" / "pods" / pod.metadata.uid
    await until(lambda: not folder.exists(), "the Pod is forgotten")


async def test_every_containers_log_has_a_link_in_one_folder(one: NodeUnderTest) -> None:
    await one.create("web", "sh", "-c", "echo hello; sleep 1000")
    pod = await one.until("web", running)
    id = pod.status.containerStatuses[0].containerID.removeprefix("containerd://")
    link = one.folder / "containers" / f"web_default_c-{id}.log"
    assert link.resolve() == one.folder / "pods" / f"default_web_{pod.metadata.uid}" / "c" / "0.log"
    await until(lambda: "hello" in link.read_text(), "logged")
    await one.pods.delete(Key("default", "web"))
    await one.until("web", gone)
    await until(lambda: not link.is_symlink(), "removed")


async def test_changed_annotations_are_in_the_downward_volume_at_once(one: NodeUnderTest) -> None:
    item = core_v1.DownwardAPIVolumeFile(
        path="a", fieldRef=core_v1.ObjectFieldSelector(fieldPath="metadata.annotations")
    )
    volume = core_v1.Volume(name="v", downwardAPI=core_v1.DownwardAPIVolumeSource(items=(item,)))
    pod = await one.create("web", volumes=(volume,))
    await one.until("web", running)
    await one.pods.patch_raw(Key("default", "web"), {"metadata": {"annotations": {"k": "v"}}})
    folder = one.folder / "kubelet" / "pods" / pod.metadata.uid / "volumes" / "kubernetes.io~downward-api" / "v"
    await until(lambda: 'k="v"' in (folder / "a").read_text(), "refreshed", timeout=5)
