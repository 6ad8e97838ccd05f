"""NodeAffinity: nodeSelector and node affinity, as masks over columns of interned label values."""

from collections.abc import Hashable, Iterable

import msgspec
import numpy as np

from pybernetes.api.types.core_v1 import Affinity
from pybernetes.rules.affinity import required_terms
from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected, normalized
from pybernetes.scheduler.node_terms import selector_mask, term_mask
from pybernetes.scheduler.snapshot import Floats


class _NodeAffinity(Plugin):
    name = "NodeAffinity"
    order = 40
    weight = 2
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.NODE_LABELS})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        snapshot = cycle.snapshot
        fits = np.ones(snapshot.size, np.bool_)
        for key, value in cycle.pod.spec.nodeSelector.items():
            fits &= snapshot.label(key) == snapshot.value_id(value)
        required = required_terms(cycle.pod)
        if required is not None:
            fits &= selector_mask(snapshot, required)
        yield Rejected("node(s) didn't match Pod's node affinity/selector", ~fits, final=True)

    def shape(self, cycle: Cycle) -> Hashable:
        spec = cycle.pod.spec
        return msgspec.json.encode((sorted(spec.nodeSelector.items()), required_terms(cycle.pod)))

    def score(self, cycle: Cycle) -> Floats | None:
        affinity = cycle.pod.spec.affinity or Affinity()
        preferred = (
            affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution if affinity.nodeAffinity else ()
        )
        points = np.zeros(cycle.snapshot.size)
        for wish in preferred:
            points += wish.weight * term_mask(cycle.snapshot, wish.preference)
        return normalized(points, cycle.feasible)


PLUGIN = _NodeAffinity()
