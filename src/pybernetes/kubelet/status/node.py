"""The Node object: registration with the well-known labels, capacity, conditions, images; patched when it changes.

See "Node Status". Only own fields are patched: volumesAttached and foreign conditions are others'. capacity.py and
conditions.py say what is in it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import Clock
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.events import EventRecorder
from pybernetes.client.rest import Client
from pybernetes.kubelet import host
from pybernetes.kubelet.cri.model import Handler, Image, Runtime, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.status.capacity import DISK, HUGE, allocatable, capacity
from pybernetes.kubelet.status.conditions import conditions, without_heartbeats
from pybernetes.kubelet.status.labels import LABELS, labels
from pybernetes.kubelet.status.machine import Machine, read_machine
from pybernetes.kubelet.status.network_folder import NetworkFolder
from pybernetes.rules.nodefeatures import RESTART_ALL

log = logging.getLogger(__name__)

_LOOK = 0.1
"""Seconds until the first look after a change; while something is wrong, each further pause is twice as long."""
_LOOK_BLIND = 1.0
"""The longest pause while nobody tells when it gets better."""
_LOOK_READY = 5.0
_LIST_IMAGES = 10.0
_MAX_NAMES = 5
DECLARED = (
    "GuaranteedQoSPodCPUResize",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    RESTART_ALL,
)
"""What Pods and their updates may need of a node and this one has (KEP-5328), by upstream's names; sorted."""
_MANAGED_ATTACH = "volumes.kubernetes.io/controller-managed-attach-detach"
_PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
_UNINITIALIZED = core_v1.Taint(
    key="node.cloudprovider.kubernetes.io/uninitialized", value="true", effect="NoSchedule"
)  # fmt: skip


class RuntimeHealth(Struct, frozen=True):
    """What is wrong with the runtime and with the pod network; empty where nothing is."""

    runtime: str = "container runtime is down"
    network: str = ""
    version: str = ""


def image_list(images: Sequence[Image], most: int) -> tuple[core_v1.ContainerImage, ...]:
    """The largest first, `most` of them (-1: all); at most 5 names each, digests before tags."""
    largest = sorted(images, key=lambda i: (-i.size, i.id))
    return tuple(
        core_v1.ContainerImage(names=(*i.digests, *i.tags)[:_MAX_NAMES], sizeBytes=i.size)
        for i in (largest if most < 0 else largest[:most])
    )


def is_extended(name: str) -> bool:
    """Whether a resource is somebody's own: `example.com/dongle`."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and not (domain == "kubernetes.io" or domain.endswith(".kubernetes.io"))


def _handler(handler: Handler) -> core_v1.NodeRuntimeHandler:
    features = core_v1.NodeRuntimeHandlerFeatures(
        recursiveReadOnlyMounts=handler.recursive_read_only, userNamespaces=handler.user_namespaces
    )
    return core_v1.NodeRuntimeHandler(name=handler.name, features=features)


class NodeReporter:
    """Registers the node and keeps its status. `health` is what the last look at the runtime found."""

    def __init__(
        self, client: Client, runtime: Runtime, settings: Settings, clock: Clock, events: EventRecorder
    ) -> None:
        self.health = RuntimeHealth()
        self.handlers: tuple[Handler, ...] = ()
        """What the runtime's handlers can, as far as it says so."""
        self.groups_policy = False
        self.node: core_v1.Node | None = None
        self.registered = asyncio.Event()
        self.pressures: Callable[[], Collection[str]] = tuple
        """Conditions that hold now: `MemoryPressure`, `DiskPressure`, `PIDPressure`. `wake()` when they change."""
        self.unready: Callable[[], str] = str
        """Why the node is not ready although its runtime is; empty where it is."""
        self.volumes_in_use: Callable[[], Sequence[str]] = tuple
        """Unique names of attachable volumes that Pods here use."""
        self._nodes = client.of(core_v1.Node)
        self._runtime = runtime
        self._settings = settings
        self._config = settings.config
        self._clock = clock
        self._events = events
        self._machine: Machine | None = None
        self._images: tuple[core_v1.ContainerImage, ...] = ()
        self._listed = -_LIST_IMAGES
        self._reported = -self._config.node_status_report_frequency
        self._computed = -self._config.node_status_update_frequency
        self._woken = asyncio.Event()
        self._network = NetworkFolder(runtime)
        self._pause = _LOOK
        self._told = False
        """The API server knows the last status that was computed."""
        self._schedulable = True

    def wake(self) -> None:
        """Something that the status shows has changed: report it now."""
        self._woken.set()

    def seen(self, _: core_v1.Node | None, now: core_v1.Node | None) -> None:
        """How the Node is now, of a watch: what others have written there, as the control plane does about a node that it
        has not heard of, is put right by the next report."""
        if now is not None and self.node is not None and _revision(now) > _revision(self.node):
            self.node = now

    async def run(
        self, taints: Sequence[core_v1.Taint], extra_labels: dict[str, str], changed: Callable[[], None]
    ) -> None:
        """Registers, then looks and reports until cancelled. `changed` is called when the runtime's health changes."""
        self._begin()
        await self._look(changed)
        wanted = self._wanted(taints, extra_labels)
        try:
            await self._register(wanted, changed)
            while True:
                try:
                    await self._report()
                except NotFound:
                    await self._register(wanted, changed)
                    continue
                except (ApiError, OSError) as error:
                    log.warning("cannot report node status node=%s error=%s", self._settings.node_name, error)
                await self._rest()
                await self._look(changed)
        finally:
            self._network.close()

    async def watch(self, changed: Callable[[], None]) -> None:
        """Of a node without an API server: only looks."""
        self._begin()
        try:
            while True:
                self._woken.clear()
                await self._look(changed)
                await self._rest()
        finally:
            self._network.close()

    def _begin(self) -> None:
        self._tell("Normal", "Starting", "Starting kubelet.")
        for reason, message in host.warnings_of(self._config):
            self._tell("Warning", reason, message)

    async def _rest(self) -> None:
        """Until it is time to look again, the network's configuration changes, or somebody wakes it."""
        sleep = asyncio.ensure_future(self._clock.sleep(self._next()))
        woken = asyncio.ensure_future(self._woken.wait())
        network = asyncio.ensure_future(self._network.changed())
        try:
            await asyncio.wait({sleep, woken, network}, return_when=asyncio.FIRST_COMPLETED)
            if network.done():
                self._pause = _LOOK  # the runtime is told of the change at the same moment: it may take it in yet
        finally:
            for task in (sleep, woken, network):
                task.cancel()

    def _next(self) -> float:
        """Seconds until the next look."""
        if not (self.health.runtime or self.health.network):
            return _LOOK_READY
        pause = self._pause
        blind = bool(self.health.runtime) or not self._network.followed
        self._pause = min(2 * pause, _LOOK_BLIND if blind else _LOOK_READY)
        return pause

    def _tell(self, kind: str, reason: str, message: str) -> None:
        self._events.event(self._settings.node_reference, "Warning" if kind == "Warning" else "Normal", reason, message)

    # -- what there is -------------------------------------------------------------------------------------------------

    async def _look(self, changed: Callable[[], None]) -> None:
        before = self.health
        try:
            status = await self._runtime.status()
            version = await self._runtime.version()
        except (RuntimeUnavailable, RuntimeRefused) as error:
            if not before.runtime:
                log.error("container runtime does not answer error=%s", error)
            self.health = RuntimeHealth(network=before.network, version=before.version)
        else:
            network = (
                ""
                if status.network_ready
                else "container runtime network not ready: NetworkReady=false"
                f" reason:{status.network_reason} message:{status.network_message}"
            )
            self.handlers, self.groups_policy = status.handlers, status.groups_policy
            down = "" if status.ready else f"container runtime not ready: RuntimeReady=false {status.ready_message}"
            self.health = RuntimeHealth(down.strip(), network, f"{version.name}://{version.version}")
            await self._list_images()
        if self.health.network:
            await self._network.follow()
        else:
            self._network.close()
        if self.health != before:
            self._pause = _LOOK
            self.wake()
            changed()

    async def _list_images(self) -> None:
        now = self._clock.monotonic()
        if now - self._listed < _LIST_IMAGES:
            return
        self._listed = now
        try:
            self._images = image_list(await self._runtime.images(), self._config.node_status_max_images)
        except (RuntimeUnavailable, RuntimeRefused) as error:
            log.warning("cannot list images error=%s", error)

    def machine(self) -> Machine:
        """Read once."""
        if self._machine is None:
            self._machine = read_machine(self._settings.root)
        return self._machine

    def allocatable(self) -> dict[str, str]:
        """What Pods may use together."""
        if self.node is not None:
            return dict(self.node.status.allocatable)
        return allocatable(capacity(self.machine(), self._config), self._config)

    def status(self, old: core_v1.NodeStatus) -> tuple[core_v1.NodeStatus, tuple[str, ...]]:
        """The node's status now, and the reasons of the events that go with the change."""
        whole = capacity(self.machine(), self._config)
        # What clients add to the capacity can be used, too; nothing else could run that asks for it.
        foreign = {
            n: text for n, text in old.capacity.items() if n not in whole and n != DISK and not n.startswith(HUGE)
        }
        wrong = [text for text in (self.health.runtime, self.health.network, self.unready()) if text]
        changed = conditions(old.conditions, wrong, self.pressures(), self._clock.now())
        status = replace(
            old,
            capacity={**foreign, **whole},
            allocatable=allocatable({**foreign, **whole}, self._config),
            conditions=changed.conditions,
            addresses=self._addresses(old),
            daemonEndpoints=core_v1.NodeDaemonEndpoints(kubeletEndpoint=core_v1.DaemonEndpoint(Port=self._config.port)),
            nodeInfo=replace(self.machine().info, containerRuntimeVersion=self.health.version),
            images=self._images,
            volumesInUse=tuple(self.volumes_in_use()),
            runtimeHandlers=tuple(_handler(handler) for handler in self.handlers),
            declaredFeatures=DECLARED,
            features=core_v1.NodeFeatures(supplementalGroupsPolicy=self.groups_policy),
        )
        return status, changed.events

    def _addresses(self, old: core_v1.NodeStatus) -> tuple[core_v1.NodeAddress, ...]:
        """A cloud's own addresses outrank ours."""
        if self._settings.external_cloud and old.addresses:
            return old.addresses
        found = [core_v1.NodeAddress(type="InternalIP", address=ip) for ip in self._settings.node_ips]
        return (*found, core_v1.NodeAddress(type="Hostname", address=self._settings.node_name))

    # -- registration --------------------------------------------------------------------------------------------------

    def _wanted(self, taints: Sequence[core_v1.Taint], extra_labels: dict[str, str]) -> core_v1.Node:
        external = self._settings.external_cloud
        annotations = {_MANAGED_ATTACH: "true"}
        if external:
            annotations[_PROVIDED_IP] = ",".join(self._settings.node_ips)
        return core_v1.Node(
            metadata=meta_v1.ObjectMeta(
                name=self._settings.node_name,
                labels={**labels(self._settings), **extra_labels},
                annotations=annotations,
            ),
            spec=core_v1.NodeSpec(
                taints=(*taints, _UNINITIALIZED) if external else tuple(taints), providerID=self._config.provider_id
            ),
        )

    async def _register(self, wanted: core_v1.Node, changed: Callable[[], None]) -> None:
        """Creates the Node, or mends the labels of the one there is. Tries until it works."""
        delay = 0.1
        while True:
            try:
                self.node = await self._create(wanted) if self._config.register_node else await self._found(wanted)
                self.registered.set()
                self.wake()
                return
            except (ApiError, OSError) as error:
                log.warning("cannot register node=%s error=%s", wanted.metadata.name, error)
            await self._clock.sleep(delay)
            delay = min(7.0, 2 * delay)
            await self._look(changed)  # static Pods run meanwhile

    async def _found(self, wanted: core_v1.Node) -> core_v1.Node:
        """The Node that somebody else has made (registerNode is off)."""
        return await self._nodes.get(wanted.metadata.name)

    async def _create(self, wanted: core_v1.Node) -> core_v1.Node:
        status, events = self.status(core_v1.NodeStatus())
        try:
            node = await self._nodes.create(replace(wanted, status=status))
            log.info("registered node=%s", wanted.metadata.name)
        except AlreadyExists:
            node = await self._reconcile(wanted, await self._nodes.get(wanted.metadata.name))
        self._tell_all(events)  # also of a Node from before: each kubelet says once how it found its machine
        return node

    async def _reconcile(self, wanted: core_v1.Node, there: core_v1.Node) -> core_v1.Node:
        """A Node from before: our default labels and annotations hold, and extended resources must be told anew."""
        log.info("was registered before node=%s", wanted.metadata.name)
        ours = {key: value for key, value in wanted.metadata.labels.items() if key in LABELS}
        meta = replace(
            there.metadata,
            labels={**there.metadata.labels, **ours},
            annotations={**there.metadata.annotations, **wanted.metadata.annotations},
        )
        node = await self._nodes.patch(there, replace(there, metadata=meta))
        zeroed = {name: "0" for name in node.status.capacity if is_extended(name)}
        status = replace(
            node.status,
            capacity={**node.status.capacity, **zeroed},
            allocatable={**node.status.allocatable, **zeroed},
        )
        return await self._nodes.patch(node, replace(node, status=status), subresource="status")

    # -- reports -------------------------------------------------------------------------------------------------------

    async def _report(self) -> None:
        """Computes the status when it is time or something changed, and sends it when it differs or is due."""
        assert self.node is not None
        now = self._clock.monotonic()
        current = self._told and not self._woken.is_set()
        if current and now - self._computed < self._config.node_status_update_frequency:
            return
        self._woken.clear()
        self._told = False
        status, _ = self.status(self.node.status)
        due = now - self._reported >= self._config.node_status_report_frequency
        if due or without_heartbeats(status) != without_heartbeats(self.node.status):
            fresh = await self._nodes.get(self._settings.node_name)
            status, events = self.status(fresh.status)
            self.node = await self._nodes.patch(fresh, replace(fresh, status=status), subresource="status")
            self._reported = now
            self._tell_changes(fresh, events)
        self._computed, self._told = now, True

    def _tell_changes(self, before: core_v1.Node, events: Sequence[str]) -> None:
        name, boot = self._settings.node_name, self.machine().info.bootID
        if before.status.nodeInfo.bootID not in ("", boot):
            self._tell("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {boot}")
        schedulable = not before.spec.unschedulable
        if schedulable != self._schedulable:
            events = (*events, "NodeSchedulable" if schedulable else "NodeNotSchedulable")
        self._schedulable = schedulable
        self._tell_all(events)

    def _tell_all(self, events: Sequence[str]) -> None:
        for event in events:
            self._tell("Normal", event, f"Node {self._settings.node_name} status is now: {event}")


def _revision(node: core_v1.Node) -> int:
    return int(node.metadata.resourceVersion)
