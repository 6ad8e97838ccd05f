"""InterPodAffinity: Pods that want to be, or not to be, in one topology domain with other Pods."""

from collections.abc import Iterable, Sequence

import numpy as np

from pybernetes.api.types.core_v1 import Affinity, PodAffinityTerm, WeightedPodAffinityTerm
from pybernetes.scheduler.framework import MAX_SCORE, Cycle, Happening, Plugin, Rejected
from pybernetes.scheduler.matching import by_term, in_domain
from pybernetes.scheduler.snapshot import MISSING, Floats, Mask, PodInfo

_HARD_WEIGHT = 1
"""Points that an existing Pod's required affinity is worth to a Pod it matches (hardPodAffinityWeight)."""


class _InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    order = 95
    weight = 2
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.NODE_LABELS, Happening.POD_FREED, Happening.POD_ASSIGNED})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        wanted, unwanted = _required(cycle.info)
        if wanted:
            yield Rejected("node(s) didn't match pod affinity rules", ~_together(cycle, wanted), final=True)
        if unwanted:
            apart = np.zeros(cycle.snapshot.size, np.bool_)
            for term in unwanted:
                apart |= _near(cycle, term) > 0
            yield Rejected("node(s) didn't match pod anti-affinity rules", apart & cycle.feasible)
        refused = _refused_by_others(cycle)
        if refused is not None:
            # Of a plugin whose reasons exclude each other a Node has only the first.
            yield Rejected("node(s) didn't satisfy existing pods anti-affinity rules", refused & cycle.feasible)

    def score(self, cycle: Cycle) -> Floats | None:
        if not cycle.info.affine and not cycle.snapshot.any_affine:
            return None
        points = np.zeros(cycle.snapshot.size)
        wishes, aversions = _preferred(cycle.info)
        for sign, weighted in ((1, wishes), (-1, aversions)):
            for wish in weighted:
                points += sign * wish.weight * _near(cycle, wish.podAffinityTerm)
        _add_others(cycle, points)
        among = points[cycle.feasible]
        most, least = among.max(initial=0.0), among.min(initial=0.0)
        if most == least:
            return None
        scaled: Floats = (points - least) * MAX_SCORE / (most - least)
        return scaled


def _affinity(info: PodInfo) -> Affinity:
    return info.pod.spec.affinity or Affinity()


def _required(info: PodInfo) -> tuple[Sequence[PodAffinityTerm], Sequence[PodAffinityTerm]]:
    """(affinity, anti-affinity)."""
    near, apart = _affinity(info).podAffinity, _affinity(info).podAntiAffinity
    return (
        near.requiredDuringSchedulingIgnoredDuringExecution if near else (),
        apart.requiredDuringSchedulingIgnoredDuringExecution if apart else (),
    )


def _preferred(info: PodInfo) -> tuple[Sequence[WeightedPodAffinityTerm], Sequence[WeightedPodAffinityTerm]]:
    near, apart = _affinity(info).podAffinity, _affinity(info).podAntiAffinity
    return (
        near.preferredDuringSchedulingIgnoredDuringExecution if near else (),
        apart.preferredDuringSchedulingIgnoredDuringExecution if apart else (),
    )


def _near(cycle: Cycle, term: PodAffinityTerm) -> Floats:
    """How many Pods that the term means are in each Node's domain."""
    snapshot = cycle.snapshot
    counts = snapshot.count(by_term(term, cycle.info.kin, snapshot.namespaces))
    return in_domain(snapshot.label(term.topologyKey), counts, snapshot.present).astype(np.float64)


def _together(cycle: Cycle, terms: Sequence[PodAffinityTerm]) -> Mask:
    """Nodes in whose domains every term finds one Pod that all terms mean.

    The first Pod of a group that wants to be together finds nobody: when no Pod at all matches and it matches its own
    terms, any Node that has the topology keys will do.
    """
    snapshot, own = cycle.snapshot, cycle.info.kin
    meant = [by_term(term, own, snapshot.namespaces) for term in terms]
    counts = snapshot.count(lambda kin: all(matches(kin) for matches in meant))
    fits = snapshot.present.copy()
    first = not counts.any() and all(matches(own) for matches in meant)
    for term in terms:
        domains = snapshot.label(term.topologyKey)
        fits &= domains != MISSING
        if not first:
            fits &= in_domain(domains, counts, snapshot.present) > 0
    return fits


def _refused_by_others(cycle: Cycle) -> Mask | None:
    """Domains in which a Pod wants not to be with this one."""
    snapshot = cycle.snapshot
    refused: Mask | None = None
    for row, other in snapshot.affine_pods():
        for term in _required(other)[1]:
            domains = snapshot.label(term.topologyKey)
            if domains[row] != MISSING and by_term(term, other.kin, snapshot.namespaces)(cycle.info.kin):
                same = domains == domains[row]
                refused = same if refused is None else refused | same
    return refused


def _add_others(cycle: Cycle, points: Floats) -> None:
    """What Pods that are there would like of this one."""
    snapshot = cycle.snapshot
    for row, other in snapshot.affine_pods():
        wishes, aversions = _preferred(other)
        weighted = [
            *((wish.weight, wish.podAffinityTerm) for wish in wishes),
            *((-wish.weight, wish.podAffinityTerm) for wish in aversions),
            *((_HARD_WEIGHT, term) for term in _required(other)[0]),
        ]
        for weight, term in weighted:
            domains = snapshot.label(term.topologyKey)
            if domains[row] != MISSING and by_term(term, other.kin, snapshot.namespaces)(cycle.info.kin):
                points += weight * (domains == domains[row])


PLUGIN = _InterPodAffinity()
