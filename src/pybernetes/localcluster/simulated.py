"""Simulated nodes: Nodes and Pods that live in the API only. Pods become Running and Ready, or are gone when deleted.

For clusters without root or containerd, for tests and for huge clusters. Everything says so: nodes carry the label
`pybernetes.io/simulated=true` and report the container runtime `simulated://`. One watch serves all nodes.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Sequence

from msgspec.structs import replace

from pybernetes import KUBERNETES_VERSION
from pybernetes.aio.clock import Clock, rfc3339, rfc3339_micro
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.objects import Key
from pybernetes.api.types import coordination_v1, core_v1, meta_v1
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client, key_of
from pybernetes.rules.nodefeatures import RESTART_ALL

log = logging.getLogger(__name__)

LABEL = "pybernetes.io/simulated"
RENEW = 10.0
"""Seconds between renewals of a node's Lease, as the kubelet's."""
STATUS = 300.0
"""Seconds between heartbeats in the Node's status."""
_RETRY = 1.0
_CAPACITY = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "simulated: no container runs on this node"),
)


class SimulatedNodes:
    """Nodes named `names`, kept alive by run() until it is cancelled."""

    def __init__(
        self,
        client: Client,
        names: Sequence[str],
        *,
        first_address: str = "198.18.0.1",
        first_pod: str = "198.19.0.1",
    ) -> None:
        self._client = client
        self._clock = client.clock
        start = ipaddress.IPv4Address(first_address)
        self._addresses = {name: str(start + number) for number, name in enumerate(names)}
        self._pods = client.of(core_v1.Pod)
        self._informers = Informers(client)
        self._pending: asyncio.Queue[Key] = asyncio.Queue()
        self._next_pod = ipaddress.IPv4Address(first_pod)

    async def run(self) -> None:
        """Registers the nodes and plays kubelet for each."""
        pods = self._informers.of(core_v1.Pod)
        pods.on_change(lambda old, new: self._note(new))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run(), name="simulated.informers")
            group.create_task(self._heartbeats(), name="simulated.heartbeats")
            group.create_task(self._serve_pods(), name="simulated.pods")

    def _note(self, pod: core_v1.Pod | None) -> None:
        # What was written off waits for a heartbeat: before that, the node lifecycle controller would do so again.
        if pod is not None and pod.spec.nodeName in self._addresses and not _written_off(pod):
            self._pending.put_nowait(key_of(pod))

    async def _serve_pods(self) -> None:
        cache = self._informers.of(core_v1.Pod).cache
        while True:
            key = await self._pending.get()
            pod = cache.get(key)
            if pod is None:
                continue
            try:
                await self._advance(pod)
            except NotFound:
                continue
            except (ApiError, OSError) as error:
                log.warning("simulated pod not served pod=%s error=%s", key, error)
                asyncio.get_running_loop().call_later(_RETRY, self._pending.put_nowait, key)

    async def _advance(self, pod: core_v1.Pod) -> None:
        """Starts a new Pod, ends one that is to be deleted, and says Ready again what was written off meanwhile."""
        key = key_of(pod)
        if pod.metadata.deletionTimestamp:
            await self._pods.delete(key, grace=0, uid=pod.metadata.uid)
        elif pod.status.phase in ("", "Pending"):
            self._next_pod += 1
            running = running_status(pod, self._addresses[pod.spec.nodeName], str(self._next_pod), self._clock)
            await self._pods.patch(pod, replace(pod, status=running), subresource="status")
        elif _written_off(pod):
            running = running_status(pod, self._addresses[pod.spec.nodeName], pod.status.podIP, self._clock)
            await self._pods.patch(pod, replace(pod, status=running), subresource="status")

    async def _heartbeats(self) -> None:
        leases = 0.0
        due = 0.0
        while True:
            now = self._clock.monotonic()
            try:
                if now >= due:
                    await asyncio.gather(*(self._beat(name) for name in self._addresses))
                    due = now + STATUS
                await asyncio.gather(*(self._renew(name) for name in self._addresses))
                leases = RENEW
                self._look_again()
            except (ApiError, OSError) as error:
                log.warning("simulated nodes have no heartbeat error=%s", error)
                leases = _RETRY
            await self._clock.sleep(leases)

    def _look_again(self) -> None:
        """Pods that were written off while their node was away, as a kubelet finds them at its next look."""
        for pod in self._informers.of(core_v1.Pod).cache:
            if pod.spec.nodeName in self._addresses and _written_off(pod):
                self._pending.put_nowait(key_of(pod))

    async def _beat(self, name: str) -> None:
        """Registers the node where it is not there, and writes its status."""
        nodes = self._client.of(core_v1.Node)
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            LABEL: "true",
        }
        node = core_v1.Node(metadata=meta_v1.ObjectMeta(name=name, labels=labels))
        try:
            node = await nodes.create(node)
        except AlreadyExists:
            node = await nodes.get(name)
        await nodes.patch(node, replace(node, status=self._node_status(node, name)), subresource="status")

    def _node_status(self, node: core_v1.Node, name: str) -> core_v1.NodeStatus:
        now = rfc3339(self._clock.now())
        before = {condition.type: condition for condition in node.status.conditions}
        conditions = []
        for kind, status, reason, message in _HEALTHY:
            old = before.get(kind)
            since = old.lastTransitionTime if old and old.status == status else now
            conditions.append(
                core_v1.NodeCondition(
                    type=kind,
                    status=status,
                    reason=reason,
                    message=message,
                    lastHeartbeatTime=now,
                    lastTransitionTime=since,
                )
            )
        info = core_v1.NodeSystemInfo(
            kubeletVersion=KUBERNETES_VERSION,
            containerRuntimeVersion="simulated://1",
            operatingSystem="linux",
            architecture="amd64",
            osImage="simulated",
            kernelVersion="simulated",
        )
        addresses = (
            core_v1.NodeAddress(type="InternalIP", address=self._addresses[name]),
            core_v1.NodeAddress(type="Hostname", address=name),
        )
        return replace(
            node.status,
            capacity=_CAPACITY,
            allocatable=_CAPACITY,
            conditions=tuple(conditions),
            addresses=addresses,
            nodeInfo=info,
            declaredFeatures=(RESTART_ALL,),  # no container ever ends here
        )

    async def _renew(self, name: str) -> None:
        leases = self._client.of(coordination_v1.Lease)
        now = rfc3339_micro(self._clock.now())
        spec = coordination_v1.LeaseSpec(holderIdentity=name, leaseDurationSeconds=40, renewTime=now)
        metadata = meta_v1.ObjectMeta(name=name, namespace="kube-node-lease")
        try:
            lease = await leases.get(Key("kube-node-lease", name))
            await leases.update(replace(lease, spec=spec))
        except NotFound:
            await leases.create(coordination_v1.Lease(metadata=metadata, spec=spec))


def _written_off(pod: core_v1.Pod) -> bool:
    """Whether the node lifecycle controller has said of a running Pod that it is not ready."""
    unready = any(c.type == "Ready" and c.status != "True" for c in pod.status.conditions)
    return unready and pod.status.phase == "Running" and not pod.metadata.deletionTimestamp


def running_status(pod: core_v1.Pod, host: str, address: str, clock: Clock) -> core_v1.PodStatus:
    """The status of a Pod all of whose containers and sidecars are ready; the other init containers are done."""
    now = rfc3339(clock.now())
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    before = {condition.type: condition for condition in pod.status.conditions}
    conditions = tuple(
        before[kind]
        if kind in before and before[kind].status == "True"
        else core_v1.PodCondition(type=kind, status="True", lastTransitionTime=now)
        for kind in kinds
    )
    running = core_v1.ContainerState(running=core_v1.ContainerStateRunning(startedAt=now))
    done = core_v1.ContainerState(
        terminated=core_v1.ContainerStateTerminated(exitCode=0, reason="Completed", startedAt=now, finishedAt=now)
    )

    def status(container: core_v1.Container, state: core_v1.ContainerState) -> core_v1.ContainerStatus:
        identity = f"simulated://{pod.metadata.uid}/{container.name}"
        return core_v1.ContainerStatus(
            name=container.name, image=container.image, imageID="", ready=True, started=True, state=state,
            containerID=identity,
        )  # fmt: skip

    return replace(
        pod.status,
        phase="Running",
        conditions=conditions,
        hostIP=host,
        hostIPs=(core_v1.HostIP(ip=host),),
        podIP=address,
        podIPs=(core_v1.PodIP(ip=address),),
        startTime=now,
        containerStatuses=tuple(status(container, running) for container in pod.spec.containers),
        initContainerStatuses=tuple(
            status(container, running if container.restartPolicy == "Always" else done)
            for container in pod.spec.initContainers
        ),
    )
