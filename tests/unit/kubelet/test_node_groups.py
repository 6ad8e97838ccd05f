"""The groups above those of Pods."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.kubelet.fakes import at_once
from tests.unit.kubelet.pods import pod

from pybernetes.aio.simulation import SimulatedClock, run_simulated
from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.node_groups import NodeGroups, wanted_limits

CAPACITY = {"cpu": "2", "memory": "1Gi", "pods": "110"}
RESERVED = Configuration(
    enforce_node_allocatable=("pods", "system-reserved", "kube-reserved-compressible"),
    system_reserved={"cpu": "500m", "memory": "256Mi"},
    system_reserved_cgroup="/system",
    kube_reserved={"cpu": "250m", "memory": "128Mi", "pid": "100"},
    kube_reserved_cgroup="/kube",
)


def test_pods_may_use_what_is_not_reserved_and_daemons_what_is() -> None:
    assert wanted_limits(RESERVED, CAPACITY) == {
        "pods": {"cpu": 1250, "memory": 640 << 20},
        "system-reserved": {"cpu": 500, "memory": 256 << 20},
        "kube-reserved-compressible": {"cpu": 250},
    }
    assert wanted_limits(Configuration(enforce_node_allocatable=()), CAPACITY) == {}


class Tree:
    """Groups in memory; /kube cannot be limited at first."""

    def __init__(self) -> None:
        self.limited: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.counted: list[int] = []
        self.fails = 2

    def enforce(self, amounts: Mapping[str, int]) -> None:
        self.limited.append("pods")

    def enforce_on(self, path: str, amounts: Mapping[str, int]) -> None:
        if path == "/kube" and self.fails:
            self.fails -= 1
            raise FileNotFoundError(f"cgroup {path!r} does not exist")
        self.limited.append(path)

    def update_classes(self, pods: tuple[core_v1.Pod, ...]) -> None:
        self.counted.append(len(pods))

    def event(self, about: core_v1.ObjectReference, kind: str, reason: str, message: str) -> None:
        self.told.append((reason, message))


def test_what_cannot_be_limited_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", at_once)

    async def main() -> None:
        clock = SimulatedClock(asyncio.get_running_loop(), seed=1)
        tree: Any = Tree()
        pods: list[core_v1.Pod] = []
        groups = NodeGroups(tree, RESERVED, lambda: pods, tree, clock)
        task = asyncio.create_task(groups.run(core_v1.ObjectReference(kind="Node", name="n1"), CAPACITY))
        await clock.sleep(30)
        assert tree.limited == ["pods", "/system"]
        assert tree.told == [
            ("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods"),
            ("NodeAllocatableEnforced", "Updated limits on system reserved cgroup /system"),
            (
                "FailedNodeAllocatableEnforcement",
                "Failed to enforce Kube Reserved Compressible Cgroup Limits on \"/kube\": cgroup '/kube' does not exist",
            ),
        ]
        pods.append(pod())
        groups.wake()
        await clock.sleep(1)
        assert tree.counted[-1] == 1
        await clock.sleep(120)
        assert tree.limited == ["pods", "/system", "/kube"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_simulated(main())
