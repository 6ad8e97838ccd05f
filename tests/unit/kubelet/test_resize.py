"""Whether a resize can be given, and what the Pod is told of it."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.unit.kubelet.fakes import simulate
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.simulation import SimulatedClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet.admission import Host
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cri.model import PodRef
from pybernetes.kubelet.pod_actions import Verdict
from pybernetes.kubelet.resize import Answer, Around, Resizes, answer, shown, told
from pybernetes.kubelet.resources import Actual

NODE = {"cpu": "2", "memory": "1Gi", "pods": "10"}


def asking(name: str, cpu: str = "100m", generation: int = 1, **more: Any) -> core_v1.Pod:
    wants = core_v1.ResourceRequirements(requests={"cpu": cpu, **more.pop("amounts", {})})
    return pod(container(resources=wants), meta={"name": name, "uid": name, "generation": generation}, **more)


def test_what_the_node_never_has_is_infeasible_and_what_others_have_is_deferred() -> None:
    others = [asking("other", "1500m")]
    assert answer(asking("a", "500m"), others, NODE) is None
    assert answer(asking("a", "600m"), others, NODE) == Answer(
        "Deferred", "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000"
    )
    assert answer(asking("a", "3"), [], NODE) == Answer(
        "Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"
    )
    assert answer(asking("a", "3", amounts={"memory": "2Gi"}), [], NODE) == Answer(
        "Infeasible", "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"
    )


def test_what_a_pod_has_does_not_stand_in_the_way_of_what_it_asks_for() -> None:
    has = core_v1.ContainerStatus(name="c", allocatedResources={"cpu": "2"})
    smaller = asking("a", "100m")
    smaller = core_v1.Pod(
        metadata=smaller.metadata, spec=smaller.spec, status=core_v1.PodStatus(containerStatuses=(has,))
    )
    assert answer(smaller, [asking("other", "1500m")], NODE) is None


def test_events_say_what_was_asked_for() -> None:
    assert told("Pod resize started", asking("a", "200m", 3)) == (
        'Pod resize started: {"containers":[{"name":"c","resources":{"requests":{"cpu":"200m"}}}],"generation":3}'
    )
    assert told("Pod resize error", asking("a"), "no").endswith(',"generation":1,"error":"no"}')


ASKED = core_v1.ResourceRequirements(requests={"cpu": "1m", "memory": "16Mi"}, limits={"cpu": "5m", "memory": "32Mi"})


def test_the_status_says_what_the_kernel_has_in_the_words_of_the_spec() -> None:
    # 1m and 5m are below the least that the kernel takes: what is asked for is what is had.
    assert shown(ASKED, Actual(2, 1000, 100_000, 32 << 20)) == ASKED
    assert shown(ASKED, Actual(0, 1000, 100_000, 32 << 20)) == ASKED
    other = shown(ASKED, Actual(512, 20_000, 100_000, 64 << 20))
    assert (other.requests, other.limits) == (
        {"cpu": "500m", "memory": "16Mi"},
        {"cpu": "200m", "memory": "64Mi"},
    )


class Worker:
    def __init__(self, name: str) -> None:
        self.ref = PodRef("default", name, name)
        self.conditions: dict[str, core_v1.PodCondition | None] = {}
        self.verdict: Verdict | None = None
        self.woken = 0

    def wake(self, *, look: bool = True) -> None:
        self.woken += 1


class Node:
    """Pods of a node and their resizes."""

    def __init__(self, clock: SimulatedClock, folder: Path) -> None:
        self.clock = clock
        self.told: list[tuple[str, str]] = []
        self.pods: dict[str, core_v1.Pod] = {}
        self.workers: dict[str, Worker] = {}
        self.saved: list[str] = []
        self.allocations = Allocations(folder)
        around: Any = Around(
            allocations=self.allocations,
            host=lambda: Host("n1", NODE),
            admitted=lambda uid: [self.allocations.of(p) for p in self.pods.values() if p.metadata.uid != uid],
            workers=lambda: list(self.workers.values()),  # type: ignore[arg-type, return-value]  # what is asked of them
            asked=self.pods.get,
            events=self,  # type: ignore[arg-type]
            later=self.saved.append,
            given=lambda: None,
        )
        self.resizes = Resizes(around, clock)

    def has(self, made: core_v1.Pod) -> Worker:
        """The API has this version of a Pod."""
        uid = made.metadata.uid
        old = self.pods.get(uid)
        self.pods[uid] = made
        self.allocations.take_up(made)
        worker: Any = self.workers.setdefault(uid, Worker(uid))
        self.resizes.changed(worker, old, made)
        return worker

    def goes(self, uid: str) -> None:
        del self.pods[uid], self.workers[uid]
        self.resizes.gone(uid)

    def event(self, about: core_v1.Pod, kind: str, reason: str, message: str) -> None:
        self.told.append((about.metadata.name, reason))

    def allocated(self, uid: str) -> str:
        return self.allocations.of(self.pods[uid]).spec.containers[0].resources.requests["cpu"]


def on_a_node(folder: Path, story: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
    simulate(lambda clock: Node(clock, folder), lambda node: node.resizes.run(), story)


def reason(worker: Worker, kind: str) -> str | None:
    condition = worker.conditions.get(kind)
    return None if condition is None else condition.reason


def test_a_resize_that_fits_is_given_and_in_progress_until_it_is_applied(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        worker: Any = node.has(asking("a"))
        assert worker.conditions == {}
        made = asking("a", "1", 2)
        node.has(made)
        condition = worker.conditions["PodResizeInProgress"]
        assert (condition.status, condition.reason, condition.observedGeneration) == ("True", "", 2)
        assert (node.allocated("a"), node.saved, node.told) == ("1", ["a"], [("a", "ResizeStarted")])
        node.resizes.failed(worker, made, "no")
        node.resizes.failed(worker, made, "no")
        assert reason(worker, "PodResizeInProgress") == "Error"
        node.allocations.applied(made, {"c"})
        node.resizes.progressed(worker, made)
        assert reason(worker, "PodResizeInProgress") == "Error"  # the Pod's cgroup is still as it was
        node.allocations.applied(made, {""})
        node.resizes.progressed(worker, made)
        assert worker.conditions["PodResizeInProgress"] is None
        assert [told for _, told in node.told] == ["ResizeStarted", "ResizeError", "ResizeCompleted"]

    on_a_node(tmp_path, story)


def test_deferred_resizes_are_given_when_there_is_room_the_important_first(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        node.has(asking("full", "1700m"))
        low = node.has(asking("low"))
        high = node.has(asking("high", priority=10))
        node.has(asking("low", "1500m", 2))
        await node.clock.sleep(1)
        node.has(asking("high", "1500m", 2, priority=10))
        assert (reason(low, "PodResizePending"), reason(high, "PodResizePending")) == ("Deferred", "Deferred")
        node.goes("full")
        await node.clock.sleep(1)
        assert (node.allocated("high"), node.allocated("low")) == ("1500m", "100m")
        assert (high.conditions["PodResizePending"], reason(low, "PodResizePending")) == (None, "Deferred")
        # What is told once is not told with every try.
        await node.clock.sleep(1000)
        assert node.told.count(("low", "ResizeDeferred")) == 2  # once beside "full", once beside "high"

    on_a_node(tmp_path, story)


def test_an_infeasible_resize_waits_for_another_spec(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        worker = node.has(asking("a"))
        node.has(asking("a", "5", 2))
        assert reason(worker, "PodResizePending") == "Infeasible"
        await node.clock.sleep(1000)
        assert node.told == [("a", "ResizeInfeasible")]
        node.has(asking("a", "100m", 3))
        assert worker.conditions["PodResizePending"] is None
        assert node.allocated("a") == "100m"

    on_a_node(tmp_path, story)
