"""NodeResourcesFit: a Node must have free what the Pod requests; of those that have, the least allocated is best."""

from collections.abc import Iterable

import numpy as np

from pybernetes.rules.requests import ASSUMED, PODS, amounts
from pybernetes.scheduler.framework import MAX_SCORE, ClusterEvent, Cycle, Happening, Plugin, Rejected
from pybernetes.scheduler.snapshot import Floats, PodInfo


class _NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    order = 60
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.NODE_ALLOCATABLE, Happening.POD_FREED})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        snapshot = cycle.snapshot
        yield Rejected("Too many pods", snapshot.pod_count + 1 > snapshot.allocatable(PODS))
        for resource, wanted in cycle.info.requests.items():
            if wanted:
                all_of_it = snapshot.allocatable(resource)
                yield Rejected(f"Insufficient {resource}", snapshot.requested(resource) + wanted > all_of_it)

    def score(self, cycle: Cycle) -> Floats | None:
        total = np.zeros(cycle.snapshot.size)
        for resource in ASSUMED:
            all_of_it = cycle.snapshot.allocatable(resource)
            used = cycle.snapshot.assumed(resource) + cycle.info.assumed.get(resource, 0)
            free = np.maximum(all_of_it - used, 0)
            total += free * MAX_SCORE / np.maximum(all_of_it, 1)
        return total / len(ASSUMED)

    def hint(self, event: ClusterEvent, info: PodInfo) -> bool:
        """A Node that would be too small even if it were empty helps nobody."""
        if event.node is None:
            return True
        has = amounts(event.node.status.allocatable)
        return all(has.get(resource, 0) >= wanted for resource, wanted in info.requests.items())


PLUGIN = _NodeResourcesFit()
