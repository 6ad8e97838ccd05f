"""TaintToleration: Nodes repel Pods that do not tolerate their taints; soft taints cost points."""

from collections.abc import Hashable, Iterable

import msgspec
import numpy as np

from pybernetes.rules.taints import PREFER_NO_SCHEDULE, tolerates, untolerated
from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected, normalized
from pybernetes.scheduler.snapshot import Floats


class _TaintToleration(Plugin):
    name = "TaintToleration"
    order = 30
    weight = 3
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.NODE_TAINTS})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        tolerations = cycle.pod.spec.tolerations
        refused = [untolerated(taints, tolerations) is not None for taints in cycle.snapshot.taint_sets]
        yield Rejected("node(s) had untolerated taint(s)", np.array(refused)[cycle.snapshot.taints], final=True)

    def shape(self, cycle: Cycle) -> Hashable:
        return msgspec.json.encode(cycle.pod.spec.tolerations)

    def score(self, cycle: Cycle) -> Floats | None:
        counts = []
        for taints in cycle.snapshot.taint_sets:
            soft = [taint for taint in taints if taint.effect == PREFER_NO_SCHEDULE]
            held = cycle.pod.spec.tolerations
            counts.append(float(sum(not any(tolerates(toleration, taint) for toleration in held) for taint in soft)))
        return normalized(np.array(counts)[cycle.snapshot.taints], cycle.feasible, reverse=True)


PLUGIN = _TaintToleration()
