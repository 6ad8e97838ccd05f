import asyncio
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.errors import AlreadyExists, Conflict, NotFound
from pybernetes.api.types import coordination_v1
from pybernetes.client.leaderelection import Election, LeaderElector, LeaderLost

Lease = coordination_v1.Lease


class Leases:
    """One Lease with the server's rules of revisions; `down` cuts the connection."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.lease: Lease | None = None
        self.down = False

    def of(self, kind: type[Lease]) -> "Leases":
        return self

    async def get(self, key: Any) -> Lease:
        self._up()
        if self.lease is None:
            raise NotFound("no lease")
        return self.lease

    async def create(self, lease: Lease) -> Lease:
        self._up()
        if self.lease is not None:
            raise AlreadyExists("there")
        return self._store(lease, 1)

    async def update(self, lease: Lease) -> Lease:
        self._up()
        assert self.lease is not None
        if lease.metadata.resourceVersion != self.lease.metadata.resourceVersion:
            raise Conflict("changed")
        return self._store(lease, int(lease.metadata.resourceVersion) + 1)

    def _store(self, lease: Lease, revision: int) -> Lease:
        self.lease = replace(lease, metadata=replace(lease.metadata, resourceVersion=str(revision)))
        return self.lease

    def _up(self) -> None:
        if self.down:
            raise ConnectionError("refused")


class Cluster:
    def __init__(self) -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        self.leases = Leases(clock)
        self.working: list[str] = []
        self.most = 0
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        async def work() -> None:
            self.working.append(name)
            self.most = max(self.most, len(self.working))
            try:
                await asyncio.Event().wait()
            finally:
                self.working.remove(name)

        client: Any = self.leases
        self.tasks[name] = asyncio.create_task(LeaderElector(client, Election(name="x", identity=name), work).run())

    async def stop(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
            await asyncio.gather(self.tasks[name], return_exceptions=True)


def test_one_of_three_leads_and_another_follows_at_once_when_it_ends_in_order():
    async def main() -> None:
        cluster = Cluster()
        for name in "abc":
            cluster.start(name)
        await asyncio.sleep(60)
        (first,) = cluster.working
        await cluster.stop(first)
        await asyncio.sleep(5)
        (second,) = cluster.working
        assert first != second
        assert cluster.most == 1
        lease = cluster.leases.lease
        assert lease is not None
        assert lease.spec.holderIdentity == second
        await cluster.stop(*"abc")

    run_simulated(main())


def test_who_cannot_renew_stops_before_another_may_begin():
    async def main() -> None:
        cluster = Cluster()
        cluster.start("a")
        await asyncio.sleep(30)
        cluster.leases.down = True
        await asyncio.sleep(14)
        assert cluster.working == []
        with pytest.raises(ExceptionGroup) as caught:
            await cluster.tasks["a"]
        assert caught.group_contains(LeaderLost)
        cluster.leases.down = False
        cluster.start("b")
        await asyncio.sleep(30)
        assert cluster.working == ["b"]
        assert cluster.most == 1
        await cluster.stop("b")

    run_simulated(main())


def test_a_leader_that_died_is_followed_when_its_lease_is_over():
    async def main() -> None:
        cluster = Cluster()
        spec = coordination_v1.LeaseSpec(
            holderIdentity="dead", leaseDurationSeconds=15, renewTime="2020-01-01T00:00:00Z"
        )
        cluster.leases.lease = Lease(spec=spec, metadata=replace(Lease().metadata, resourceVersion="7"))
        cluster.start("b")
        await asyncio.sleep(14)
        assert cluster.working == []  # judged by our own clock, not by the time in the Lease
        await asyncio.sleep(5)
        assert cluster.working == ["b"]
        lease = cluster.leases.lease
        assert lease.spec.leaseTransitions == 1
        await cluster.stop("b")

    run_simulated(main())


def test_work_that_ends_ends_the_elector():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        client: Any = Leases(clock)

        async def work() -> None:
            await asyncio.sleep(1)

        await LeaderElector(client, Election(name="x", identity="a"), work).run()
        assert client.lease.spec.holderIdentity == ""

    run_simulated(main())


def test_a_leader_that_goes_on_without_its_lease_is_ill():
    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop())
        client: Any = Leases(clock)

        async def stubborn() -> None:
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)
                    return

        elector = LeaderElector(client, Election(name="x", identity="a"), stubborn)
        task = asyncio.create_task(elector.run())
        assert elector.fault() == ""
        await asyncio.sleep(30)
        assert elector.fault() == ""
        client.down = True
        await asyncio.sleep(30)
        assert elector.fault() == ""
        await asyncio.sleep(10)
        assert elector.fault() == "failed election to renew leadership on lease x"
        await asyncio.gather(task, return_exceptions=True)
        assert elector.fault() == ""

    run_simulated(main())
