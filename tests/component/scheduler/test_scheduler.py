"""The scheduler with the real API server, in one process and on simulated time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.component.api import serving
from tests.component.controllers.world import simulated

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.objects import Key, User
from pybernetes.api.types.core_v1 import Event, Node, Pod
from pybernetes.apiserver.server import ApiServer
from pybernetes.client.rest import Client
from pybernetes.client.transport import Transport, direct
from pybernetes.rules.readiness import POD_SCHEDULED, condition
from pybernetes.scheduler import loop
from pybernetes.scheduler.framework import Cycle, Plugin, Rejected
from pybernetes.scheduler.loop import Scheduler, SchedulerConfig
from pybernetes.scheduler.snapshot import PodInfo
from pybernetes.wire.http import Request, Response

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
SCHEDULER = User("system:kube-scheduler", groups=("system:authenticated",))
"""With the rights that every cluster gives it and no more."""
NO_CONTROLLERS = ("ServiceAccount", "TaintNodesByCondition")
"""Admission that counts on controllers, which do not run here."""


class World:
    """An API server, a scheduler, and short words for what tests do with them."""

    def __init__(self, server: ApiServer, clock: SimulatedClock) -> None:
        self.server = server
        self.clock = clock
        self.client = Client(direct(server.handler, ADMIN), clock=clock)
        self.pods = self.client.of(Pod)
        self.nodes = self.client.of(Node)

    async def node(self, name: str, cpu: str = "4", **spec: Any) -> Node:
        status = {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}, "capacity": {}}
        made = await self.nodes.create(msgspec.convert({"metadata": {"name": name}, "spec": spec}, Node))
        wanted = msgspec.convert({**msgspec.to_builtins(made), "status": status}, Node)
        return await self.nodes.patch(made, wanted, subresource="status")

    async def pod(self, name: str, cpu: str = "1", owner: str = "", **spec: Any) -> Pod:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        metadata: dict[str, Any] = {"name": name, "namespace": "default"}
        if owner:
            reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
            metadata["ownerReferences"] = [reference]
        made = {"metadata": metadata, "spec": {"containers": [container], **spec}}
        return await self.pods.create(msgspec.convert(made, Pod))

    async def where(self, name: str) -> str:
        return (await self.pods.get(name, "default")).spec.nodeName

    async def delete(self, name: str) -> None:
        await self.pods.delete(Key("default", name), grace=0)

    async def messages(self, name: str) -> list[str]:
        events = (await self.client.of(Event).list("default")).items
        return [f"{e.type} {e.reason} {e.message}" for e in events if e.involvedObject.name == name]


@asynccontextmanager
async def world(
    fault: Callable[[Transport], Transport] = lambda transport: transport, config: SchedulerConfig | None = None
) -> AsyncIterator[World]:
    async with serving(account=False, disable_admission=NO_CONTROLLERS) as api:
        clock = api.server.clock
        transport = fault(direct(api.server.handler, SCHEDULER))
        scheduler = Scheduler(Client(transport, clock=clock), clock, config)
        scheduling = asyncio.create_task(scheduler.run())
        try:
            yield World(api.server, clock)
            assert not scheduling.done(), scheduling.exception()
        finally:
            scheduling.cancel()
            await asyncio.gather(scheduling, return_exceptions=True)


@simulated
async def test_a_pod_is_bound_and_told_so() -> None:
    async with world() as w:
        await w.node("worker-1")
        await w.pod("x")
        await w.clock.sleep(0.1)
        pod = await w.pods.get("x", "default")
        assert pod.spec.nodeName == "worker-1"
        found = condition(pod, POD_SCHEDULED)
        assert found is not None
        assert found.status == "True"
        assert await w.messages("x") == ["Normal Scheduled Successfully assigned default/x to worker-1"]


@simulated
async def test_a_pod_without_a_place_says_why_and_gets_one_when_there_is() -> None:
    async with world() as w:
        await w.node("master", taints=[{"key": "k", "effect": "NoSchedule"}])
        await w.node("small", cpu="500m")
        await w.pod("x")
        await w.clock.sleep(0.1)
        message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s)."
        found = condition(await w.pods.get("x", "default"), POD_SCHEDULED)
        assert found is not None
        assert (found.status, found.reason, found.message) == ("False", "Unschedulable", message)
        assert await w.messages("x") == [f"Warning FailedScheduling {message}"]
        await w.node("worker")
        await w.clock.sleep(2)
        assert await w.where("x") == "worker"
        found = condition(await w.pods.get("x", "default"), POD_SCHEDULED)
        assert found is not None
        assert found.status == "True"


@simulated
async def test_without_nodes_it_says_so() -> None:
    async with world() as w:
        await w.pod("x")
        await w.clock.sleep(0.1)
        assert await w.messages("x") == ["Warning FailedScheduling no nodes available to schedule pods"]


@simulated
async def test_room_that_a_deleted_pod_leaves_is_used() -> None:
    async with world() as w:
        await w.node("n1", cpu="1")
        await w.pod("first")
        await w.clock.sleep(0.1)
        await w.pod("second")
        await w.clock.sleep(5)
        assert await w.where("second") == ""
        await w.delete("first")
        await w.clock.sleep(2)
        assert await w.where("second") == "n1"


@simulated
async def test_a_finished_pod_leaves_its_room_too() -> None:
    async with world() as w:
        await w.node("n1", cpu="1")
        await w.pod("first")
        await w.clock.sleep(0.1)
        await w.pod("second")
        await w.pods.patch_raw(Key("default", "first"), {"status": {"phase": "Succeeded"}}, subresource="status")
        await w.clock.sleep(2)
        assert await w.where("second") == "n1"


@simulated
async def test_a_deleted_pod_is_not_tried_again() -> None:
    asked: list[str] = []

    def recording(transport: Transport) -> Transport:
        async def send(request: Request) -> Response:
            asked.append(f"{request.method} {request.path}")
            return await transport(request)

        return send

    async with world(recording) as w:
        await w.node("n1", cpu="1")
        await w.pod("big", cpu="2")
        await w.clock.sleep(1)
        await w.delete("big")
        await w.clock.sleep(0.1)
        asked.clear()
        await w.node("n2", cpu="8")
        await w.clock.sleep(1000)
        assert not [line for line in asked if "big" in line]


@simulated
async def test_replicas_spread_over_the_workers() -> None:
    async with world() as w:
        await w.node("master", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
        await w.node("worker-1")
        await w.node("worker-2")
        for n in range(4):
            await w.pod(f"web-{n}", cpu="100m", owner="rs")
        await w.clock.sleep(0.1)
        assert sorted([await w.where(f"web-{n}") for n in range(4)]) == ["worker-1"] * 2 + ["worker-2"] * 2


@simulated
async def test_many_pods_take_no_waiting() -> None:
    async with world() as w:
        for n in range(3):
            await w.node(f"n{n}", cpu="64")
        for n in range(60):
            await w.pod(f"p{n}", cpu="1")
        await w.clock.sleep(0.1)
        assert all([await w.where(f"p{n}") for n in range(60)])


@simulated
async def test_pods_of_other_schedulers_are_left_alone() -> None:
    async with world(config=SchedulerConfig(scheduler_name="mine")) as w:
        await w.node("n1")
        await w.pod("theirs")
        await w.pod("ours", schedulerName="mine")
        await w.clock.sleep(1)
        assert (await w.where("theirs"), await w.where("ours")) == ("", "n1")


@simulated
async def test_a_gated_pod_waits_for_its_gates() -> None:
    async with world() as w:
        await w.node("n1")
        pod = await w.pod("x", schedulingGates=[{"name": "example.com/gate"}])
        await w.clock.sleep(400)
        assert await w.where("x") == ""
        open_ = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, schedulingGates=()))
        await w.pods.patch(pod, open_)
        await w.clock.sleep(0.1)
        assert await w.where("x") == "n1"


@simulated
async def test_lost_connections_and_refusals_only_delay() -> None:
    """Every second request of the scheduler fails, before or after it was done."""
    count = 0

    def failing(transport: Transport) -> Transport:
        async def send(request: Request) -> Response:
            nonlocal count
            count += 1
            if count % 4 == 1:
                raise ConnectionResetError("lost before")
            response = await transport(request)
            if count % 4 == 3:
                raise ConnectionResetError("lost after")
            return response

        return send

    async with world(failing) as w:
        await w.node("n1", cpu="10")
        for n in range(10):
            await w.pod(f"p{n}", cpu="1")
        await w.clock.sleep(700)
        assert {await w.where(f"p{n}") for n in range(10)} == {"n1"}
        await w.pod("late", cpu="1")
        await w.clock.sleep(60)
        assert await w.where("late") == ""
        await w.delete("p0")
        await w.clock.sleep(60)
        assert await w.where("late") == "n1"


@simulated
async def test_the_late_refusal_of_a_binding_does_not_concern_a_namesake() -> None:
    held: list[asyncio.Event] = []

    def slow_once(transport: Transport) -> Transport:
        async def send(request: Request) -> Response:
            if request.path.endswith("/binding") and not held:
                held.append(asyncio.Event())
                await held[0].wait()
            return await transport(request)

        return send

    async with world(slow_once) as w:
        await w.node("small", cpu="2")
        await w.pod("x", cpu="1")
        await w.clock.sleep(0.1)
        await w.delete("x")
        await w.pod("x", cpu="4")
        await w.clock.sleep(0.1)
        held[0].set()
        await w.clock.sleep(5)
        await w.node("big", cpu="4")
        await w.clock.sleep(20)
        assert await w.where("x") == "big"


class Faulty(Plugin):
    """Fails on Pods named `odd`, in two places."""

    name = "Faulty"
    faults = 0

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        if cycle.pod.metadata.name == "odd" and self.faults < 2:
            self.faults += 1
            raise ZeroDivisionError("a fault of a plugin")
        return ()

    async def pre_bind(self, info: PodInfo, node: str) -> None:
        if info.key.name == "odd" and self.faults < 4:
            self.faults += 1
            raise ZeroDivisionError("a fault of a plugin while binding")


def test_a_fault_in_a_plugin_only_delays_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    own = loop.plugins()
    monkeypatch.setattr(loop, "plugins", lambda disabled: [*own, Faulty()])

    async def main() -> None:
        async with world() as w:
            await w.node("n1", cpu="2")
            await w.pod("odd")
            await w.pod("even")
            await w.clock.sleep(0.1)
            assert (await w.where("odd"), await w.where("even")) == ("", "n1")
            await w.clock.sleep(60)
            assert await w.where("odd") == "n1"
            messages = await w.messages("odd")
            assert "Warning FailedScheduling scheduler error: a fault of a plugin" in messages
            assert "Warning FailedScheduling binding rejected: a fault of a plugin while binding" in messages

    run_simulated(main())
