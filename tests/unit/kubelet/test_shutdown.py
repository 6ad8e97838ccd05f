"""Graceful node shutdown."""

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kubelet.pods import pod

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet import shutdown
from pybernetes.kubelet.configuration import Configuration, PriorityGracePeriod
from pybernetes.kubelet.cri.model import PodRef
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.shutdown import Around, NodeShutdown, periods, plan
from pybernetes.kubelet.worker import PodWorker

CRITICAL = 2_000_000_000


def member(name: str, priority: int | None = None, grace: int | None = 30) -> core_v1.Pod:
    return pod(meta={"name": name, "uid": name}, priority=priority, terminationGracePeriodSeconds=grace)


def names(groups: tuple[shutdown.Group, ...]) -> list[tuple[int, list[str]]]:
    return [(g.seconds, [p.metadata.name for p in g.pods]) for g in groups]


def test_critical_pods_have_the_end_of_the_time_for_themselves() -> None:
    config = Configuration(shutdown_grace_period=30.0, shutdown_grace_period_critical_pods=10.0)
    pods = [member("dns", CRITICAL), member("web", 0), member("job", None), member("node", CRITICAL + 1000)]
    assert names(plan(periods(config), pods)) == [(20, ["web", "job"]), (10, ["dns", "node"])]


def test_periods_by_priority_go_from_the_lowest_up() -> None:
    config = Configuration(
        shutdown_grace_period_by_pod_priority=(
            PriorityGracePeriod(100, 20), PriorityGracePeriod(10, 30), PriorityGracePeriod(1000, 5)
        )
    )  # fmt: skip
    pods = [member("a", 99), member("b", 100), member("c", -5), member("d", 2000), member("e", 10)]
    assert names(plan(periods(config), pods)) == [(30, ["a", "c", "e"]), (20, ["b"]), (5, ["d"])]


def test_without_a_grace_period_there_is_nothing_to_plan() -> None:
    assert periods(Configuration()) == ()
    assert plan((), []) == ()


def test_a_pod_has_the_shorter_of_its_own_and_the_groups_time() -> None:
    group = shutdown.Group(0, 20, ())
    assert [group.grace_of(member("p", grace=g)) for g in (5, 30, None, 0)] == [5, 20, 20, 0]


@given(
    st.lists(st.tuples(st.integers(-100, 100), st.integers(0, 60)), min_size=1, unique_by=lambda p: p[0]),
    st.lists(st.one_of(st.none(), st.integers(-200, 200))),
)
def test_every_pod_is_ended_once_and_never_before_a_lower_one(
    said: list[tuple[int, int]], priorities: list[int | None]
) -> None:
    config = Configuration(shutdown_grace_period_by_pod_priority=tuple(PriorityGracePeriod(*p) for p in said))
    pods = [member(f"p{at}", priority) for at, priority in enumerate(priorities)]
    groups = plan(periods(config), pods)
    ordered = [p for g in groups for p in g.pods]
    assert sorted(p.metadata.name for p in ordered) == sorted(p.metadata.name for p in pods)
    assert [g.priority for g in groups] == sorted(g.priority for g in groups)
    lowest = min(priority for priority, _ in said)
    for group in groups:
        for one in group.pods:
            assert group.priority <= (one.spec.priority or 0) or group.priority == lowest


class FakeWorker:
    """A Pod that ends some seconds after it was told to."""

    def __init__(self, one: core_v1.Pod, takes: float) -> None:
        self.ref = PodRef("default", one.metadata.name, one.metadata.uid)
        self.pod = one
        self.takes = takes
        self.still = asyncio.Event()
        self.clean = asyncio.Event()


class World:
    """Pods and what happened to them, with times."""

    def __init__(self, *workers: FakeWorker, config: Configuration | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.clock = SimulatedClock(loop)
        self.workers = {w.ref.uid: w for w in workers}
        self.told: list[tuple[float, str, float | None]] = []
        self.events: list[str] = []
        self.changes = 0
        around = Around(
            workers=lambda: cast(list[PodWorker], list(self.workers.values())),
            evict=self.evict, tell=self.events.append, changed=self.change, note=self.note,
        )  # fmt: skip
        config = config or Configuration(shutdown_grace_period=30.0, shutdown_grace_period_critical_pods=10.0)
        self.shutdown = NodeShutdown(around, config, self.clock)
        self.notes: list[tuple[float, float | None]] = []
        self._task = asyncio.ensure_future(self.shutdown.run())

    async def note(self, began: float, ended: float | None) -> None:
        self.notes.append((began, ended))

    def change(self) -> None:
        self.changes += 1

    def evict(self, uid: str, verdict: Verdict) -> bool:
        self.told.append((self.clock.monotonic(), uid, verdict.grace))
        assert replace_grace(verdict) == Verdict("Terminated", shutdown.MESSAGE, None, shutdown.MESSAGE)
        worker = self.workers[uid]

        def over() -> None:
            worker.still.set()
            worker.clean.set()

        asyncio.get_running_loop().call_later(worker.takes, over)
        return True

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def replace_grace(verdict: Verdict) -> Verdict:
    return Verdict(verdict.reason, verdict.message, None, verdict.disruption)


def test_groups_are_ended_one_after_another_and_a_late_pod_does_not_hold_up_the_next() -> None:
    async def main() -> None:
        world = World(
            FakeWorker(member("quick", 0, 5), 3), FakeWorker(member("slow", 0), 100),
            FakeWorker(member("dns", CRITICAL), 4),
        )  # fmt: skip
        assert world.shutdown.gate(member("new"), ()) is None
        began = world.clock.monotonic()
        world.shutdown.begin()
        assert world.shutdown.unready() == "node is shutting down"
        assert world.shutdown.gate(member("new"), ()) == Verdict(
            "NodeShutdown", "Pod was rejected as the node is shutting down."
        )
        await world.clock.sleep(15)
        assert [ended for _, ended in world.notes] == [None]
        await world.clock.sleep(15)
        told = [(round(at - began), name, grace) for at, name, grace in world.told]
        assert told == [(0, "quick", 5), (0, "slow", 20), (20, "dns", 10)]
        assert world.notes[-1][1] == world.notes[0][0] + 24
        assert world.events == ["Shutdown manager detected shutdown event"]
        await world.stop()

    run_simulated(main())


def test_pods_that_end_early_let_the_next_group_begin() -> None:
    async def main() -> None:
        world = World(FakeWorker(member("web", 0), 3), FakeWorker(member("dns", CRITICAL), 1))
        began = world.clock.monotonic()
        world.shutdown.begin()
        world.shutdown.begin()
        await world.clock.sleep(10)
        assert [(round(at - began), name) for at, name, _ in world.told] == [(0, "web"), (3, "dns")]
        await world.stop()

    run_simulated(main())


def test_a_cancelled_shutdown_spares_who_was_not_told_yet_and_takes_pods_again() -> None:
    async def main() -> None:
        world = World(FakeWorker(member("web", 0), 15), FakeWorker(member("dns", CRITICAL), 1))
        world.shutdown.begin()
        await world.clock.sleep(5)
        world.shutdown.cancel()
        await world.clock.sleep(60)
        assert [name for _, name, _ in world.told] == ["web"]
        assert world.shutdown.unready() == ""
        assert world.shutdown.gate(member("new"), ()) is None
        assert world.events[-1] == "Shutdown manager detected shutdown cancellation"
        world.workers.pop("web")
        world.shutdown.begin()
        await world.clock.sleep(5)
        assert [name for _, name, _ in world.told] == ["web", "dns"]
        await world.stop()

    run_simulated(main())


def test_without_a_grace_period_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        world = World(FakeWorker(member("web", 0), 1), config=Configuration())
        world.shutdown.begin()
        await world.clock.sleep(5)
        assert not world.told
        assert world.shutdown.unready() == ""
        await world.stop()

    run_simulated(main())
    assert "no shutdownGracePeriod" in caplog.text
