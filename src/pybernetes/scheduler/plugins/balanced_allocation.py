"""NodeResourcesBalancedAllocation: prefers Nodes whose CPU and memory would be used in equal shares."""

import numpy as np

from pybernetes.rules.requests import CPU, MEMORY
from pybernetes.scheduler.framework import MAX_SCORE, Cycle, Plugin
from pybernetes.scheduler.snapshot import Floats


class _BalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    order = 70

    def score(self, cycle: Cycle) -> Floats | None:
        if not any(cycle.info.requests.get(resource) for resource in (CPU, MEMORY)):
            return None  # a Pod that requests nothing cannot balance anything
        shares = []
        for resource in (CPU, MEMORY):
            all_of_it = np.maximum(cycle.snapshot.allocatable(resource), 1)
            used = cycle.snapshot.requested(resource) + cycle.info.requests.get(resource, 0)
            shares.append(np.minimum(used / all_of_it, 1.0))
        deviation = np.abs(shares[0] - shares[1]) / 2
        points: Floats = (1.0 - deviation) * MAX_SCORE
        return points


PLUGIN = _BalancedAllocation()
