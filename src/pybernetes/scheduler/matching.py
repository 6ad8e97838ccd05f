"""Which Pods a term of another Pod means, and how many there are in each topology domain. For plugins."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from pybernetes.api.selectors import Selector, of_label_selector
from pybernetes.api.types.core_v1 import PodAffinityTerm, TopologySpreadConstraint
from pybernetes.api.types.meta_v1 import LabelSelector
from pybernetes.scheduler.snapshot import MISSING, Ints, Kin, Mask

Matches: TypeAlias = Callable[[Kin], bool]


def by_constraint(constraint: TopologySpreadConstraint, namespace: str, labels: Mapping[str, str]) -> Matches:
    """Pods that a spread constraint counts: of its Pod's namespace, alive, selected."""
    selector = _with_keys(constraint.labelSelector, labels, constraint.matchLabelKeys, ())

    def matches(kin: Kin) -> bool:
        return kin.namespace == namespace and not kin.terminating and selector.matches(dict(kin.labels))

    return matches


def by_term(term: PodAffinityTerm, own: Kin, namespaces: Mapping[str, Mapping[str, str]]) -> Matches:
    """Pods that an affinity term means. `own`: the Pod that has the term; `namespaces`: the labels of each."""
    selector = _with_keys(term.labelSelector, dict(own.labels), term.matchLabelKeys, term.mismatchLabelKeys)
    named = set(term.namespaces)
    if not named and term.namespaceSelector is None:
        named = {own.namespace}
    by_labels = of_label_selector(term.namespaceSelector)

    def matches(kin: Kin) -> bool:
        there = kin.namespace in named or by_labels.matches(namespaces.get(kin.namespace, {}))
        return there and selector.matches(dict(kin.labels))

    return matches


def in_domain(domains: Ints, counts: Ints, among: Mask) -> Ints:
    """For each Node the sum over the Nodes of its domain that are in `among`; 0 where it has no domain."""
    sums = np.bincount(domains[among] + 1, weights=counts[among], minlength=int(domains.max(initial=MISSING)) + 2)
    sums[0] = 0
    found: Ints = sums[domains + 1].astype(np.int64)
    return found


def _with_keys(
    selector: LabelSelector | None, labels: Mapping[str, str], same: Sequence[str], other: Sequence[str]
) -> Selector:
    """The selector, and the keys whose values must (or must not) be those of the Pod itself."""
    base = of_label_selector(selector)
    if base.nothing:
        return base
    extra = [
        *({"key": key, "operator": "In", "values": [labels[key]]} for key in same if key in labels),
        *({"key": key, "operator": "NotIn", "values": [labels[key]]} for key in other if key in labels),
    ]
    added = of_label_selector({"matchExpressions": extra})
    return Selector((*base.requirements, *added.requirements))
