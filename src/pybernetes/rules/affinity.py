"""Node selectors: nodeSelector labels and the terms of node affinity. One Node at a time; the scheduler has columns."""

from collections.abc import Mapping

from pybernetes.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod


def fits(pod: Pod, labels: Mapping[str, str], name: str) -> bool:
    """Whether the Pod's nodeSelector and required node affinity admit a Node of that name with those labels."""
    if any(labels.get(key) != value for key, value in pod.spec.nodeSelector.items()):
        return False
    required = required_terms(pod)
    return required is None or selects(required, labels, name)


def required_terms(pod: Pod) -> NodeSelector | None:
    """The Pod's required node affinity; None where it has none."""
    affinity = pod.spec.affinity
    if affinity is None or affinity.nodeAffinity is None:
        return None
    return affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution


def selects(selector: NodeSelector, labels: Mapping[str, str], name: str) -> bool:
    """Terms are ORed; a selector without terms selects nothing."""
    return any(term_matches(term, labels, name) for term in selector.nodeSelectorTerms)


def term_matches(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    """Requirements are ANDed; an empty term matches nothing. The one field there is: metadata.name."""
    if not term.matchExpressions and not term.matchFields:
        return False
    fields = {"metadata.name": name}
    return all(matches(r, labels.get(r.key)) for r in term.matchExpressions) and all(
        matches(r, fields.get(r.key)) for r in term.matchFields
    )


def matches(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    """One requirement against a label's value, None where the label is missing."""
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return value is not None and _compares(requirement, value)
    return False


def _compares(requirement: NodeSelectorRequirement, value: str) -> bool:
    try:
        there, limit = int(value), int(requirement.values[0])
    except (ValueError, IndexError):
        return False
    return there > limit if requirement.operator == "Gt" else there < limit
