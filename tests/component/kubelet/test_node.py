"""The Node of a kubelet against the real API server, with the node's own rights, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace
from tests.component.api import serving

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import Key, User
from pybernetes.api.types import coordination_v1, core_v1, meta_v1
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.events import EventRecorder
from pybernetes.client.informer import Informers
from pybernetes.client.rest import Client
from pybernetes.client.transport import direct
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.status.lease import NodeLease
from pybernetes.kubelet.status.node import NodeReporter
from pybernetes.wire.http import Request, Response

NAME = "n1"
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
NODE = User(f"system:node:{NAME}", groups=("system:nodes", "system:authenticated"))


class FakeRuntime:
    """A runtime that is well, or away."""

    def __init__(self) -> None:
        self.away = False
        self.network = True
        self.folder = "/nowhere"
        self.looks = 0
        self.asked = 0

    async def network_folder(self) -> str:
        self.asked += 1
        return self.folder

    async def status(self) -> m.RuntimeStatus:
        self.looks += 1
        if self.away:
            raise m.RuntimeUnavailable("away")
        return m.RuntimeStatus(True, "", self.network, "NetworkPluginNotReady", "cni plugin not initialized")

    async def version(self) -> m.Version:
        return m.Version("containerd", "1.6.20", "v1")

    async def images(self) -> Sequence[m.Image]:
        return [m.Image(f"sha256:{n}", (f"image:{n}",), (), n) for n in range(1, 4)]


@dataclass
class World:
    """One node's reporter and lease, and an administrator beside them."""

    clock: SimulatedClock
    admin: Client
    runtime: FakeRuntime
    reporter: NodeReporter
    writes: list[str] = field(default_factory=list)

    async def node(self) -> core_v1.Node:
        return await self.admin.of(core_v1.Node).get(NAME)

    async def ready(self) -> core_v1.NodeCondition:
        return next(c for c in (await self.node()).status.conditions if c.type == "Ready")

    async def events(self) -> list[str]:
        return [e.reason for e in (await self.admin.of(core_v1.Event).list()).items]


@asynccontextmanager
async def served() -> AsyncIterator[ApiServer]:
    async with serving(account=False, seed=0, disable_admission=("ServiceAccount",)) as api:
        yield api.server


@asynccontextmanager
async def running(
    api: ApiServer,
    config: Configuration | None = None,
    *,
    labels: dict[str, str] | None = None,
    cloud: bool = False,
) -> AsyncIterator[World]:
    config = config or Configuration()
    clock = cast(SimulatedClock, api.clock)
    send = direct(api.handler, NODE)
    runtime = FakeRuntime()
    settings = Settings(NAME, ("192.0.2.1",), config=config, root=Path("/"), external_cloud=cloud)
    writes: list[str] = []

    async def wire(request: Request) -> Response:
        if request.method != "GET":
            writes.append(f"{request.method} {request.path}")
        return await send(request)

    client = Client(wire, clock=clock, user_agent="kubelet")
    events = EventRecorder(client, "kubelet", host=NAME)
    reporter = NodeReporter(client, cast(m.Runtime, runtime), settings, clock, events)
    informers = Informers(client)
    informers.of(core_v1.Node, fields=f"metadata.name={NAME}").on_change(reporter.seen)
    world = World(clock, Client(direct(api.handler, ADMIN), clock=clock), runtime, reporter, writes)
    lease = NodeLease(client, NAME, clock, config.node_lease_duration_seconds)

    async def renewing() -> None:
        await reporter.registered.wait()
        await lease.run()

    async with asyncio.TaskGroup() as group:
        taint = core_v1.Taint(key="a", value="b", effect="NoSchedule")
        tasks = [
            group.create_task(events.run()),
            group.create_task(reporter.run([taint], labels or {}, lambda: None)),
            group.create_task(renewing()),
            group.create_task(informers.run()),
        ]
        yield world
        for task in tasks:
            task.cancel()


def simulated(test: Callable[[ApiServer], Awaitable[None]]) -> Callable[[], None]:
    """Runs a test on virtual time, with an API server of its own."""

    def run() -> None:
        async def main() -> None:
            async with asyncio.timeout(7200), served() as api:
                await test(api)

        run_simulated(main())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@simulated
async def test_a_new_node_has_labels_taints_capacity_and_is_ready(api: ApiServer) -> None:
    config = Configuration(provider_id="pb://n1", system_reserved={"cpu": "100m"}, node_status_max_images=2)
    async with running(api, config, labels={"zone": "z"}) as w:
        await w.reporter.registered.wait()
        node = await w.node()
        assert node.metadata.labels["kubernetes.io/hostname"] == NAME
        assert node.metadata.labels["zone"] == "z"
        assert node.spec.providerID == "pb://n1"
        assert ("a", "b") in [(t.key, t.value) for t in node.spec.taints]
        assert node.status.capacity["pods"] == "110"
        assert node.status.allocatable["cpu"].endswith("900m")
        assert node.status.nodeInfo.containerRuntimeVersion == "containerd://1.6.20"
        assert [i.sizeBytes for i in node.status.images] == [3, 2]
        assert "RestartAllContainersOnContainerExits" in node.status.declaredFeatures
        assert (await w.ready()).status == "True"
        await w.clock.sleep(1)
        assert {"Starting", "NodeHasSufficientMemory", "NodeHasNoDiskPressure"} <= set(await w.events())


@simulated
async def test_an_unchanged_status_is_reported_at_its_period_and_a_change_at_once(api: ApiServer) -> None:
    config = Configuration(node_status_update_frequency=10.0, node_status_report_frequency=300.0)
    async with running(api, config) as w:
        await w.reporter.registered.wait()
        await w.clock.sleep(30)
        w.writes.clear()
        await w.clock.sleep(250)
        assert [x for x in w.writes if "nodes/" in x and "leases" not in x] == []
        beat = (await w.ready()).lastHeartbeatTime
        await w.clock.sleep(60)
        assert (await w.ready()).lastHeartbeatTime != beat
        w.reporter.pressures = lambda: {"DiskPressure"}
        w.reporter.wake()
        await w.clock.sleep(0.1)
        pressure = next(c for c in (await w.node()).status.conditions if c.type == "DiskPressure")
        assert (pressure.status, pressure.reason) == ("True", "KubeletHasDiskPressure")
        await w.clock.sleep(1)
        assert "NodeHasDiskPressure" in await w.events()


@simulated
async def test_a_node_that_was_thought_lost_says_soon_that_it_is_ready(api: ApiServer) -> None:
    config = Configuration(node_status_update_frequency=10.0, node_status_report_frequency=300.0)
    async with running(api, config) as w:
        await w.reporter.registered.wait()
        await w.clock.sleep(30)
        node = await w.node()
        lost = [replace(c, status="Unknown", reason="NodeStatusUnknown") for c in node.status.conditions]
        status = replace(node.status, conditions=tuple(lost))
        await w.admin.of(core_v1.Node).patch(node, replace(node, status=status), subresource="status")
        assert (await w.ready()).status == "Unknown"
        await w.clock.sleep(16)
        assert (await w.ready()).status == "True"
        assert {c.status for c in (await w.node()).status.conditions if c.type != "Ready"} == {"False"}
        w.writes.clear()
        await w.clock.sleep(200)
        assert [x for x in w.writes if "nodes/" in x and "leases" not in x] == []


@simulated
async def test_a_runtime_or_network_that_is_away_makes_the_node_not_ready(api: ApiServer) -> None:
    async with running(api) as w:
        await w.reporter.registered.wait()
        w.runtime.away = True
        await w.clock.sleep(6)
        assert (await w.ready()).message == "container runtime is down"
        w.runtime.away, w.runtime.network = False, False
        await w.clock.sleep(2)
        assert (await w.ready()).message == (
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"
            " message:cni plugin not initialized"
        )
        w.runtime.network = True
        w.reporter.unready = lambda: "node is shutting down"
        await w.clock.sleep(2)
        assert (await w.ready()).message == "node is shutting down"
        w.reporter.unready = lambda: ""
        w.reporter.wake()
        await w.clock.sleep(1)
        assert (await w.ready()).status == "True"
        assert {"NodeNotReady", "NodeReady"} <= set(await w.events())


@simulated
async def test_a_node_from_before_keeps_what_others_gave_it_and_tells_of_a_reboot(api: ApiServer) -> None:
    nodes = Client(direct(api.handler, ADMIN), clock=cast(SimulatedClock, api.clock)).of(core_v1.Node)
    meta = meta_v1.ObjectMeta(name=NAME, labels={"kubernetes.io/arch": "abacus", "mine": "1"})
    made = await nodes.create(core_v1.Node(metadata=meta))
    status = core_v1.NodeStatus(
        capacity={"example.com/dongle": "3", "hugepages-64Ki": "1Gi"},
        nodeInfo=core_v1.NodeSystemInfo(bootID="another boot"),
        conditions=(core_v1.NodeCondition(type="KernelDeadlock", status="False"),),
    )
    await nodes.patch(made, replace(made, status=status), subresource="status")
    async with running(api, labels={"late": "x"}) as w:
        await w.reporter.registered.wait()
        await w.clock.sleep(1)
        node = await w.node()
        assert node.metadata.labels["mine"] == "1"
        assert node.metadata.labels["kubernetes.io/arch"] != "abacus"
        assert "late" not in node.metadata.labels  # as upstream: labels of the flag are for new Nodes
        assert node.status.capacity["example.com/dongle"] == "0"
        assert "hugepages-64Ki" not in node.status.capacity
        assert "KernelDeadlock" in [c.type for c in node.status.conditions]
        assert {"NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"} <= set(await w.events())
        assert "Rebooted" in await w.events()
        # What clients add afterwards stays and can be used.
        grown = replace(node.status, capacity={**node.status.capacity, "example.com/dongle": "5"})
        await w.admin.of(core_v1.Node).patch(node, replace(node, status=grown), subresource="status")
        w.reporter.wake()
        w.reporter.pressures = lambda: {"PIDPressure"}
        await w.clock.sleep(1)
        assert (await w.node()).status.allocatable["example.com/dongle"] == "5"


@simulated
async def test_without_registration_the_node_is_somebody_elses_to_make(api: ApiServer) -> None:
    async with running(api, Configuration(register_node=False)) as w:
        await w.clock.sleep(30)
        with pytest.raises(NotFound):
            await w.node()
        assert not w.reporter.registered.is_set()
        await w.admin.of(core_v1.Node).create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=NAME)))
        await w.clock.sleep(10)
        assert (await w.ready()).status == "True"


@simulated
async def test_with_a_cloud_outside_the_node_waits_for_it(api: ApiServer) -> None:
    async with running(api, cloud=True) as w:
        await w.reporter.registered.wait()
        node = await w.node()
        assert "node.cloudprovider.kubernetes.io/uninitialized" in [t.key for t in node.spec.taints]
        assert node.metadata.annotations["alpha.kubernetes.io/provided-node-ip"] == "192.0.2.1"
        given = (core_v1.NodeAddress(type="ExternalIP", address="198.51.100.7"),)
        status = replace(node.status, addresses=given)
        await w.admin.of(core_v1.Node).patch(node, replace(node, status=status), subresource="status")
        w.reporter.pressures = lambda: {"PIDPressure"}
        w.reporter.wake()
        await w.clock.sleep(1)
        assert "198.51.100.7" in [a.address for a in (await w.node()).status.addresses]


@simulated
async def test_the_lease_is_renewed_four_times_in_its_duration_and_goes_with_the_node(api: ApiServer) -> None:
    async with running(api, Configuration(node_lease_duration_seconds=20)) as w:
        await w.reporter.registered.wait()
        await w.clock.sleep(6)
        leases = w.admin.of(coordination_v1.Lease)
        key = Key("kube-node-lease", NAME)
        lease = await leases.get(key)
        node = await w.node()
        assert lease.spec.leaseDurationSeconds == 20
        assert [o.uid for o in lease.metadata.ownerReferences] == [node.metadata.uid]
        w.writes.clear()
        await w.clock.sleep(20)
        assert len([x for x in w.writes if "leases" in x]) == 4
        await leases.patch(lease, replace(lease, metadata=replace(lease.metadata, ownerReferences=())))
        await w.clock.sleep(12)
        lease = await leases.get(key)
        assert [o.uid for o in lease.metadata.ownerReferences] == [node.metadata.uid]


@simulated
async def test_a_node_that_was_deleted_is_registered_again(api: ApiServer) -> None:
    async with running(api) as w:
        await w.reporter.registered.wait()
        await w.clock.sleep(5)
        await w.admin.of(core_v1.Node).delete(Key("", NAME))
        w.reporter.pressures = lambda: {"PIDPressure"}
        w.reporter.wake()
        await w.clock.sleep(1)
        assert (await w.node()).metadata.name == NAME


@pytest.mark.parametrize("there", [True, False])
def test_a_node_that_waits_for_its_network_rests_and_is_ready_within_a_second(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "net.d"
    if there:
        folder.mkdir()

    @simulated
    async def waiting(api: ApiServer) -> None:
        async with running(api) as w:
            w.runtime.network, w.runtime.folder = False, str(folder)
            await w.reporter.registered.wait()
            await w.clock.sleep(60)
            assert (await w.ready()).status == "False"
            before = w.runtime.looks
            await w.clock.sleep(60)
            assert w.runtime.looks - before <= (13 if there else 61)
            assert w.runtime.asked == 1
            folder.mkdir(exist_ok=True)
            (folder / "10-net.conflist").touch()
            await w.clock.sleep(0.2)  # the runtime reads it, too
            w.runtime.network = True
            await w.clock.sleep(1)
            assert (await w.ready()).status == "True"

    waiting()


def test_a_kubelet_tells_at_its_start_what_is_not_well(tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(f"search {' '.join(f'd{n}' for n in range(40))}")

    @simulated
    async def starting(api: ApiServer) -> None:
        nodes = Client(direct(api.handler, ADMIN), clock=cast(SimulatedClock, api.clock)).of(core_v1.Node)
        meta = meta_v1.ObjectMeta(name=NAME)
        await nodes.create(core_v1.Node(metadata=meta, spec=core_v1.NodeSpec(unschedulable=True)))
        async with running(api, Configuration(resolv_conf=str(resolv_conf))) as w:
            await w.reporter.registered.wait()
            await w.clock.sleep(1)
            found = {e.reason: e for e in (await w.admin.of(core_v1.Event).list()).items}
            assert found["CheckLimitsForResolvConf"].type == "Warning"
            assert found["CheckLimitsForResolvConf"].involvedObject == core_v1.ObjectReference(
                kind="Node", name=NAME, uid=NAME
            )
            assert "NodeNotSchedulable" in found
            node = await w.node()
            await w.admin.of(core_v1.Node).patch(node, replace(node, spec=core_v1.NodeSpec()))
            w.reporter.wake()
            w.reporter.pressures = lambda: {"DiskPressure"}
            await w.clock.sleep(1)
            assert "NodeSchedulable" in await w.events()

    starting()
