"""What webhook configurations and admission policies share: which requests they are about, by rules and conditions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.cel import expression_faults
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, optional_one_of, set_missing, too_many

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_CONDITIONS = 64


def default_rules(rules: Iterable[Object]) -> None:
    """Rules are about objects of every scope."""
    for rule in rules:
        set_missing(rule, scope="*")


def validate_rule(rule: Mapping[str, Any], path: str) -> FieldErrors:
    """A RuleWithOperations."""
    operations = rule.get("operations") or []
    if not operations:
        yield required(f"{path}.operations")
    yield from _alone(operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, OPERATIONS)
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or []
        if not values:
            yield required(f"{path}.{field}")
        yield from _alone(values, f"{path}.{field}", what)
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resources(rule.get("resources") or [], f"{path}.resources")
    yield from optional_one_of(f"{path}.scope", rule.get("scope"), _SCOPES)


def _alone(values: Sequence[str], path: str, what: str) -> FieldErrors:
    if len(values) > 1 and "*" in values:
        yield invalid_value(path, values, f"if '*' is present, must not specify other {what}")


def _resources(resources: Sequence[str], path: str) -> FieldErrors:
    """`pods`, `pods/*`, `*/scale`, `*`, `*/*`: what one covers the others must not repeat."""
    if not resources:
        yield required(path)
    all_of: set[str] = set()
    everywhere: set[str] = set()
    for index, text in enumerate(resources):
        at = f"{path}[{index}]"
        if not text:
            yield required(at)
            continue
        resource, slash, sub = text.partition("/")
        if not slash:
            continue
        if resource in all_of:
            yield invalid_value(at, text, f"if '{resource}/*' is present, must not specify {text}")
        if sub in everywhere:
            yield invalid_value(at, text, f"if '*/{sub}' is present, must not specify {text}")
        if sub == "*":
            all_of.add(resource)
        if resource == "*":
            everywhere.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        yield invalid_value(path, resources, "if '*/*' is present, must not specify other resources")
    plain = [text for text in resources if text and "/" not in text]
    if "*" in plain and plain[-1] != "*":
        yield invalid_value(path, resources, "if '*' is present, must not specify other resources without subresources")


def validate_match_conditions(parent: Mapping[str, Any], path: str, variables: tuple[str, ...]) -> FieldErrors:
    """`matchConditions` of a webhook or policy."""
    conditions = parent.get("matchConditions") or ()
    if len(conditions) > _CONDITIONS:
        yield too_many(f"{path}.matchConditions", len(conditions), _CONDITIONS)
    seen: set[str] = set()
    for at, condition in each(parent, "matchConditions", path):
        expression, name = (condition.get("expression") or "").strip(), condition.get("name") or ""
        if not expression:
            yield required(f"{at}.expression")
        else:
            yield from expression_faults(f"{at}.expression", expression, variables=variables)
        if not name:
            yield required(f"{at}.name")
            continue
        yield from check(f"{at}.name", name, names.qualified_name(name))
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
