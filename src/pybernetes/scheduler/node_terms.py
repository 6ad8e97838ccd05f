"""Node selectors as masks over columns of interned label values: for plugins, whose Pods or volumes select Nodes."""

import numpy as np

from pybernetes.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from pybernetes.rules.affinity import matches
from pybernetes.scheduler.snapshot import MISSING, Mask, Snapshot


def selector_mask(snapshot: Snapshot, selector: NodeSelector) -> Mask:
    """The Nodes that one of the terms selects."""
    chosen = np.zeros(snapshot.size, np.bool_)
    for term in selector.nodeSelectorTerms:
        chosen |= term_mask(snapshot, term)
    return chosen


def term_mask(snapshot: Snapshot, term: NodeSelectorTerm) -> Mask:
    """The Nodes that meet all requirements of a term; an empty term matches nothing."""
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
