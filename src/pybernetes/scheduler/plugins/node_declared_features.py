"""NodeDeclaredFeatures: a Pod that needs a newer feature goes to a Node that declares it in its status (KEP-5328)."""

from collections.abc import Iterable

import numpy as np

from pybernetes.rules.nodefeatures import missing_features
from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected


class _NodeDeclaredFeatures(Plugin):
    name = "NodeDeclaredFeatures"
    order = 100
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.NODE_FEATURES})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        if not missing_features(cycle.pod, ()):
            return
        lacking: dict[tuple[str, ...], list[int]] = {}
        for row, name in cycle.snapshot.names():
            lacking.setdefault(
                missing_features(cycle.pod, cycle.snapshot.nodes[name].status.declaredFeatures), []
            ).append(row)
        for features, rows in lacking.items():
            if features:
                mask = np.zeros(cycle.snapshot.size, np.bool_)
                mask[rows] = True
                why = f"node declared features check failed - unsatisfied requirements: {', '.join(features)}"
                yield Rejected(why, mask, final=True)


PLUGIN = _NodeDeclaredFeatures()
