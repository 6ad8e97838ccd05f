"""The eviction manager on virtual time, with a node and Pods in memory."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.kubelet.fakes import simulate
from tests.unit.kubelet.pods import container, pod, run, sandbox

from pybernetes.aio.simulation import SimulatedClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.cri.model import Layer, PodRef
from pybernetes.kubelet.eviction.manager import Around, EvictionManager
from pybernetes.kubelet.eviction.ranking import ContainerUse, PodUsage, Space
from pybernetes.kubelet.eviction.readings import PodPlaces
from pybernetes.kubelet.eviction.signals import Observation
from pybernetes.kubelet.pod_actions import Observed, Verdict
from pybernetes.kubelet.settings import Settings


class Worker:
    """Of one Pod that runs; `goes` says how long it takes to end."""

    def __init__(self, made: core_v1.Pod, clock: SimulatedClock, goes: float) -> None:
        self.pod: core_v1.Pod | None = made
        self.ref = PodRef("default", made.metadata.name, made.metadata.uid)
        self.observed = Observed(now=0, sandboxes=(sandbox(),), containers=(run(),), started=0.0)
        self.clean = asyncio.Event()
        self.verdict: Verdict | None = None
        self.clock, self.goes = clock, goes

    async def end(self) -> None:
        await self.clock.sleep(self.goes)
        self.clean.set()


class Node:
    """A node whose signals the test sets. Each Pod that goes frees `frees` bytes of memory."""

    def __init__(self, clock: SimulatedClock, config: Configuration, frees: int = 0) -> None:
        self.clock = clock
        self.free = {"memory.available": 1000, "nodefs.available": 1000}
        self.frees = frees
        self.told: list[tuple[str, str, str]] = []
        self.ended: list[tuple[str, Verdict]] = []
        self.workers: dict[str, Worker] = {}
        self.uses: dict[str, PodUsage] = {}
        self.reclaimed = 0
        self.images_removed = 0
        self.images_elsewhere = False
        self.reclaims = 0
        self.changes = 0
        self.walks = 0
        self.tasks: set[asyncio.Task[None]] = set()
        around: Any = Around(
            runtime=self,
            readings=self,  # type: ignore[arg-type]  # what the manager asks of them
            events=self,  # type: ignore[arg-type]
            workers=lambda: [w for w in self.workers.values() if w.verdict is None],  # type: ignore[misc]
            places=lambda w: PodPlaces(w.pod, w.ref.uid, None, {}, w.observed.containers),  # type: ignore[arg-type]
            evict=self.evict,
            remove_dead=self.reclaim,
            remove_images=self.remove_images,
            changed=self.changed,
        )
        self.manager = EvictionManager(around, Settings("n1", (), config), clock)

    def add(self, name: str, use: PodUsage, *, goes: float = 1.0, **spec: Any) -> None:
        made = pod(container(), meta={"name": name, "uid": name}, **spec)
        self.workers[name] = Worker(made, self.clock, goes)
        self.uses[name] = use

    def evict(self, uid: str, verdict: Verdict) -> bool:
        worker = self.workers[uid]
        worker.verdict = verdict
        self.ended.append((uid, verdict))
        self.free["memory.available"] += self.frees
        task = asyncio.create_task(worker.end())
        self.tasks.add(task)
        return True

    def event(self, about: Any, kind: str, reason: str, message: str, annotations: Any = None) -> None:
        name = about.name if isinstance(about, core_v1.ObjectReference) else about.metadata.name
        self.told.append((name, reason, message))

    def changed(self) -> None:
        self.changes += 1

    async def reclaim(self) -> None:
        self.reclaimed += 1
        self.free["nodefs.available"] += self.reclaims

    async def remove_images(self) -> None:
        self.images_removed += 1

    async def image_folder(self) -> str:
        return "/images"

    async def layers(self, uid: str) -> dict[str, Layer]:
        return {}

    def dedicated(self, images: str) -> bool:
        return self.images_elsewhere

    def signals(self, images: str, now: float) -> dict[str, Observation]:
        return {name: Observation(free, 1000, now) for name, free in self.free.items()}

    def memory(self, places: PodPlaces) -> PodUsage:
        return self.uses[places.pod.metadata.uid]

    def disk(self, places: PodPlaces, layers: dict[str, Layer], volumes: Mapping[str, Space] | None = None) -> PodUsage:
        use = self.uses[places.pod.metadata.uid]
        self.walks += volumes is None
        return use if volumes is None else replace(use, volumes=volumes)


HARD = Configuration(eviction_hard={"memory.available": "100", "nodefs.available": "10%"}, enforce_node_allocatable=())


def on_a_node(config: Configuration, story: Callable[[Node], Coroutine[Any, Any, None]], frees: int = 0) -> None:
    simulate(lambda clock: Node(clock, config, frees), lambda node: node.manager.run(), story)


def test_one_pod_goes_at_a_time_until_there_is_enough() -> None:
    async def story(node: Node) -> None:
        for number in range(4):
            node.add(f"p{number}", PodUsage(memory=10 + number))
        node.free["memory.available"] = 40
        await node.clock.sleep(60)
        assert [uid for uid, _ in node.ended] == ["p3", "p2"]
        verdict = node.ended[0][1]
        assert (verdict.reason, verdict.grace) == ("Evicted", 1.0)
        assert verdict.disruption == verdict.message
        assert verdict.message.startswith(
            "The node was low on resource: memory. Threshold quantity: 100, available: 40. "
        )
        assert node.told[:2] == [
            ("n1", "EvictionThresholdMet", "Attempting to reclaim memory"),
            ("p3", "Evicted", verdict.message),
        ]

    on_a_node(HARD, story, frees=40)


def test_the_next_waits_for_the_one_before_it() -> None:
    async def story(node: Node) -> None:
        node.add("slow", PodUsage(memory=90), goes=25.0)
        node.add("other", PodUsage(memory=10))
        node.free["memory.available"] = 40
        await node.clock.sleep(20)
        assert [uid for uid, _ in node.ended] == ["slow"]
        await node.clock.sleep(10)
        assert [uid for uid, _ in node.ended] == ["slow", "other"]

    on_a_node(HARD, story)


def test_critical_and_static_pods_stay_whatever_is_short() -> None:
    async def story(node: Node) -> None:
        node.add("critical", PodUsage(memory=900), priority=2_000_000_000)
        node.free["memory.available"] = 1
        await node.clock.sleep(60)
        assert node.ended == []
        node.add("small", PodUsage(memory=1))
        await node.clock.sleep(20)
        assert [uid for uid, _ in node.ended] == ["small"]

    on_a_node(HARD, story)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_logs_of_the_dead_go_before_the_living_wherever_images_are(elsewhere: bool) -> None:
    async def story(node: Node) -> None:
        node.images_elsewhere = elsewhere
        node.add("web", PodUsage(containers={"c": ContainerUse(logs=Space(10))}))
        node.reclaims = 30
        node.free["nodefs.available"] = 80
        await node.clock.sleep(60)
        assert (node.reclaimed, node.images_removed, node.ended) == (1, 0 if elsewhere else 1, [])

    on_a_node(HARD, story)


def test_what_can_be_freed_without_harm_is_freed_first() -> None:
    async def story(node: Node) -> None:
        node.add("web", PodUsage(containers={"c": ContainerUse(root=Space(500))}))
        node.reclaims = 30
        node.free["nodefs.available"] = 80
        await node.clock.sleep(60)
        assert (node.reclaimed, node.ended) == (1, [])
        assert node.manager.pressures == {"DiskPressure"}
        node.reclaims = 0
        node.free["nodefs.available"] = 80
        await node.clock.sleep(30)
        assert [uid for uid, _ in node.ended] == ["web"]

    on_a_node(HARD, story)


def test_the_nodes_condition_appears_at_once_and_goes_after_the_transition_period() -> None:
    async def story(node: Node) -> None:
        node.free["memory.available"] = 150
        await node.clock.sleep(15)
        assert (node.manager.pressures, node.changes) == ({"MemoryPressure"}, 1)
        node.free["memory.available"] = 900
        await node.clock.sleep(40)
        assert node.manager.pressures == {"MemoryPressure"}
        await node.clock.sleep(40)
        assert (node.manager.pressures, node.changes, node.ended) == (frozenset(), 2, [])

    soft = Configuration(
        eviction_hard={},
        eviction_soft={"memory.available": "200"},
        eviction_soft_grace_period={"memory.available": "1m"},
        eviction_pressure_transition_period=60.0,
        enforce_node_allocatable=(),
    )
    on_a_node(soft, story)


def test_a_soft_threshold_leaves_the_pod_its_own_grace_or_what_is_configured() -> None:
    def told(most: int) -> float | None:
        found: list[float | None] = []

        async def story(node: Node) -> None:
            node.add("web", PodUsage(memory=10))
            node.free["memory.available"] = 150
            await node.clock.sleep(55)
            assert node.ended == []
            await node.clock.sleep(20)
            found.append(node.ended[0][1].grace)

        soft = Configuration(
            eviction_hard={},
            eviction_soft={"memory.available": "200"},
            eviction_soft_grace_period={"memory.available": "1m"},
            eviction_max_pod_grace_period=most,
            enforce_node_allocatable=(),
        )
        on_a_node(soft, story)
        return found[0]

    assert (told(0), told(7)) == (None, 7.0)


def test_a_pod_over_its_own_limit_goes_without_any_pressure_and_no_one_else_is_to_blame() -> None:
    async def story(node: Node) -> None:
        volume = core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource(sizeLimit="10"))
        node.add("kept", PodUsage(volumes={"v": Space(10)}), volumes=(volume,))
        node.add("over", PodUsage(volumes={"v": Space(11)}), volumes=(volume,))
        node.add("unlimited", PodUsage(volumes={"v": Space(900)}))
        await node.clock.sleep(70)
        assert [(uid, v.message, v.disruption) for uid, v in node.ended] == [
            ("over", 'Usage of EmptyDir volume "v" exceeds the limit "10". ', "")
        ]
        assert node.manager.pressures == frozenset()

    on_a_node(HARD, story)


def test_what_containers_write_is_seen_within_ten_seconds_and_volumes_are_walked_once_a_minute() -> None:
    async def story(node: Node) -> None:
        volume = core_v1.Volume(name="v", emptyDir=core_v1.EmptyDirVolumeSource(sizeLimit="10"))
        limit = core_v1.ResourceRequirements(limits={"ephemeral-storage": "50"})
        node.add("volume", PodUsage(volumes={"v": Space(1)}), volumes=(volume,))
        node.add("log", PodUsage(), volumes=())
        spec = replace(node.workers["log"].pod.spec, containers=(container(resources=limit),))
        node.workers["log"].pod = replace(node.workers["log"].pod, spec=spec)
        await node.clock.sleep(15)
        assert node.walks == 2
        node.uses["log"] = PodUsage(containers={"c": ContainerUse(logs=Space(51))})
        node.uses["volume"] = PodUsage(volumes={"v": Space(11)})
        await node.clock.sleep(10)
        assert [uid for uid, _ in node.ended] == ["log"]
        await node.clock.sleep(50)
        assert [uid for uid, _ in node.ended] == ["log", "volume"]

    on_a_node(HARD, story)


def test_whom_a_kubelet_that_came_back_has_not_looked_at_yet_is_not_taken_for_unknown() -> None:
    async def story(node: Node) -> None:
        node.add("unseen", PodUsage(memory=900))
        node.workers["unseen"].observed = Observed(now=0)
        node.add("seen", PodUsage(memory=10))
        node.free["memory.available"] = 40
        await node.clock.sleep(5)
        assert [uid for uid, _ in node.ended] == ["seen"]

    on_a_node(HARD, story)
