"""A whole cluster on this machine: a switch, a registry, and nodes on which kubeadm does what it does anywhere.

`pybernetes up` and the demonstration stand on it. What is on lives in namespaces and outlives the command that made it;
`cluster.json` in the cluster's folder says what there is.
"""

import asyncio
import hashlib
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from pybernetes.aio.clock import Clock, seconds_of
from pybernetes.api.errors import AlreadyExists
from pybernetes.api.types import core_v1
from pybernetes.api.types.storage_v1 import StorageClass
from pybernetes.assembly.door import open_door, port_of
from pybernetes.assembly.progress import Progress
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.controllers.local_path_provisioner import STORAGE_CLASS
from pybernetes.localcluster import containerd
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.image import Built
from pybernetes.localcluster.image_store import ImageStore
from pybernetes.localcluster.registry import URL as REGISTRY_URL
from pybernetes.localcluster.registry import Registry
from pybernetes.localcluster.sandbox import NodeSandbox, Result, check_machine, node_disk
from pybernetes.localcluster.spec import LISTEN_DIR, STATE_DIR, NodeSpec
from pybernetes.localcluster.sweep import leftovers, sweep
from pybernetes.localcluster.switch import (
    POD_NETWORK,
    SERVICE_NETWORK,
    HostRoutes,
    Switch,
    node_address,
)
from pybernetes.network.install import InstallError, install
from pybernetes.rules.readiness import node_is_ready

T = TypeVar("T", bound=Struct)

MASTER = "master"
API_SERVER = "kube-apiserver"
READY_SECONDS = 90.0
NEEDED_BYTES = 640 << 20
"""Free space that a new cluster needs on its disk: images, stores and logs."""
KUBEADM_CONFIG = "/etc/pybernetes/kubeadm.yaml"
"""On the master: what this cluster's kubeadm init is told."""


class ClusterRecord(Struct, frozen=True):
    """What cluster.json holds."""

    name: str
    nodes: tuple[str, ...]
    api_port: int = 0
    """Port of the API server on the machine's loopback; 0 of a new cluster: one that is free, best 6443."""
    complete: bool = False
    """Whether `up` came to its end: what it left half made is taken away by the next one."""


def node_names(count: int) -> tuple[str, ...]:
    """`master`, `worker-1`, ..."""
    return (MASTER, *(f"worker-{number}" for number in range(1, count)))


class LocalCluster:
    """One cluster. create() makes a new one; open() finds one that is there."""

    def __init__(self, record: ClusterRecord, clock: Clock, state_dir: Path = STATE_DIR) -> None:
        self.record = record
        self._door: socket.socket | None = None
        self.clock = clock
        self._state_dir = state_dir
        self.switch = Switch(record.name)
        self.registry = Registry(self.switch, self.folder / "registry")
        self.images = ImageStore(clock)
        addresses = {name: node_address(number) for number, name in enumerate(record.nodes)}
        self.nodes = {name: NodeSandbox(self._spec(name, addresses), self.switch) for name in record.nodes}

    @classmethod
    def open(cls, name: str, clock: Clock, state_dir: Path = STATE_DIR) -> "LocalCluster | None":
        """The cluster of that name, or None."""
        try:
            text = (state_dir / name / "cluster.json").read_bytes()
            return cls(msgspec.json.decode(text, type=ClusterRecord), clock, state_dir)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    @property
    def folder(self) -> Path:
        """The cluster's folder on the machine."""
        return self._state_dir / self.record.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig for clients on this machine."""
        return self.folder / "admin.conf"

    @property
    def master(self) -> NodeSandbox:
        """The node of the control plane."""
        return self.nodes[MASTER]

    def _spec(self, name: str, addresses: dict[str, str]) -> NodeSpec:
        return NodeSpec(
            cluster=self.record.name,
            name=name,
            address=addresses[name],
            state_dir=str(node_disk(self.record.name, name, self._state_dir).absolute()),
            files=containerd.node_files({"docker.io": REGISTRY_URL})
            | ({KUBEADM_CONFIG: kubeadm_config(addresses[name])} if name == MASTER else {}),
            hosts=addresses,
        )

    # -- machines ---------------------------------------------------------------------------------------------------

    async def machines_up(self, progress: Progress) -> None:
        """Switch, registry and bare nodes with containerd. Raises LocalClusterError: down() then takes away what there is.

        The record's api_port may be 0: any that is free. It is this cluster's from the first moment.
        """
        self._door = open_door(self.record.api_port)
        self.record = replace(self.record, api_port=port_of(self._door))
        with progress.step("the machine is fit, nothing of an earlier cluster is left"):
            check_machine(existing(self._state_dir))
            check_space(existing(self._state_dir))
            await asyncio.to_thread(sweep, self.record.name, disks=True, state_dir=self._state_dir)
            self.folder.mkdir(parents=True)
            self._write_record()
            await HostRoutes().add()
        with progress.step("images of the control plane and of Pods themselves"):
            await self.images.ready()
        await self._all_on(progress)

    async def switch_on(self, progress: Progress, api_port: int = 0) -> None:
        """Switches on what is off: after a reboot of the machine, all of it. Raises LocalClusterError.

        `api_port` above 0 is the API server's new port on the loopback, if the master is off.
        """
        if api_port and not self.master.running:
            self.record = replace(self.record, api_port=api_port)
            self._write_record()
        began, off = self.clock.now(), [name for name, node in self.nodes.items() if not node.running]
        await HostRoutes().add()
        await self._all_on(progress)
        await asyncio.to_thread(self._write_kubeconfig)
        with progress.step("nodes Ready"):
            await self.wait_ready(off, since=began)
            await self.wait_ready(self.record.nodes)

    async def _all_on(self, progress: Progress) -> None:
        with progress.step("a switch and an image registry on it"):
            await self.switch.up()
            await self.registry.start()
        places = ", ".join(f"{node.name} ({node.spec.address})" for node in self.nodes.values())
        with progress.step(f"machines with a containerd each: {places}"):
            await together(*(self._power_on(node) for node in self.nodes.values()))

    def _write_record(self) -> None:
        fresh = self.folder / ".cluster.json.new"
        fresh.write_bytes(msgspec.json.encode(self.record))
        fresh.rename(self.folder / "cluster.json")

    def completed(self) -> None:
        """Notes that the cluster is whole: from now on only down() takes it away."""
        self._note(complete=True)

    def _note(self, *, complete: bool) -> None:
        self.record = replace(self.record, complete=complete)
        self._write_record()

    async def _power_on(self, node: NodeSandbox) -> None:
        if node.running:  # one of several that were looked at because another is off: it has its disk and its door
            await containerd.wait_ready(node)
            return
        disk = Path(node.spec.state_dir) / "var/lib/containerd"
        await asyncio.to_thread(self.images.give, disk, self.folder / "images")
        if node.name != MASTER:
            await node.start()
        else:
            door, self._door = self._door or open_door(self.record.api_port), None
            with door:
                await node.start(listen={API_SERVER: door.fileno()})
        await containerd.wait_ready(node)

    async def power_on(self, name: str) -> None:
        """Switches a node on again, with the disk it had."""
        await self._power_on(self.nodes[name])

    # -- Kubernetes -------------------------------------------------------------------------------------------------

    async def init(self) -> Result:
        """kubeadm init on the master; its output."""
        result = await self.master.exec(["kubeadm", "init", f"--config={KUBEADM_CONFIG}"], timeout=300)
        if result.code:
            raise LocalClusterError(f"kubeadm init failed:\n{result.err or result.out}")
        await asyncio.to_thread(self._write_kubeconfig)
        return result

    async def join(self, name: str, command: Sequence[str]) -> Result:
        """Runs the join command (as init printed it) on a worker."""
        result = await self.nodes[name].exec([*command, f"--node-name={name}"], timeout=300)
        if result.code:
            raise LocalClusterError(f"kubeadm join failed on {name}:\n{result.err or result.out}")
        return result

    async def install_network(self) -> None:
        """The pod network on every node."""
        await together(*(self.install_network_on(name) for name in self.nodes))

    async def install_network_on(self, name: str) -> None:
        """The pod network on one node: what `pybernetes network install` does there, from outside."""
        try:
            await asyncio.to_thread(install, self.nodes[name].path("/"))
        except InstallError as error:
            raise LocalClusterError(str(error)) from error

    async def untaint_master(self) -> None:
        """Lets Pods onto the master of a cluster that has no worker."""
        taint = "node-role.kubernetes.io/control-plane"
        async with self.client() as client:
            nodes = client.of(core_v1.Node)
            node = await nodes.get(MASTER)
            kept = [t for t in node.spec.taints if t.key != taint]
            await nodes.patch_raw(MASTER, {"spec": {"taints": msgspec.to_builtins(kept)}})

    async def add_storage_class(self) -> None:
        """The default StorageClass: claims get directories of nodes."""
        async with self.client() as client:
            with suppress(AlreadyExists):
                await client.of(StorageClass).create(STORAGE_CLASS)

    def _write_kubeconfig(self) -> None:
        """admin.conf with the address that this machine reaches."""
        config = kubeconfig.load(self.master.path("/etc/kubernetes/admin.conf"))
        server = f"https://127.0.0.1:{self.record.api_port}"
        clusters = {name: replace(cluster, server=server) for name, cluster in config.clusters.items()}
        kubeconfig.write(self.kubeconfig, replace(config, clusters=clusters))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of the administrator."""
        transport = kubeconfig.transport_of(kubeconfig.load(self.kubeconfig))
        try:
            yield Client(transport, clock=self.clock, user_agent="pybernetes")
        finally:
            await transport.aclose()

    async def wait_ready(self, names: Sequence[str], *, since: float = 0.0) -> None:
        """Waits until these nodes are Ready, and have said so since a time. Raises LocalClusterError."""
        async with self.client() as client:
            await until(client, core_v1.Node, lambda nodes: all_ready(nodes, names, since), "nodes Ready")

    async def push(self, built: Built) -> str:
        """Pushes an image to the cluster's registry; its digest there."""
        return await self.registry.push(built)

    async def down(self) -> None:
        """Takes everything away. Raises LocalClusterError when something stays."""
        if self._door is not None:
            self._door.close()
        if self.record.complete:
            with suppress(OSError):  # a full disk
                self._note(complete=False)  # or one that is killed here would leave half a cluster to be switched on
        for node in self.nodes.values():
            await node.power_off()
        await self.registry.stop()
        await self.switch.down()
        await asyncio.to_thread(sweep, self.record.name, disks=True, state_dir=self._state_dir)
        left = leftovers(self.record.name) + [str(self.folder)] * self.folder.exists()
        if left:
            raise LocalClusterError(f"left on the machine: {', '.join(left)}")


def kubeadm_config(address: str) -> str:
    """The master's: upstream's own fields. The API server takes the machine's door (doors.py) beside its own port."""
    init = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": address},
        "nodeRegistration": {"name": MASTER},
    }
    door = f"{LISTEN_DIR}/{API_SERVER}.sock"
    volume = {
        "name": "listen",
        "hostPath": LISTEN_DIR,
        "mountPath": LISTEN_DIR,
        "readOnly": True,
        "pathType": "Directory",
    }
    cluster = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "networking": {"podSubnet": POD_NETWORK, "serviceSubnet": SERVICE_NETWORK},
        "apiServer": {"extraArgs": [{"name": "inherit-sockets-from", "value": door}], "extraVolumes": [volume]},
    }
    # The machine's swap and the room on its disk are its owner's: a node that shares them neither refuses to start for the
    # one nor ends Pods for want of the other.
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
    }
    return yaml.safe_dump_all([init, cluster, kubelet], sort_keys=False)


async def until(
    client: Client,
    kind: type[T],
    holds: Callable[[Sequence[T]], bool],
    what: str,
    *,
    namespace: str | None = None,
    timeout: float = READY_SECONDS,
) -> Sequence[T]:
    """Follows a resource until `holds` says yes of all its objects; those objects. Raises LocalClusterError."""
    resource = client.of(kind)
    objects: dict[object, T] = {}
    try:
        async with asyncio.timeout(timeout):
            while True:
                listing = await resource.list(namespace)
                objects = {obj.metadata.uid: obj for obj in listing.items}  # type: ignore[attr-defined]  # every kind has metadata
                if holds(tuple(objects.values())):
                    return tuple(objects.values())
                async for event in resource.watch(listing.revision, namespace):
                    if event.object is None:
                        continue
                    uid = event.object.metadata.uid  # type: ignore[attr-defined]
                    if event.type == "DELETED":
                        objects.pop(uid, None)
                    else:
                        objects[uid] = event.object
                    if holds(tuple(objects.values())):
                        return tuple(objects.values())
    except TimeoutError:
        raise LocalClusterError(f"not within {timeout:.0f} s: {what}") from None


async def together(*works: Coroutine[Any, Any, object]) -> None:
    """Does all at once; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def all_ready(nodes: Sequence[core_v1.Node], names: Sequence[str], since: float = 0.0) -> bool:
    """Whether these are Ready. What a node said before `since`, in whole seconds, does not count: it was off meanwhile."""
    return set(names) <= {node.metadata.name for node in nodes if node_is_ready(node) and _heard(node) >= int(since)}


def _heard(node: core_v1.Node) -> float:
    ready = (c for c in node.status.conditions if c.type == "Ready")
    return max((seconds_of(c.lastHeartbeatTime or "") for c in ready), default=0.0)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps other commands off a cluster that this one changes. Raises LocalClusterError where one works on it.

    An abstract socket (unix(7)): the kernel frees it however the process ends.
    """
    claim = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        try:
            held.bind(f"\0pybernetes-{claim}")
        except OSError as error:
            raise LocalClusterError(
                f"another pybernetes command is working on cluster {folder.name!r}: wait for its end"
            ) from error
        yield


def check_space(folder: Path) -> None:
    """Raises LocalClusterError where a cluster's disks would be full at once."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise LocalClusterError(
            f"{folder} has {free >> 20} MB free, a cluster needs {NEEDED_BYTES >> 20}: "
            "make space, or choose a folder on another disk with --state-dir"
        )


def join_command(output: str) -> list[str]:
    """The join command in the output of kubeadm init. Raises LocalClusterError."""
    text = output.replace("\\\n", " ")
    line = next((line for line in text.splitlines() if line.strip().startswith("kubeadm join")), None)
    if line is None:
        raise LocalClusterError("kubeadm init printed no join command")
    return line.split()
