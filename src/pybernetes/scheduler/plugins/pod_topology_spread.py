"""PodTopologySpread: keeps the numbers of matching Pods in a topology's domains close to each other (KEP-895)."""

from collections.abc import Iterable, Sequence

import numpy as np

from pybernetes.api.types.core_v1 import TopologySpreadConstraint
from pybernetes.rules.affinity import fits
from pybernetes.rules.taints import untolerated
from pybernetes.scheduler.framework import MAX_SCORE, Cycle, Happening, Plugin, Rejected
from pybernetes.scheduler.matching import by_constraint, in_domain
from pybernetes.scheduler.snapshot import MISSING, Floats, Ints, Mask

_MISFIT = "node(s) didn't match pod topology spread constraints"


class _PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    order = 90
    weight = 2
    unblocked_by = frozenset(
        {
            Happening.NODE_ADDED,
            Happening.NODE_LABELS,
            Happening.NODE_TAINTS,
            Happening.POD_FREED,
            Happening.POD_ASSIGNED,
        }
    )

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        constraints = _of(cycle, "DoNotSchedule")
        for constraint in constraints:
            domains = cycle.snapshot.label(constraint.topologyKey)
            lacking = (domains == MISSING) & cycle.feasible  # a Node has one reason only
            yield Rejected(f"{_MISFIT} (missing required label)", lacking, final=True)
        for constraint in constraints:
            yield Rejected(_MISFIT, _too_uneven(cycle, constraint, constraints) & cycle.feasible)

    def score(self, cycle: Cycle) -> Floats | None:
        constraints = _of(cycle, "ScheduleAnyway")
        if not constraints:
            return None
        cost = np.zeros(cycle.snapshot.size)
        placed = cycle.feasible.copy()
        for constraint in constraints:
            domains, counts = _counted(cycle, constraint, constraints)
            size = len(np.unique(domains[cycle.feasible & (domains != MISSING)]))
            cost += counts * np.log(size + 2) + (constraint.maxSkew - 1)
            placed &= domains != MISSING
        if not placed.any():
            return None
        most, least = cost[placed].max(), cost[placed].min()
        points = MAX_SCORE * (most + least - cost) / most if most > 0 else np.full(len(cost), MAX_SCORE)
        return np.where(placed, points, 0.0)


def _of(cycle: Cycle, when: str) -> Sequence[TopologySpreadConstraint]:
    return [c for c in cycle.pod.spec.topologySpreadConstraints if c.whenUnsatisfiable == when]


def _too_uneven(
    cycle: Cycle, constraint: TopologySpreadConstraint, all_of_them: Sequence[TopologySpreadConstraint]
) -> Mask:
    domains, counts = _counted(cycle, constraint, all_of_them)
    eligible = _eligible(cycle, constraint, all_of_them)
    there = counts[eligible]
    least = int(there.min()) if len(there) else 0
    if constraint.minDomains and len(np.unique(domains[eligible])) < constraint.minDomains:
        least = 0
    own = by_constraint(constraint, cycle.info.kin.namespace, cycle.pod.metadata.labels)(cycle.info.kin)
    uneven: Mask = counts + int(own) - least > constraint.maxSkew
    return uneven


def _counted(
    cycle: Cycle, constraint: TopologySpreadConstraint, all_of_them: Sequence[TopologySpreadConstraint]
) -> tuple[Ints, Ints]:
    """(domain of each Node, matching Pods in it)."""
    snapshot = cycle.snapshot
    domains = snapshot.label(constraint.topologyKey)
    counts = snapshot.count(by_constraint(constraint, cycle.info.kin.namespace, cycle.pod.metadata.labels))
    return domains, in_domain(domains, counts, _eligible(cycle, constraint, all_of_them))


def _eligible(
    cycle: Cycle, constraint: TopologySpreadConstraint, all_of_them: Sequence[TopologySpreadConstraint]
) -> Mask:
    """Nodes whose Pods count: those with every topology key that the policies do not leave out."""
    snapshot = cycle.snapshot
    eligible = snapshot.present.copy()
    for each in all_of_them:
        eligible &= snapshot.label(each.topologyKey) != MISSING
    honor_affinity = constraint.nodeAffinityPolicy != "Ignore"
    honor_taints = constraint.nodeTaintsPolicy == "Honor"
    spec = cycle.pod.spec
    for row, name in snapshot.names():
        node = snapshot.nodes[name]
        if (honor_affinity and not fits(cycle.pod, node.metadata.labels, name)) or (
            honor_taints and untolerated(node.spec.taints, spec.tolerations) is not None
        ):
            eligible[row] = False
    return eligible


PLUGIN = _PodTopologySpread()
