"""Validating and mutating admission policies and their bindings, all but whether their expressions compile."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import errors, names
from pybernetes.api.errors import duplicate, field_forbidden, invalid_value, not_supported, required
from pybernetes.api.facts import resources
from pybernetes.api.objects import GroupResource, Object, split_api_version
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.resources._columns import spec
from pybernetes.apiserver.superusers import MASTERS
from pybernetes.apiserver.validation.admissionrules import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    default_rules,
    validate_match_conditions,
    validate_rule,
)
from pybernetes.apiserver.validation.cel import expression_faults
from pybernetes.apiserver.validation.fields import FieldErrors, check, each, one_of, set_missing
from pybernetes.apiserver.validation.meta import label_selector

GROUP = "admissionregistration.k8s.io"
VARIABLES = ("object", "oldObject", "request", "authorizer", "namespaceObject", "variables", "params")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_MUTABLE = ("*", "CONNECT", "CREATE", "UPDATE")
_ANNOTATIONS = 20
_VALUE_EXPRESSION = 5 * 1024
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    {
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    }
)


# --- defaults


def default_policy(obj: Object) -> None:
    """Of both kinds."""
    own = obj.setdefault("spec", {})
    set_missing(own, failurePolicy="Fail")
    _default_match(own.get("matchConstraints"))


def default_binding(obj: Object) -> None:
    """Of both kinds."""
    _default_match(obj.setdefault("spec", {}).get("matchResources"))


def _default_match(match: Object | None) -> None:
    if match is None:
        return
    set_missing(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    default_rules((*(match.get("resourceRules") or ()), *(match.get("excludeResourceRules") or ())))


# --- policies


def validate_validating(obj: Object) -> FieldErrors:
    """ValidatingAdmissionPolicy."""
    own = spec(obj)
    yield from _policy(own)
    validations, annotations = own.get("validations"), own.get("auditAnnotations")
    if not validations and not annotations:
        for field in ("validations", "auditAnnotations"):
            yield required(f"spec.{field}", "validations or auditAnnotations must contain at least one item")
        return
    for at, validation in each(own, "validations", "spec"):
        yield from _validation(validation, at)
    yield from _annotations(own, (obj.get("metadata") or {}).get("name") or "")


def validate_mutating(obj: Object) -> FieldErrors:
    """MutatingAdmissionPolicy."""
    own = spec(obj)
    yield from _policy(own)
    yield from _mutable((own.get("matchConstraints") or {}), "spec.matchConstraints")
    if not own.get("mutations"):
        yield required("spec.mutations", "mutations must contain at least one item")
    for at, mutation in each(own, "mutations", "spec"):
        yield from _mutation(mutation, at)
    yield from one_of("spec.reinvocationPolicy", own.get("reinvocationPolicy"), ("Never", "IfNeeded"))


def _policy(own: Mapping[str, Any]) -> FieldErrors:
    yield from one_of("spec.failurePolicy", own.get("failurePolicy"), FAILURE_POLICIES)
    if own.get("paramKind") is not None:
        yield from _param_kind(own["paramKind"], "spec.paramKind")
    constraints = own.get("matchConstraints")
    if constraints is None:
        yield required("spec.matchConstraints")
    else:
        yield from _match(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
    yield from validate_match_conditions(own, "spec", VARIABLES)
    for at, variable in each(own, "variables", "spec"):
        yield from _variable(variable, at)


def _param_kind(kind: Mapping[str, Any], path: str) -> FieldErrors:
    api_version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not api_version:
        yield required(f"{path}.apiVersion")
    elif api_version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", api_version, f"unexpected GroupVersion string: {api_version}")
    else:
        group, version = split_api_version(api_version)
        if group and (faults := names.dns1123_subdomain(group)):
            yield invalid_value(f"{path}.apiVersion", group, ",".join(faults))
        if not version:
            yield invalid_value(f"{path}.apiVersion", api_version, "version must be specified")
        elif faults := names.dns1035_label(version):
            yield invalid_value(f"{path}.apiVersion", version, ",".join(faults))
    if not name:
        yield required(f"{path}.kind")
    elif faults := names.dns1035_label(name.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(faults)
        yield invalid_value(f"{path}.kind", name, text)


def _match(match: Mapping[str, Any], path: str) -> FieldErrors:
    yield from one_of(f"{path}.matchPolicy", match.get("matchPolicy"), MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        if match.get(field) is None:
            yield required(f"{path}.{field}")
        else:
            yield from label_selector(match[field], f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for at, rule in each(match, field, path):
            yield from _resource_names(rule.get("resourceNames") or (), f"{at}.resourceNames")
            yield from validate_rule(rule, at)


def _resource_names(values: Sequence[str], path: str) -> FieldErrors:
    for index, name in enumerate(values):
        yield from check(f"{path}[{index}]", name, names.path_segment(name))
        if name in values[:index]:
            yield duplicate(f"{path}[{index}]", name)


def _variable(variable: Mapping[str, Any], path: str) -> FieldErrors:
    name, expression = variable.get("name") or "", variable.get("expression") or ""
    if not name.strip():
        yield required(f"{path}.name", "name is not specified")
    elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        yield invalid_value(f"{path}.name", name, "name is not a valid CEL identifier")
    yield from _expression(expression, f"{path}.expression", "expression is not specified")


def _expression(expression: str, path: str, missing: str = "") -> FieldErrors:
    if not expression.strip():
        yield required(path, missing)
    else:
        yield from expression_faults(path, expression, variables=VARIABLES)


def _validation(validation: Mapping[str, Any], path: str) -> FieldErrors:
    message, composed = validation.get("message") or "", validation.get("messageExpression") or ""
    yield from _expression(validation.get("expression") or "", f"{path}.expression", "expression is not specified")
    if composed and not composed.strip():
        yield invalid_value(f"{path}.messageExpression", composed, "must be non-empty if specified")
    elif composed:
        yield from expression_faults(f"{path}.messageExpression", composed, variables=VARIABLES)
    if message and not message.strip():
        yield invalid_value(f"{path}.message", message, "message must be non-empty if specified")
    elif re.search("[\n\r]", message.strip()):
        yield invalid_value(f"{path}.message", message, "message must not contain line breaks")
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        yield not_supported(f"{path}.reason", reason, _REASONS)


def _annotations(own: Mapping[str, Any], name: str) -> FieldErrors:
    annotations = own.get("auditAnnotations") or []
    if len(annotations) > _ANNOTATIONS:
        text = f"must not have more than {_ANNOTATIONS} auditAnnotations"
        yield invalid_value("spec.auditAnnotations", annotations, text)
    seen: set[str] = set()
    for at, annotation in each(own, "auditAnnotations", "spec"):
        key, value = annotation.get("key") or "", (annotation.get("valueExpression") or "").strip()
        if name:
            yield from check(f"{at}.key", f"{name}/{key}", names.qualified_name(f"{name}/{key}"))
        else:
            yield invalid_value(f"{at}.key", key, "requires metadata.name be non-empty")
        if len(value.encode()) > _VALUE_EXPRESSION:
            yield required(f"{at}.valueExpression", f"must not exceed {_VALUE_EXPRESSION} bytes in length")
        else:
            yield from _expression(value, f"{at}.valueExpression", "valueExpression is not specified")
        if key in seen:
            yield duplicate(f"{at}.key", key)
        seen.add(key)


def _mutation(mutation: Mapping[str, Any], path: str) -> FieldErrors:
    kind = mutation.get("patchType") or ""
    if kind not in _PATCHES:
        yield from one_of(f"{path}.patchType", kind, tuple(_PATCHES))
        return
    for other, field in _PATCHES.items():
        patch = mutation.get(field)
        if other != kind:
            if patch is not None:
                text = f"must not be specified when patchType is {kind}"
                yield invalid_value(f"{path}.{field}", f"{{{field}}}", text)
        elif patch is None:
            yield required(f"{path}.{field}", f"must be specified when patchType is {kind}")
        else:
            yield from _expression(patch.get("expression") or "", f"{path}.{field}.expression")


def _mutable(match: Mapping[str, Any], path: str) -> FieldErrors:
    """What is deleted cannot be mutated."""
    for rule in match.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            if operation not in _MUTABLE:
                yield not_supported(f"{path}.resourceRules.operations", operation, _MUTABLE)


# --- bindings


def validate_binding(obj: Object, *, mutating: bool) -> FieldErrors:
    """Of both kinds."""
    own = spec(obj)
    name = own.get("policyName") or ""
    if not name:
        yield required("spec.policyName")
    else:
        yield from check("spec.policyName", name, names.dns1123_subdomain(name))
    if own.get("paramRef") is not None:
        yield from _param_ref(own["paramRef"], "spec.paramRef")
    if own.get("matchResources") is not None:
        yield from _match(own["matchResources"], "spec.matchResources")
        if mutating:
            yield from _mutable(own["matchResources"], "spec.matchResources")
    if not mutating:
        yield from _actions(own.get("validationActions") or [], "spec.validationActions")


def _param_ref(ref: Mapping[str, Any], path: str) -> FieldErrors:
    name, selector = ref.get("name") or "", ref.get("selector")
    both = bool(name) and selector is not None
    if name:
        yield from check(f"{path}.name", name, names.path_segment(name))
    if both:
        yield field_forbidden(f"{path}.name", "name and selector are mutually exclusive")
    if selector is not None:
        yield from label_selector(selector, f"{path}.selector")
    if both:
        yield field_forbidden(f"{path}.selector", "name and selector are mutually exclusive")
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    yield from one_of(f"{path}.parameterNotFoundAction", ref.get("parameterNotFoundAction"), ("Deny", "Allow"))


def _actions(actions: Sequence[str], path: str) -> FieldErrors:
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield not_supported(f"{path}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        yield invalid_value(
            path,
            actions,
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response "
            "and headers serves no purpose)",
        )
    if not actions:
        yield required(path, "at least one validation action is required")


# --- who may refer to parameters


async def refuse_param_kind(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook of policies: whoever writes one reads all objects of its paramKind. Raises Invalid."""
    kind = spec(obj).get("paramKind")
    if kind is None or (old is not None and spec(old).get("paramKind") == kind):
        return
    if not _may_read(call, kind, "*", "*"):
        api_version, name = kind.get("apiVersion", ""), kind.get("kind", "")
        text = (
            f'user {call.user.name} must have "get" permission on all objects of the referenced paramKind '
            f"(kind={name}, apiVersion={api_version})"
        )
        _refuse(call, obj, "spec.paramKind", text)


async def refuse_param_ref(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook of bindings: whoever writes one reads the objects that its paramRef names. Raises Invalid."""
    ref = spec(obj).get("paramRef")
    if ref is None or (old is not None and spec(old).get("paramRef") == ref):
        return
    plural = call.resource.plural.replace("policybindings", "policies")
    kind: Mapping[str, Any] = {}
    try:
        policy = await call.registry.get(GroupResource(GROUP, plural), "", spec(obj).get("policyName") or "")
        kind = spec(policy).get("paramKind") or {}
    except errors.NotFound:
        pass  # then of everything
    name, namespace = ref.get("name") or "*", ref.get("namespace") or "*"
    if not _may_read(call, kind, name, namespace):
        text = (
            f'user {call.user.name} must have "get" permission on the referenced paramRef '
            f"(name={name}, namespace={namespace})"
        )
        _refuse(call, obj, "spec.paramRef", text)


def _may_read(call: Call, kind: Mapping[str, Any], name: str, namespace: str) -> bool:
    if MASTERS in call.user.groups:
        return True
    group, version, plural = "*", "*", "*"
    if kind:
        group, version = split_api_version(kind.get("apiVersion") or "")
        found = [r for r in resources() if (r.group, r.version, r.kind) == (group, version, kind.get("kind"))]
        plural = found[0].plural if found else "*"
    attributes = Attributes(call.user, "get", "", group, version, plural, "", namespace, name)
    return call.registry.authorizer.authorize(attributes)[0] is Decision.ALLOW


def _refuse(call: Call, obj: Object, path: str, text: str) -> None:
    raise errors.invalid(GROUP, obj.get("kind", ""), obj["metadata"].get("name", ""), [field_forbidden(path, text)])
