"""Two controller managers side by side: one acts, the other waits, and takes over within the Lease; never both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.component.controllers.world import MANAGER, simulated, template

from pybernetes.api.objects import Key
from pybernetes.api.types import apps_v1, coordination_v1, core_v1
from pybernetes.client.leaderelection import Election, LeaderElector
from pybernetes.client.rest import Client
from pybernetes.controllers.runtime import ControllerManager, chosen
from pybernetes.testing import Cluster
from pybernetes.wire.http import Request, Response

LEASE = Key("kube-system", "kube-controller-manager")
ONLY = ("replicaset-controller", "serviceaccount-controller")


class Candidate:
    """A process with controllers that may lead, and whose network may be cut."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._send = cluster.client(MANAGER).transport
        self.name, self.cut = name, False
        self.acts: list[float] = []
        """When it wrote Pods."""
        self._clock = cluster.clock
        client = Client(self._transport, clock=cluster.clock, user_agent=name)
        election = Election(name=LEASE.name, identity=name)
        self.elector = LeaderElector(client, election, lambda: ControllerManager(client, None, chosen(ONLY)).run())
        self.task = asyncio.create_task(self.elector.run())

    async def _transport(self, request: Request) -> Response:
        if self.cut:
            raise ConnectionRefusedError("the network is cut")
        if request.method == "POST" and request.path.endswith("/pods"):
            self.acts.append(self._clock.monotonic())
        return await self._send(request)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Cluster, Candidate, Candidate]]:
    """The first of them leads."""
    async with Cluster(nodes=0, controllers=(), scheduler=False) as cluster:
        first = Candidate(cluster, "first")
        await asyncio.wait_for(first.elector.leading.wait(), 60)
        second = Candidate(cluster, "second")
        try:
            yield cluster, first, second
        finally:
            await first.stop()
            await second.stop()


async def grow(cluster: Cluster, replicas: int) -> None:
    """A ReplicaSet with so many."""
    sets = cluster.client().of(apps_v1.ReplicaSet)
    if not (await sets.list("default")).items:
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template(app="web")}
        body = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
        await cluster.client().raw("POST", "/apis/apps/v1/namespaces/default/replicasets", body)
    else:
        await sets.patch_raw(Key("default", "web"), {"spec": {"replicas": replicas}})
    await cluster.clock.sleep(1)


async def pods(cluster: Cluster) -> int:
    return len((await cluster.client().of(core_v1.Pod).list("default")).items)


async def holder(cluster: Cluster) -> str:
    return (await cluster.client().of(coordination_v1.Lease).get(LEASE)).spec.holderIdentity or ""


@simulated
async def test_one_acts_and_the_other_waits_without_a_request_but_for_the_lease():
    async with two() as (cluster, first, second):
        await grow(cluster, 2)
        await cluster.clock.sleep(60)
        assert await pods(cluster) == 2
        assert (len(first.acts), second.acts) == (2, [])
        asked = {call.resource for call in cluster.audit if call.agent == "second"}
        assert asked == {"leases.coordination.k8s.io"}


@simulated
async def test_a_leader_that_is_stopped_gives_the_lease_back_and_the_next_acts_within_its_retry_period():
    async with two() as (cluster, first, second):
        await grow(cluster, 1)
        await cluster.clock.sleep(30)
        await first.stop()
        assert await holder(cluster) == ""
        await grow(cluster, 3)
        await cluster.clock.sleep(3)
        assert await holder(cluster) == "second"
        assert await pods(cluster) == 3
        assert len(second.acts) == 2


@simulated
async def test_a_leader_that_is_cut_off_stops_before_the_next_begins_within_the_lease():
    async with two() as (cluster, first, second):
        await grow(cluster, 1)
        await cluster.clock.sleep(30)
        first.cut = True
        begun = cluster.clock.monotonic()
        await grow(cluster, 3)
        while not second.acts:
            assert cluster.clock.monotonic() - begun < 20
            await cluster.clock.sleep(0.1)
        assert first.task.done()
        first.cut = False  # whoever comes back must not go on where it was
        await grow(cluster, 6)
        await cluster.clock.sleep(60)
        assert await pods(cluster) == 6
        assert (len(first.acts), len(second.acts)) == (1, 5)
        assert max(first.acts) < min(second.acts)
