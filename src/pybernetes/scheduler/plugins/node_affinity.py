"""NodeAffinity: nodeSelector and node affinity, as masks over columns of interned label values."""

from collections.abc import Hashable, Iterable

import msgspec
import numpy as np

from pybernetes.api.types.core_v1 import Affinity, NodeSelectorRequirement, NodeSelectorTerm
from pybernetes.rules.affinity import matches, required_terms
from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected, normalized
from pybernetes.scheduler.snapshot import MISSING, Floats, Mask, Snapshot


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
            chosen = np.zeros(snapshot.size, np.bool_)
            for term in required.nodeSelectorTerms:
                chosen |= _term(snapshot, term)
            fits &= chosen
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
            points += wish.weight * _term(cycle.snapshot, wish.preference)
        return normalized(points, cycle.feasible)


def _term(snapshot: Snapshot, term: NodeSelectorTerm) -> Mask:
    if not term.matchExpressions and not term.matchFields:
        return np.zeros(snapshot.size, np.bool_)
    chosen = np.ones(snapshot.size, np.bool_)
    for requirement in term.matchExpressions:
        chosen &= _label(snapshot, requirement)
    for requirement in term.matchFields:
        named = np.zeros(snapshot.size, np.bool_)
        for row, name in snapshot.names():
            named[row] = matches(requirement, name if requirement.key == "metadata.name" else None)
        chosen &= named
    return chosen


def _label(snapshot: Snapshot, requirement: NodeSelectorRequirement) -> Mask:
    """The requirement is asked once for each value that the label has, not once for each Node."""
    column = snapshot.label(requirement.key)
    if requirement.operator in ("In", "NotIn"):
        listed: Mask = np.isin(column, [snapshot.value_id(value) for value in requirement.values])
        return listed if requirement.operator == "In" else ~listed
    texts = {number: text for text, number in snapshot.values().items()}
    numbers, places = np.unique(column, return_inverse=True)
    answers = [matches(requirement, None if number == MISSING else texts[int(number)]) for number in numbers]
    answer: Mask = np.array(answers)[places]
    return answer


PLUGIN = _NodeAffinity()
