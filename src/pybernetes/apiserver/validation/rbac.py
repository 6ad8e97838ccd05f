"""Roles and bindings: rules, subjects, and that nobody grants what they do not hold. The rbac resources share it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import forbidden, invalid_value, not_found, not_supported, required
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.resource import Call
from pybernetes.apiserver.validation.fields import FieldErrors, check, each
from pybernetes.apiserver.validation.internal import internal
from pybernetes.apiserver.validation.meta import changes_only_ownership
from pybernetes.rules.rbac import Rule, compact, rule_of, uncovered

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"


def validate_rules(obj: Object, *, namespaced: bool) -> FieldErrors:
    """rules of a Role or ClusterRole."""
    for at, rule in each(obj, "rules", ""):
        at = at.removeprefix(".")
        if not rule.get("verbs"):
            yield required(f"{at}.verbs", "verbs must contain at least one value")
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                yield invalid_value(f"{at}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                yield invalid_value(
                    f"{at}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs"
                )
            continue
        if not rule.get("apiGroups"):
            yield required(f"{at}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{at}.resources", "resource rules must supply at least one resource")


def default_binding(obj: Object) -> None:
    """API groups by kind."""
    reference = obj.get("roleRef")
    if reference is not None and not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def validate_binding(obj: Object, *, namespaced: bool) -> FieldErrors:
    """roleRef and subjects."""
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != GROUP:
        yield not_supported("roleRef.apiGroup", reference.get("apiGroup") or "", (GROUP,))
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if reference.get("kind") not in kinds:
        yield not_supported("roleRef.kind", reference.get("kind") or "", kinds)
    name = reference.get("name") or ""
    if not name:
        yield required("roleRef.name")
    else:
        yield from check("roleRef.name", name, names.path_segment(name))
    for at, subject in each(obj, "subjects", ""):
        yield from _subject(subject, at.removeprefix("."), namespaced)


def _subject(subject: Mapping[str, Any], path: str, namespaced: bool) -> FieldErrors:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            yield from check(f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            yield not_supported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield not_supported(f"{path}.apiGroup", group, (GROUP,))
    else:
        yield not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def validate_binding_update(obj: Object, old: Object) -> FieldErrors:
    """A binding's role is what it is."""
    if obj.get("roleRef") != old.get("roleRef"):
        shown = internal(obj.get("roleRef"), "io.k8s.api.rbac.v1.RoleRef")
        yield invalid_value("roleRef", shown, "cannot change roleRef")


async def refuse_escalation(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook of roles: rules that the writer does not hold need the verb `escalate`. Raises Forbidden."""
    name = "" if old is None else obj["metadata"]["name"]
    if MASTERS in call.user.groups or _may(call, "escalate", name, call.resource.plural):
        return
    if changes_only_ownership(obj, old):
        return
    _refuse(call, obj, [rule_of(rule) for rule in obj.get("rules") or ()])
    if (_aggregates(obj) or (old is not None and _aggregates(old))) and _not_held(call, _EVERYTHING):
        text = "must have cluster-admin privileges to use the aggregationRule"
        raise forbidden(call.resource.group_resource, obj["metadata"]["name"], text)


async def refuse_binding(call: Call, obj: Object, old: Object | None) -> None:
    """A before_write hook of bindings: a role that the writer does not hold needs the verb `bind`. Raises Forbidden."""
    reference = obj.get("roleRef") or {}
    kind, name = reference.get("kind", ""), reference.get("name", "")
    if MASTERS in call.user.groups or changes_only_ownership(obj, old):
        return
    of_namespace = kind == "Role"
    if _may(call, "bind", name, "roles" if of_namespace else "clusterroles"):
        return
    rules = call.registry.rules.role(call.namespace if of_namespace else "", name)
    if rules is None:
        raise not_found(GroupResource(GROUP, kind.lower()), name)
    _refuse(call, obj, rules)


_EVERYTHING = (
    Rule(frozenset("*"), frozenset("*"), frozenset("*")),
    Rule(frozenset("*"), urls=frozenset("*")),
)


def _aggregates(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _may(call: Call, verb: str, name: str, plural: str) -> bool:
    attributes = Attributes(call.user, verb, "", GROUP, "v1", plural, "", call.namespace, name)
    return call.registry.authorizer.authorize(attributes)[0] is Decision.ALLOW


def _not_held(call: Call, wanted: Sequence[Rule]) -> list[Rule]:
    return uncovered(list(call.registry.rules.rules(call.user, call.namespace)), wanted)


def _refuse(call: Call, obj: Object, wanted: Sequence[Rule]) -> None:
    user = call.user
    missing = _not_held(call, wanted)
    if not missing:
        return
    groups = " ".join(f'"{group}"' for group in user.groups)
    text = f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:'
    text = "\n".join([text, *(str(rule) for rule in compact(missing))])
    faults = list(dict.fromkeys(call.registry.rules.missing(user, call.namespace)))
    if faults:
        text += f"; resolution errors: [{', '.join(faults)}]"
    raise forbidden(call.resource.group_resource, obj["metadata"]["name"], text)
