"""Where a Pod may run: tolerations, node and Pod affinity, spreading, gates."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.meta import label_selector, labels
from pybernetes.apiserver.validation.spelling import fine
from pybernetes.rules.taints import EFFECTS

_COMPARISONS = ("Gt", "Lt")
_INTEGER = re.compile("0|-?[1-9][0-9]{0,18}")
_NOT_POSITIVE = "must be greater than zero"
_NO_SELECTOR = "must not be specified when labelSelector is not set"
_IN_BOTH = "exists in both matchLabelKeys and labelSelector"


def validate_scheduling(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """Everything of a Pod spec that the scheduler reads."""
    if spec.get("nodeSelector"):
        yield from labels(spec["nodeSelector"], f"{path}.nodeSelector")
    affinity = spec.get("affinity")
    if affinity:
        if affinity.get("nodeAffinity"):
            yield from _node_affinity(affinity["nodeAffinity"], f"{path}.affinity.nodeAffinity")
        for kind in ("podAffinity", "podAntiAffinity"):
            if affinity.get(kind):
                yield from _pod_affinity(affinity[kind], f"{path}.affinity.{kind}")
    yield from _gates(spec, path)
    if spec.get("topologySpreadConstraints"):
        yield from _spreading(spec, path)
    if spec.get("nodeName"):
        yield from check(f"{path}.nodeName", spec["nodeName"], names.dns1123_subdomain(spec["nodeName"]))
    if spec.get("tolerations"):
        yield from tolerations(spec["tolerations"], f"{path}.tolerations")


def tolerations(given: Sequence[Mapping[str, Any]], path: str) -> FieldErrors:
    """A list of tolerations."""
    for index, toleration in enumerate(given):
        yield from _toleration(toleration, f"{path}[{index}]")


def _toleration(toleration: Mapping[str, Any], path: str) -> FieldErrors:
    key, operator, effect = (toleration.get(name) or "" for name in ("key", "operator", "effect"))
    if key:
        if not fine(names.qualified_name, key):
            yield from check(f"{path}.key", key, names.qualified_name(key))
    elif operator != "Exists":
        yield invalid_value(
            f"{path}.operator",
            operator,
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        )
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid_value(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    value = toleration.get("value") or ""
    if operator in ("", "Equal"):
        if value and not fine(names.label_value, value):
            yield invalid_value(f"{path}.operator", value, ";".join(names.label_value(value)))
    elif operator == "Exists":
        if value:
            yield invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator not in _COMPARISONS:
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists", *_COMPARISONS))
    elif not _INTEGER.fullmatch(value) or not -(2**63) <= int(value) < 2**63:
        yield invalid_value(f"{path}.value", value, "must be a valid decimal integer in canonical form")
    if effect and effect not in EFFECTS:
        yield not_supported(f"{path}.effect", effect, EFFECTS)


def _node_affinity(affinity: Mapping[str, Any], path: str) -> FieldErrors:
    hard = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if hard is not None:
        yield from node_selector(hard, f"{path}.requiredDuringSchedulingIgnoredDuringExecution")
    for at, term in each(affinity, "preferredDuringSchedulingIgnoredDuringExecution", path):
        yield from _weight(term, at)
        yield from _node_term(term.get("preference") or {}, f"{at}.preference", values=False)


def node_selector(selector: Mapping[str, Any], path: str) -> FieldErrors:
    """v1.NodeSelector."""
    if not selector.get("nodeSelectorTerms"):
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for at, term in each(selector, "nodeSelectorTerms", path):
        yield from _node_term(term, at, values=True)


def _node_term(term: Mapping[str, Any], path: str, *, values: bool) -> FieldErrors:
    """Preferences may name values that no label can have: they may come true where there is one Node only."""
    for at, rule in each(term, "matchExpressions", path):
        yield from _requirement(rule, at)
        key = rule.get("key") or ""
        yield from check(f"{at}.key", key, names.qualified_name(key))
        if values:
            for index, value in enumerate(rule.get("values") or ()):
                yield from check(f"{at}.values[{index}]", value, names.label_value(value))
    for at, rule in each(term, "matchFields", path):
        yield from _node_field(rule, at)


def _node_field(rule: Mapping[str, Any], at: str) -> FieldErrors:
    key, values = rule.get("key") or "", rule.get("values") or ()
    if rule.get("operator") not in ("In", "NotIn"):
        yield invalid_value(f"{at}.operator", rule.get("operator") or "", "not a valid selector operator")
    elif len(values) != 1:
        yield required(
            f"{at}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
    if key != "metadata.name":
        yield invalid_value(f"{at}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from check(f"{at}.values[{index}]", value, names.dns1123_subdomain(value))


def _requirement(rule: Mapping[str, Any], path: str) -> FieldErrors:
    operator, values = rule.get("operator") or "", rule.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield field_forbidden(
                f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def _weight(term: Mapping[str, Any], path: str) -> FieldErrors:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        yield invalid_value(f"{path}.weight", weight, "must be in the range 1-100")


def _pod_affinity(affinity: Mapping[str, Any], path: str) -> FieldErrors:
    for at, term in each(affinity, "requiredDuringSchedulingIgnoredDuringExecution", path):
        yield from _pod_term(term, at)
    for at, weighted in each(affinity, "preferredDuringSchedulingIgnoredDuringExecution", path):
        yield from _weight(weighted, at)
        yield from _pod_term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _pod_term(term: Mapping[str, Any], path: str) -> FieldErrors:
    for field in ("labelSelector", "namespaceSelector"):
        if term.get(field):
            yield from label_selector(term[field], f"{path}.{field}")
    for name in term.get("namespaces") or ():
        yield from check(f"{path}.namespace", name, names.dns1123_label(name))
    if term.get("matchLabelKeys") or term.get("mismatchLabelKeys"):
        yield from _label_keys(term, path)
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    if not fine(names.qualified_name, key):
        yield from check(f"{path}.topologyKey", key, names.qualified_name(key))


def _label_keys(term: Mapping[str, Any], path: str) -> FieldErrors:
    """matchLabelKeys and mismatchLabelKeys. What they stand for is in the selector by now: once is right."""
    selector, matched = term.get("labelSelector"), list(term.get("matchLabelKeys") or ())
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if not term.get(field):
            continue
        if selector is None:
            yield field_forbidden(f"{path}.{field}", _NO_SELECTOR)
            continue
        for index, key in enumerate(term[field]):
            yield from check(f"{path}.{field}[{index}]", key, names.qualified_name(key))
    if selector is not None:
        seen = set(selector.get("matchLabels") or ())
        for rule in selector.get("matchExpressions") or ():
            key = rule.get("key") or ""
            if key in matched and key in seen:
                last = len(matched) - 1 - matched[::-1].index(key)
                yield invalid_value(f"{path}[{last}]", key, _IN_BOTH)
            seen.add(key)
    mismatched = term.get("mismatchLabelKeys") or ()
    for index, key in enumerate(matched):
        if key in mismatched:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield invalid_value(f"{path}.matchLabelKeys[{index}]", key, why)


def _spreading(spec: Mapping[str, Any], path: str) -> FieldErrors:
    rules = spec["topologySpreadConstraints"]
    for at, rule in each(spec, "topologySpreadConstraints", path):
        skew, key, action = rule.get("maxSkew") or 0, rule.get("topologyKey") or "", rule.get("whenUnsatisfiable") or ""
        if skew <= 0:
            yield invalid_value(f"{at}.maxSkew", skew, _NOT_POSITIVE)
        if not key:
            yield required(f"{at}.topologyKey", "can not be empty")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield not_supported(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if len(rules) > 1 and _comes_again(rule, rules):
            yield duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        if rule.get("minDomains") is not None:
            yield from _min_domains(rule["minDomains"], action, f"{at}.minDomains")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if rule.get(field) is not None and rule[field] not in ("Honor", "Ignore"):
                yield not_supported(f"{at}.{field}", rule[field], ("Honor", "Ignore"))
        if rule.get("matchLabelKeys"):
            yield from _spread_keys(rule, f"{at}.matchLabelKeys")
        if rule.get("labelSelector"):
            yield from label_selector(rule["labelSelector"], f"{at}.labelSelector")


def _min_domains(domains: int, action: str, path: str) -> FieldErrors:
    if domains <= 0:
        yield invalid_value(path, domains, _NOT_POSITIVE)
    if action != "DoNotSchedule":
        yield invalid_value(path, domains, f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}")


def _comes_again(rule: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a later constraint has the same key and action."""
    fields = ("topologyKey", "whenUnsatisfiable")
    later = next(index for index, other in enumerate(rules) if other is rule) + 1
    return any(all((rule.get(f) or "") == (other.get(f) or "") for f in fields) for other in rules[later:])


def _spread_keys(rule: Mapping[str, Any], path: str) -> FieldErrors:
    """matchLabelKeys of a constraint; those that became a part of the selector are in it once."""
    selector = rule.get("labelSelector")
    if selector is None:
        yield field_forbidden(path, _NO_SELECTOR)
    seen = list((selector or {}).get("matchLabels") or ())
    seen += [term.get("key") or "" for term in (selector or {}).get("matchExpressions") or ()]
    for index, key in enumerate(rule["matchLabelKeys"]):
        yield from check(f"{path}[{index}]", key, names.qualified_name(key))
        if seen.count(key) > 1:
            yield invalid_value(f"{path}[{index}]", key, _IN_BOTH)


def _gates(spec: Mapping[str, Any], path: str) -> FieldErrors:
    for at, gate in each(spec, "readinessGates", path):
        kind = gate.get("conditionType") or ""
        yield from check(f"{at}.conditionType", kind, names.qualified_name(kind))
    seen: set[str] = set()
    for at, gate in each(spec, "schedulingGates", path):
        name = gate.get("name") or ""
        yield from check(at, name, names.qualified_name(name))
        if name in seen:
            yield duplicate(at, name)
        seen.add(name)
