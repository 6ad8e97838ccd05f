"""Where a Pod may run: tolerations, node and Pod affinity, spreading, gates."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of
from pybernetes.apiserver.validation.meta import label_selector, labels

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def validate_scheduling(spec: Mapping[str, Any], path: str) -> FieldErrors:
    """Everything of a Pod spec that the scheduler reads."""
    yield from labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    if spec.get("nodeName"):
        yield from check(f"{path}.nodeName", spec["nodeName"], names.dns1123_subdomain(spec["nodeName"]))
    for at, toleration in each(spec, "tolerations", path):
        yield from _toleration(toleration, at)
    affinity = spec.get("affinity") or {}
    if affinity.get("nodeAffinity"):
        yield from _node_affinity(affinity["nodeAffinity"], f"{path}.affinity.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        if affinity.get(kind):
            yield from _pod_affinity(affinity[kind], f"{path}.affinity.{kind}")
    yield from _spreading(spec, path)
    yield from _gates(spec, path)


def _toleration(toleration: Mapping[str, Any], path: str) -> FieldErrors:
    key, operator, effect = (toleration.get(name) or "" for name in ("key", "operator", "effect"))
    if key:
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
        yield from check(f"{path}.operator", value, names.label_value(value))
    elif operator == "Exists":
        if value:
            yield invalid_value(f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'")
    else:
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect and effect not in _EFFECTS:
        yield not_supported(f"{path}.effect", effect, _EFFECTS)


def _node_affinity(affinity: Mapping[str, Any], path: str) -> FieldErrors:
    hard = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if hard is not None:
        yield from node_selector(hard, f"{path}.requiredDuringSchedulingIgnoredDuringExecution")
    for at, term in each(affinity, "preferredDuringSchedulingIgnoredDuringExecution", path):
        yield from _weight(term, at)
        yield from _node_term(term.get("preference") or {}, f"{at}.preference")


def node_selector(selector: Mapping[str, Any], path: str) -> FieldErrors:
    """v1.NodeSelector."""
    if not selector.get("nodeSelectorTerms"):
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for at, term in each(selector, "nodeSelectorTerms", path):
        yield from _node_term(term, at)


def _node_term(term: Mapping[str, Any], path: str) -> FieldErrors:
    for at, rule in each(term, "matchExpressions", path):
        yield from _requirement(rule, at)
        key = rule.get("key") or ""
        yield from check(f"{at}.key", key, names.qualified_name(key))
    for at, rule in each(term, "matchFields", path):
        key, values = rule.get("key") or "", rule.get("values") or ()
        if rule.get("operator") not in ("In", "NotIn"):
            yield invalid_value(f"{at}.operator", rule.get("operator") or "", "not a valid selector operator")
        elif len(values) != 1:
            yield required(
                f"{at}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
        if key != "metadata.name":
            yield invalid_value(f"{at}.key", key, "not a valid field selector key")


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
    for index, name in enumerate(term.get("namespaces") or ()):
        yield from check(f"{path}.namespaces[{index}]", name, names.dns1123_label(name))
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from check(f"{path}.topologyKey", key, names.qualified_name(key))


def _spreading(spec: Mapping[str, Any], path: str) -> FieldErrors:
    seen: set[tuple[str, str]] = set()
    for at, rule in each(spec, "topologySpreadConstraints", path):
        skew, key, action = rule.get("maxSkew") or 0, rule.get("topologyKey") or "", rule.get("whenUnsatisfiable") or ""
        if skew <= 0:
            yield invalid_value(f"{at}.maxSkew", skew, "must be greater than zero")
        if not key:
            yield required(f"{at}.topologyKey", "can not be empty")
        else:
            yield from check(f"{at}.topologyKey", key, names.qualified_name(key))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield not_supported(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, action) in seen:
            yield duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        seen.add((key, action))
        domains = rule.get("minDomains")
        if domains is not None and domains <= 0:
            yield invalid_value(f"{at}.minDomains", domains, "must be greater than zero")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if rule.get(field) is not None:
                yield from one_of(f"{at}.{field}", rule[field], ("Honor", "Ignore"))
        if rule.get("labelSelector"):
            yield from label_selector(rule["labelSelector"], f"{at}.labelSelector")


def _gates(spec: Mapping[str, Any], path: str) -> FieldErrors:
    seen: set[str] = set()
    for at, gate in each(spec, "schedulingGates", path):
        name = gate.get("name") or ""
        yield from check(at, name, names.qualified_name(name))
        if name in seen:
            yield duplicate(at, name)
        seen.add(name)
    for at, gate in each(spec, "readinessGates", path):
        kind = gate.get("conditionType") or ""
        yield from check(f"{at}.conditionType", kind, names.qualified_name(kind))
