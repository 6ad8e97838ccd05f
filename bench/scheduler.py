"""Scheduling decisions at 1,000 and 5,000 Nodes, against the least arithmetic in numpy: one mask, one score, one choice."""

import random
from collections.abc import Sequence

import msgspec
import numpy as np

from bench import Benchmark, Row, microseconds
from pybernetes.api.types.core_v1 import Node, Pod
from pybernetes.scheduler.framework import Framework, Placed
from pybernetes.scheduler.loop import plugins
from pybernetes.scheduler.snapshot import PodInfo, Snapshot, pod_info

PODS_A_NODE = 10
DECISIONS = 300


def node(number: int) -> Node:
    """A Node of one of three zones."""
    labels = {"kubernetes.io/hostname": f"n{number}", "topology.kubernetes.io/zone": f"z{number % 3}"}
    capacity = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    made = {"metadata": {"name": f"n{number}", "labels": labels}, "status": {"allocatable": capacity}}
    return msgspec.convert(made, Node)


def pod(name: str) -> PodInfo:
    """A Pod of a ReplicaSet that wants a little of CPU and memory."""
    requests = {"cpu": "100m", "memory": "128Mi"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": name[:1], "controller": True}
    made = {
        "metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "web", "resources": {"requests": requests}}]},
    }
    return pod_info(msgspec.convert(made, Pod))


def _world(nodes: int) -> Snapshot:
    snapshot = Snapshot()
    for number in range(nodes):
        snapshot.put_node(node(number))
        for index in range(PODS_A_NODE):
            snapshot.put_pod(pod(f"{index}-{number}"), f"n{number}")
    return snapshot


def _ours(nodes: int) -> float:
    """Microseconds a decision; each Pod is then counted on its Node, as the loop does."""
    snapshot = _world(nodes)
    framework = Framework(plugins(), random.Random(0).choice)
    waiting = iter([pod(f"w-{number}") for number in range(DECISIONS * 4)])

    def decide() -> None:
        info = next(waiting)
        placed = framework.place(info, snapshot)
        assert isinstance(placed, Placed)
        snapshot.put_pod(info, placed.node)

    decide()
    return microseconds(decide, calls=DECISIONS, repeats=3)


def _floor(nodes: int) -> float:
    """What fits by CPU, memory and count; least allocated of both; the best row; counted."""
    size = 1 << (nodes - 1).bit_length()
    cpu, memory, pods = (np.full(size, amount, np.int64) for amount in (8000, 32 << 30, 110))
    used_cpu, used_memory, used_pods = (np.full(size, amount, np.int64) for amount in (1000, 1280 << 20, 10))

    def decide() -> None:
        fits = (used_cpu + 100 <= cpu) & (used_memory + (128 << 20) <= memory) & (used_pods + 1 <= pods)
        free = (cpu - used_cpu - 100) / cpu + (memory - used_memory - (128 << 20)) / memory
        row = int(np.argmax(np.where(fits, free, -1.0)))
        used_cpu[row] += 100
        used_memory[row] += 128 << 20
        used_pods[row] += 1

    decide()
    return microseconds(decide, calls=DECISIONS, repeats=3)


def run() -> Sequence[Row]:
    """A row a number of Nodes."""
    return [Row(f"decision at {nodes:,} nodes", _ours(nodes), _floor(nodes)) for nodes in (1000, 5000)]


BENCHMARK = Benchmark("scheduler", "one Pod's Node of all plugins; floor: resources and least allocated in numpy", run)
