"""DefaultSpread: Pods of one controller spread over Nodes and zones, without anybody asking for it.

It stands for the system defaults of upstream's PodTopologySpread (both topology keys, ScheduleAnyway): a wish, never a
demand. Pods of one group are those with the same controller.
"""

import numpy as np

from pybernetes.scheduler.framework import MAX_SCORE, Cycle, Plugin
from pybernetes.scheduler.snapshot import MISSING, Floats

ZONE = "topology.kubernetes.io/zone"
_ZONE_SHARE = 2 / 3


class _DefaultSpread(Plugin):
    name = "DefaultSpread"
    order = 80
    weight = 2

    def score(self, cycle: Cycle) -> Floats | None:
        group = cycle.info.group
        if group is None or cycle.pod.spec.topologySpreadConstraints:
            return None
        snapshot = cycle.snapshot
        counts = snapshot.group_count(group).astype(np.float64)
        points = _fewer_is_better(counts, counts[cycle.feasible].max(initial=0.0))
        zones = snapshot.label(ZONE)
        if not (zones[cycle.feasible] != MISSING).any():
            return points
        by_zone = np.bincount(zones[snapshot.present] + 1, weights=counts[snapshot.present])
        in_zone = by_zone[np.where(snapshot.present, zones, MISSING) + 1]
        zone_points = _fewer_is_better(in_zone, in_zone[cycle.feasible].max(initial=0.0))
        return np.where(zones != MISSING, points * (1 - _ZONE_SHARE) + zone_points * _ZONE_SHARE, points)


def _fewer_is_better(counts: Floats, most: float) -> Floats:
    if most <= 0:
        return np.full(len(counts), MAX_SCORE)
    points: Floats = np.clip((most - counts) / most, 0.0, 1.0) * MAX_SCORE
    return points


PLUGIN = _DefaultSpread()
