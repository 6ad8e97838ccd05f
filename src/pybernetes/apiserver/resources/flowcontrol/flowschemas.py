"""FlowSchema: which requests belong to which priority level."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.flowcontrol.objects import mandatory_schemas
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.flowcontrol import EXEMPT, GROUP, prepare_status, validate_conditions
from pybernetes.apiserver.validation.internal import internal

_LAST, _DEFAULT_PRECEDENCE = 10000, 1000
_ALL = "*"
_DISTINGUISHERS = ("ByNamespace", "ByUser")
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
"""Kind to the field that describes it."""
_NAMESPACES = "each member of this list must be '*' or a DNS-1123 label; "


def _default(obj: Object) -> None:
    schema = obj["spec"] = obj.get("spec") or {}
    if not schema.get("matchingPrecedence"):
        schema["matchingPrecedence"] = _DEFAULT_PRECEDENCE


def _validate(obj: Object) -> FieldErrors:
    name = (obj.get("metadata") or {}).get("name") or ""
    yield from _spec(spec(obj), name)
    fixed = mandatory_schemas().get(name)
    if fixed is not None and spec(obj) != fixed:
        shown = internal(spec(obj), "io.k8s.api.flowcontrol.v1.FlowSchemaSpec")
        yield invalid_value("spec", shown, f"spec of '{name}' must equal the fixed value")
    yield from validate_conditions(obj)


def _spec(schema: Mapping[str, Any], name: str) -> FieldErrors:
    precedence = schema.get("matchingPrecedence") or 0
    at = "spec.matchingPrecedence"
    if precedence <= 0:
        yield invalid_value(at, precedence, "must be a positive value")
    if precedence > _LAST:
        yield invalid_value(at, precedence, f"must not be greater than {_LAST}")
    if precedence == 1 and name != EXEMPT:
        yield invalid_value(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    method = schema.get("distinguisherMethod")
    if method is not None and method.get("type") not in _DISTINGUISHERS:
        shown = internal(method, "io.k8s.api.flowcontrol.v1.FlowDistinguisherMethod")
        yield not_supported("spec.distinguisherMethod.type", shown, _DISTINGUISHERS)
    level = (schema.get("priorityLevelConfiguration") or {}).get("name") or ""
    at = "spec.priorityLevelConfiguration.name"
    if level:
        yield from check(at, level, names.dns1123_subdomain(level))
    else:
        yield required(at, "must reference a priority level")
    for at, rule in each(schema, "rules", "spec"):
        yield from _rule(rule, at)


def _rule(rule: Mapping[str, Any], at: str) -> FieldErrors:
    if not rule.get("subjects"):
        yield required(f"{at}.subjects", "subjects must contain at least one value")
    for place, subject in each(rule, "subjects", at):
        yield from _subject(subject, place)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for place, allowed in each(rule, "resourceRules", at):
        yield from _resource_rule(allowed, place)
    for place, allowed in each(rule, "nonResourceRules", at):
        yield from _non_resource_rule(allowed, place)


def _subject(subject: Mapping[str, Any], at: str) -> FieldErrors:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        yield not_supported(f"{at}.kind", kind, tuple(_SUBJECTS))
        return
    field = _SUBJECTS[kind]
    described = subject.get(field)
    if described is None:
        yield required(f"{at}.{field}", f"{field} is required when subject kind is '{kind}'")
    else:
        yield from _described(described, kind, f"{at}.{field}")
    # In the order upstream tells them.
    for other in ("ServiceAccount", "User", "Group"):
        unwanted = _SUBJECTS[other]
        if other != kind and subject.get(unwanted) is not None:
            why = f"{unwanted} is forbidden when subject kind is not '{other}'"
            yield field_forbidden(f"{at}.{unwanted}", why)


def _described(subject: Mapping[str, Any], kind: str, at: str) -> FieldErrors:
    name, namespace = subject.get("name") or "", subject.get("namespace") or ""
    if not name:
        yield required(f"{at}.name")
    if kind != "ServiceAccount":
        return
    if name not in ("", _ALL):
        yield from check(f"{at}.name", name, names.dns1123_subdomain(name))
    if namespace:
        yield from check(f"{at}.namespace", namespace, names.dns1123_label(namespace))
    else:
        yield required(f"{at}.namespace", "must specify namespace for service account")


def _alone(values: Sequence[str], at: str, others: str) -> FieldErrors:
    """A wildcard makes others needless."""
    if _ALL in values and len(values) > 1:
        yield invalid_value(at, values, f"if '*' is present, must not specify other {others}")


def _verbs(rule: Mapping[str, Any], at: str) -> FieldErrors:
    verbs = rule.get("verbs") or ()
    if not verbs:
        yield required(f"{at}.verbs", "verbs must contain at least one value")
    yield from _alone(verbs, f"{at}.verbs", "verbs")
    if _ALL not in verbs and not set(verbs) <= set(_VERBS):
        yield not_supported(f"{at}.verbs", verbs, _VERBS)


def _resource_rule(rule: Mapping[str, Any], at: str) -> FieldErrors:
    yield from _verbs(rule, at)
    for field, called in (("apiGroups", "api group"), ("resources", "resource")):
        values = rule.get(field) or ()
        if not values:
            yield required(f"{at}.{field}", f"resource rules must supply at least one {called}")
        yield from _alone(values, f"{at}.{field}", f"{called}s")
    namespaces = rule.get("namespaces") or ()
    if not namespaces and not rule.get("clusterScope"):
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        yield required(f"{at}.namespaces", why)
    yield from _alone(namespaces, f"{at}.namespaces", "namespaces")
    if _ALL not in namespaces:
        for index, name in enumerate(namespaces):
            faults = (_NAMESPACES + fault for fault in names.dns1123_label(name))
            yield from check(f"{at}.namespaces[{index}]", name, faults)


def _non_resource_rule(rule: Mapping[str, Any], at: str) -> FieldErrors:
    yield from _verbs(rule, at)
    urls = rule.get("nonResourceURLs") or ()
    if not urls:
        yield required(f"{at}.nonResourceURLs", "nonResourceURLs must contain at least one value")
    yield from _alone(urls, f"{at}.nonResourceURLs", "non-resource URLs")
    if _ALL not in urls:
        for index, url in enumerate(urls):
            fault = _url(url, f"{at}.nonResourceURLs[{index}]")
            if fault is not None:
                yield fault


def _url(url: str, at: str) -> FieldError | None:
    stars = url.count("*")
    for wrong, why in (
        (not url, "must not be empty"),
        (not url.startswith("/"), "must start with slash"),
        (" " in url, "must not contain white-space"),
        ("//" in url, "must not contain double slash"),
        (stars > 1 or (stars and not url.endswith("/*")), "wildcard can only do suffix matching"),
    ):
        if wrong:
            return invalid_value(at, url, why)
    return None


def _dangling(obj: Object) -> str:
    """Whether its priority level is missing; a question mark where nobody has looked."""
    conditions = status(obj).get("conditions") or ()
    return next((c.get("status") or "" for c in conditions if c.get("type") == "Dangling"), "?")


RESOURCE = Resource(
    group=GROUP,
    plural="flowschemas",
    default=_default,
    validate=_validate,
    validate_status=lambda obj, old: validate_conditions(obj),
    prepare_status=prepare_status,
    row_order=lambda obj: (spec(obj).get("matchingPrecedence") or 0, obj["metadata"].get("name") or ""),
    columns=(
        Column(
            "PriorityLevel",
            lambda obj: (spec(obj).get("priorityLevelConfiguration") or {}).get("name", ""),
            description="The level of its requests.",
        ),
        Column(
            "MatchingPrecedence",
            lambda obj: spec(obj).get("matchingPrecedence", 0),
            description="The lowest that matches counts.",
        ),
        Column(
            "DistinguisherMethod",
            lambda obj: (spec(obj).get("distinguisherMethod") or {"type": NONE}).get("type", ""),
            description="What makes a flow.",
        ),
        AGE,
        Column("MissingPL", _dangling, description="Whether the level is missing."),
    ),
)
