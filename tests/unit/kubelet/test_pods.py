"""The table of Pods: who is admitted, who is asked about again, and who makes room."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from tests.unit.kubelet.fakes import simulate
from tests.unit.kubelet.pods import container, pod

from pybernetes.aio.simulation import SimulatedClock
from pybernetes.api.types import core_v1
from pybernetes.kubelet import metrics
from pybernetes.kubelet.admission import Host
from pybernetes.kubelet.allocation import Allocations
from pybernetes.kubelet.cri.model import Container, Sandbox
from pybernetes.kubelet.pod_actions import Action
from pybernetes.kubelet.pods import Parts, Pods
from pybernetes.kubelet.settings import Settings
from pybernetes.kubelet.worker import PodWorker

HOST = Host("n1", {"cpu": "1", "pods": "10"}, labels={"disk": "ssd"})


class Node:
    """Everything around the table: an executor that does nothing, an API that takes every status."""

    def __init__(self, clock: SimulatedClock, folder: Path) -> None:
        self.clock = clock
        self.fresh = HOST
        self.asked = 0
        self.told: list[tuple[str, str]] = []
        self.begun: list[tuple[str, str]] = []
        everything: Any = self
        parts = Parts(everything, everything, everything, everything, Allocations(folder), lambda: HOST, self.look)
        self.table = Pods(parts, Settings("n1", ("192.0.2.1",)), clock)

    async def look(self) -> Host:
        self.asked += 1
        await self.clock.sleep(1)
        return self.fresh

    async def sandboxes(self, uid: str) -> list[Sandbox]:
        return []

    async def containers(self, uid: str) -> list[Container]:
        return []

    async def perform(self, worker: PodWorker, action: Action) -> None:
        self.begun.append((worker.ref.name, action.key))
        await self.clock.sleep(5 if action.key == "teardown" else 1000)

    def tell(self, worker: PodWorker, container: str, kind: str, reason: str, message: str) -> None:
        self.told.append((worker.ref.name, reason))

    def known(self, found: core_v1.Pod) -> core_v1.Pod:
        return found

    async def report(self, found: core_v1.Pod, status: core_v1.PodStatus) -> bool:
        return True

    def forget(self, uid: str) -> None:
        return

    def verdict(self, name: str) -> str:
        verdict = self.table.workers[name].verdict
        return "" if verdict is None else verdict.reason


def with_node(folder: Path, story: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
    async def begun(node: Node) -> None:
        await asyncio.sleep(0)
        await story(node)

    simulate(lambda clock: Node(clock, folder), lambda node: node.table.run(), begun)


def named(name: str, cpu: str = "100m", **spec: Any) -> core_v1.Pod:
    wants = core_v1.ResourceRequirements(requests={"cpu": cpu})
    return pod(container(resources=wants), meta={"name": name, "uid": name}, **spec)


def test_before_a_pod_is_refused_for_a_label_the_api_is_asked_for_the_newest(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        node.fresh = replace(HOST, labels={"disk": "ssd", "new": "yes"})
        node.table.changed(None, named("new", nodeSelector={"new": "yes"}))
        node.table.changed(None, named("lost", nodeSelector={"disk": "hdd"}))
        node.table.changed(None, named("at-home", nodeSelector={"disk": "ssd"}))
        await node.clock.sleep(0.5)
        assert {name for name, _ in node.begun} == {"at-home"}
        await node.clock.sleep(1)
        assert {name for name, key in node.begun if key == "prepare"} == {"at-home", "new"}
        assert (node.verdict("new"), node.verdict("lost"), node.asked) == ("", "NodeAffinity", 2)
        assert node.told == [("lost", "NodeAffinity")]

    with_node(tmp_path, story)


def test_a_critical_pod_starts_when_those_it_displaced_have_ended(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        node.table.changed(None, named("idle", "100m"))
        node.table.changed(None, named("busy", "900m"))
        await node.clock.sleep(1)
        node.table.changed(None, named("critical", "500m", priority=2_000_000_000))
        assert (node.verdict("busy"), node.verdict("idle")) == ("Preempting", "")
        assert ("critical", "prepare") not in node.begun
        await node.clock.sleep(1)
        assert ("critical", "prepare") in node.begun
        assert node.told == [("busy", "Preempting")]

    with_node(tmp_path, story)


def test_a_pod_that_is_gone_or_refused_takes_no_room(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        first = named("first", "800m")
        node.table.changed(None, first)
        before = metrics.REJECTIONS.values.get(("OutOfcpu",), 0)
        node.table.changed(None, named("refused", "300m"))
        assert node.verdict("refused") == "OutOfcpu"
        assert metrics.REJECTIONS.values["OutOfcpu",] == before + 1
        node.table.changed(None, named("small", "200m"))
        assert node.verdict("small") == ""
        node.table.changed(first, None)
        node.table.changed(None, named("second", "800m"))
        assert node.verdict("second") == ""

    with_node(tmp_path, story)


def test_a_kubelet_that_comes_back_refuses_nobody_and_ends_whom_it_was_ending(tmp_path: Path) -> None:
    async def story(node: Node) -> None:
        since = core_v1.PodStatus(phase="Running", startTime="2026-01-01T00:00:00Z")
        for name in ("a", "b"):
            node.table.changed(None, replace(named(name, "900m"), status=since))
        evicted = replace(since, reason="Evicted", message="The node was low on resource: memory. ")
        node.table.changed(None, replace(named("c", "900m"), status=evicted))
        assert [node.verdict(name) for name in ("a", "b", "c")] == ["", "", "Evicted"]

    with_node(tmp_path, story)
