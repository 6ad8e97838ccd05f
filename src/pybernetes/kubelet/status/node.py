"""The Node object: registration with the well-known labels, capacity, conditions, images; patched when it changes.

See "Node Status". Only own fields are patched: volumesAttached, foreign conditions and extended resources are others'.
"""

import asyncio
import logging
import os
import platform
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pybernetes import KUBERNETES_VERSION
from pybernetes.aio.clock import Clock, rfc3339
from pybernetes.api.errors import AlreadyExists, ApiError, NotFound
from pybernetes.api.quantity import BINARY, of_int
from pybernetes.api.types import core_v1, meta_v1
from pybernetes.client.rest import Client
from pybernetes.kubelet.cri.model import Handler, Image, Runtime, RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.status.labels import architecture, labels

log = logging.getLogger(__name__)

REPORT_PERIOD = 300.0
"""A node whose status does not change is reported so often all the same (nodeStatusReportFrequency)."""
_LOOK = 1.0
_LOOK_READY = 5.0
_MAX_IMAGES, _MAX_NAMES = 50, 5
_EVICTION_MEMORY = 100 * 1024 * 1024
_EVICTION_DISK = 0.10
_MANAGED_ATTACH = "volumes.kubernetes.io/controller-managed-attach-detach"
_PRESSURES = (
    # type, reason and message while it does not hold, and while it does
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available",
     "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure",
     "KubeletHasDiskPressure", "kubelet has disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available",
     "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
)  # fmt: skip


class Machine(Struct, frozen=True):
    """What the kernel says of this machine."""

    info: core_v1.NodeSystemInfo
    cpus: int
    memory: int
    disk: int
    """Bytes of the file system that holds the kubelet's root."""


class RuntimeHealth(Struct, frozen=True):
    """What is wrong with the runtime and with the pod network; empty where nothing is."""

    runtime: str = "container runtime is down"
    network: str = ""
    version: str = ""


def read_machine(root: Path) -> Machine:
    """Reads the machine. A memory limit of the node's own cgroup counts as its memory. Blocking."""
    identity = _text("/etc/machine-id").strip()
    info = core_v1.NodeSystemInfo(
        machineID=identity,
        systemUUID=_text("/sys/class/dmi/id/product_uuid").strip() or identity,
        bootID=_text("/proc/sys/kernel/random/boot_id").strip(),
        kernelVersion=platform.release(),
        osImage=_os_image(),
        kubeletVersion=KUBERNETES_VERSION,
        operatingSystem="linux",
        architecture=architecture(),
    )
    memory = next((int(line.split()[1]) * 1024 for line in _text("/proc/meminfo").splitlines()[:1]), 0)
    for file in ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"):
        limit = _text(file).strip()
        if limit.isdigit():
            memory = min(memory, int(limit))
    while not root.exists():
        root = root.parent
    disk = os.statvfs(root)
    return Machine(info, len(os.sched_getaffinity(0)), memory, disk.f_blocks * disk.f_frsize)


def _text(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError:
        return ""


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def capacity(machine: Machine, max_pods: int) -> tuple[dict[str, str], dict[str, str]]:
    """Capacity and allocatable: the difference is what hard eviction keeps free."""
    whole = {
        "cpu": str(of_int(machine.cpus)),
        "ephemeral-storage": str(of_int(machine.disk // 1024 * 1024, BINARY)),
        "memory": str(of_int(machine.memory // 1024 * 1024, BINARY)),
        "pods": str(max_pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    usable = dict(whole)
    usable["memory"] = str(of_int(max(0, machine.memory // 1024 * 1024 - _EVICTION_MEMORY), BINARY))
    usable["ephemeral-storage"] = str(of_int(int(machine.disk * (1 - _EVICTION_DISK))))
    return whole, usable


def image_list(images: Sequence[Image]) -> tuple[core_v1.ContainerImage, ...]:
    """At most 50, the largest first; at most 5 names each, digests before tags."""
    largest = sorted(images, key=lambda i: (-i.size, i.id))[:_MAX_IMAGES]
    return tuple(core_v1.ContainerImage(names=(*i.digests, *i.tags)[:_MAX_NAMES], sizeBytes=i.size) for i in largest)


def conditions(
    old: Sequence[core_v1.NodeCondition], health: RuntimeHealth, now: float, pressures: Collection[str] = ()
) -> tuple[core_v1.NodeCondition, ...]:
    """Ours with heartbeat and transition times; those of others are kept."""
    wrong = [text for text in (health.runtime, health.network) if text]
    shown = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
    ready = ("Ready", "False", "KubeletNotReady", shown) if wrong else _READY
    wanted = [
        (kind, "True", bad, felt) if kind in pressures else (kind, "False", good, well)
        for kind, good, well, bad, felt in _PRESSURES
    ]
    wanted.append(ready)
    before = {c.type: c for c in old}
    stamp = rfc3339(now)
    found = []
    for kind, status, reason, message in wanted:
        last = before.get(kind)
        since = last.lastTransitionTime if last is not None and last.status == status else stamp
        found.append(
            core_v1.NodeCondition(
                type=kind,
                status=status,
                lastHeartbeatTime=stamp,
                lastTransitionTime=since,
                reason=reason,
                message=message,
            )
        )
    ours = {c.type for c in found}
    return (*(c for c in old if c.type not in ours), *found)


_READY = ("Ready", "True", "KubeletReady", "kubelet is posting ready status")


def _handler(handler: Handler) -> core_v1.NodeRuntimeHandler:
    features = core_v1.NodeRuntimeHandlerFeatures(
        recursiveReadOnlyMounts=handler.recursive_read_only, userNamespaces=handler.user_namespaces
    )
    return core_v1.NodeRuntimeHandler(name=handler.name, features=features)


class NodeReporter:
    """Registers the node and keeps its status. `health` is what the last look at the runtime found."""

    def __init__(self, client: Client, runtime: Runtime, settings: Settings, clock: Clock) -> None:
        self.health = RuntimeHealth()
        self.handlers: tuple[Handler, ...] = ()
        """What the runtime's handlers can, as far as it says so."""
        self.groups_policy = False
        self.pressures: Callable[[], Collection[str]] = tuple
        """Conditions of pressure that hold now: eviction/manager.py knows."""
        self.node: core_v1.Node | None = None
        self.registered = asyncio.Event()
        self._wake = asyncio.Event()
        self._client = client
        self._nodes = client.of(core_v1.Node)
        self._runtime = runtime
        self._settings = settings
        self._clock = clock
        self._machine: Machine | None = None
        self._images: tuple[core_v1.ContainerImage, ...] = ()
        self._listed = -REPORT_PERIOD
        self._reported = -REPORT_PERIOD

    async def run(
        self, taints: Sequence[core_v1.Taint], extra_labels: dict[str, str], changed: Callable[[], None]
    ) -> None:
        """Registers, then looks and reports until cancelled. `changed` is called when the runtime's health changes."""
        await self._look(changed)
        await self._register(taints, extra_labels, changed)
        while True:
            try:
                await self._report()
            except NotFound:
                await self._register(taints, extra_labels, changed)
                continue
            except (ApiError, OSError) as error:
                log.warning("cannot report node status node=%s error=%s", self._settings.node_name, error)
            wrong = self.health.runtime or self.health.network
            await self._rest(_LOOK if wrong else _LOOK_READY)
            await self._look(changed)

    def wake(self) -> None:
        """Something changed that the status shows: it is told now."""
        self._wake.set()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def watch(self, changed: Callable[[], None]) -> None:
        """Of a node without an API server: only looks."""
        while True:
            await self._look(changed)
            await self._clock.sleep(_LOOK if self.health.runtime or self.health.network else _LOOK_READY)

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
        if self.health != before:
            changed()

    async def _list_images(self) -> None:
        now = self._clock.monotonic()
        if now - self._listed < 10:
            return
        self._listed = now
        try:
            self._images = image_list(await self._runtime.images())
        except (RuntimeUnavailable, RuntimeRefused) as error:
            log.warning("cannot list images error=%s", error)

    def status(self, old: core_v1.NodeStatus) -> core_v1.NodeStatus:
        """The node's status now."""
        if self._machine is None:
            self._machine = read_machine(self._settings.root)
        settings, machine = self._settings, self._machine
        whole, usable = capacity(machine, settings.config.max_pods)
        foreign = {name: text for name, text in old.capacity.items() if name not in whole}
        addresses = [core_v1.NodeAddress(type="InternalIP", address=ip) for ip in settings.node_ips]
        addresses.append(core_v1.NodeAddress(type="Hostname", address=settings.node_name))
        return replace(
            old,
            capacity={**foreign, **whole},
            # What clients add to the capacity can be used, too; nothing else could run that asks for it.
            allocatable={**foreign, **usable},
            conditions=conditions(old.conditions, self.health, self._clock.now(), self.pressures()),
            addresses=tuple(addresses),
            daemonEndpoints=core_v1.NodeDaemonEndpoints(
                kubeletEndpoint=core_v1.DaemonEndpoint(Port=settings.config.port)
            ),
            nodeInfo=replace(machine.info, containerRuntimeVersion=self.health.version),
            images=self._images,
            runtimeHandlers=tuple(_handler(handler) for handler in self.handlers),
            features=core_v1.NodeFeatures(supplementalGroupsPolicy=self.groups_policy),
        )

    async def _register(
        self, taints: Sequence[core_v1.Taint], extra_labels: dict[str, str], changed: Callable[[], None]
    ) -> None:
        """Creates the Node, or mends the labels of the one there is. Tries until it works."""
        name = self._settings.node_name
        wanted = core_v1.Node(
            metadata=meta_v1.ObjectMeta(
                name=name, labels={**labels(self._settings), **extra_labels}, annotations={_MANAGED_ATTACH: "true"}
            ),
            spec=core_v1.NodeSpec(taints=tuple(taints)),
            status=self.status(core_v1.NodeStatus()),
        )
        delay = 0.1
        while True:
            try:
                self.node = await self._create(wanted)
                self.registered.set()
                return
            except (ApiError, OSError) as error:
                log.warning("cannot register node=%s error=%s", name, error)
            await self._clock.sleep(delay)
            delay = min(7.0, 2 * delay)
            await self._look(changed)  # static Pods run meanwhile

    async def _create(self, wanted: core_v1.Node) -> core_v1.Node:
        try:
            created = await self._nodes.create(wanted)
            log.info("registered node=%s", wanted.metadata.name)
            return created
        except AlreadyExists:
            there = await self._nodes.get(wanted.metadata.name)
            meta = replace(
                there.metadata,
                labels={**there.metadata.labels, **wanted.metadata.labels},
                annotations={**there.metadata.annotations, **wanted.metadata.annotations},
            )
            return await self._nodes.patch(there, replace(there, metadata=meta))

    async def _report(self) -> None:
        assert self.node is not None
        status = self.status(self.node.status)
        due = self._clock.monotonic() - self._reported >= REPORT_PERIOD
        if not due and _without_heartbeats(status) == _without_heartbeats(self.node.status):
            return
        fresh = await self._nodes.get(self._settings.node_name)
        new = replace(fresh, status=self.status(fresh.status))
        self.node = await self._nodes.patch(fresh, new, subresource="status")
        self._reported = self._clock.monotonic()

    def memory(self) -> int:
        """Bytes of the node's memory."""
        self._machine = self._machine or read_machine(self._settings.root)
        return self._machine.memory

    def allocatable(self) -> dict[str, str]:
        """What Pods may use together."""
        if self.node is not None:
            return dict(self.node.status.allocatable)
        self._machine = self._machine or read_machine(self._settings.root)
        return capacity(self._machine, self._settings.config.max_pods)[1]


def _without_heartbeats(status: core_v1.NodeStatus) -> core_v1.NodeStatus:
    quiet = tuple(replace(c, lastHeartbeatTime=None) for c in status.conditions)
    return replace(status, conditions=tuple(sorted(quiet, key=lambda c: c.type)))
