"""Creates and repairs the roles and bindings that every cluster has; the API server calls `ensure` at its start.

As upstream: rules, selectors, labels and subjects that are missing are added, others stay, and an object whose annotation
`rbac.authorization.kubernetes.io/autoupdate` says `false` is left alone. A binding to another role is made anew. The
rules of roles that aggregate others are written once: then they are the aggregation controller's.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from functools import cache

import msgspec

from pybernetes.api.errors import AlreadyExists
from pybernetes.api.facts.roles import CONTROLLER_RULES
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.authz._controller_roles import controller_roles
from pybernetes.apiserver.authz._default_roles import (
    GROUP,
    ClusterRole,
    aggregation_label,
    cluster_role_bindings,
    cluster_roles,
    namespaced_roles,
)
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.rbac import rule_of, uncovered

log = logging.getLogger(__name__)

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
BOOTSTRAPPING = "kubernetes.io/bootstrapping"
_MANAGER = "User system:kube-controller-manager"


async def ensure(registry: Registry) -> None:
    """Makes the cluster's roles and bindings what they must be at least. Raises what the registry raises."""
    # All at once: the store commits what comes together in one go, and a cold start waits for few of them.
    async with asyncio.TaskGroup() as group:
        for plural, obj in _all_wanted():
            group.create_task(_ensure(registry, GroupResource(GROUP, plural), obj), name="authz.bootstrap")


@cache
def _all_wanted() -> tuple[tuple[str, Object], ...]:
    """They are the same for every server; nobody changes them."""
    return tuple(_wanted())


def _wanted() -> Iterator[tuple[str, Object]]:
    for cluster_role in cluster_roles():
        yield "clusterroles", _cluster_role(cluster_role)
    for name, subjects in cluster_role_bindings():
        yield "clusterrolebindings", _binding("", name, name, subjects)
    for controller, rules in _rules_of_controllers():
        name = f"system:controller:{controller}"
        yield "clusterroles", _role(name, "", rules)
        subjects = (f"ServiceAccount kube-system/{controller}",)
        if controller in CONTROLLER_RULES:
            # All controllers run under the manager's own identity, until each has a token of its account.
            subjects = (*subjects, _MANAGER)
        yield "clusterrolebindings", _binding("", name, name, subjects)
    for role in namespaced_roles():
        subjects = tuple(role.subjects)
        if role.name.startswith("system:controller:"):
            subjects = (*subjects, _MANAGER)
        yield "roles", _role(role.name, role.namespace, role.rules)
        yield "rolebindings", _binding(role.namespace, role.binding or role.name, role.name, subjects)


def _rules_of_controllers() -> Iterator[tuple[str, list[Object]]]:
    """Upstream's and ours, together where they share a name."""
    ours = {name: msgspec.json.decode(msgspec.json.encode(rules)) for name, rules in CONTROLLER_RULES.items()}
    for controller, rules in controller_roles():
        yield controller, [*rules, *_missing_rules(rules, ours.pop(controller, ()))]
    yield from ours.items()


def _cluster_role(wanted: ClusterRole) -> Object:
    role = _role(wanted.name, "", wanted.rules)
    for above in wanted.aggregates_to:
        role["metadata"]["labels"][aggregation_label(above)] = "true"
    if wanted.aggregates:
        selector = {"matchLabels": {aggregation_label(wanted.name): "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return role


def _meta(name: str, namespace: str) -> Object:
    meta: Object = {"name": name, "labels": {BOOTSTRAPPING: "rbac-defaults"}, "annotations": {AUTOUPDATE: "true"}}
    return {**meta, "namespace": namespace} if namespace else meta


def _role(name: str, namespace: str, rules: Iterable[Object]) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": _meta(name, namespace),
        "rules": [dict(rule) for rule in rules],
    }


def _binding(namespace: str, name: str, role: str, subjects: Iterable[str]) -> Object:
    kind = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": f"{kind}Binding",
        "metadata": _meta(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [_subject(text) for text in subjects],
    }


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}


async def _ensure(registry: Registry, resource: GroupResource, wanted: Object) -> None:
    meta = wanted["metadata"]
    namespace, name = meta.get("namespace", ""), meta["name"]
    current = registry.look(resource, namespace, name)
    if current is None:
        try:
            await registry.create(resource, wanted, standard=True)
        except AlreadyExists:
            log.info("another server was faster role=%s", name)
        return
    if _is_left_alone(current):
        return
    if current.get("roleRef") != wanted.get("roleRef"):
        log.info("binding anew resource=%s name=%s", resource, name)
        await registry.delete(resource, namespace, name)
        await registry.create(resource, wanted, standard=True)
    elif _repaired(current, wanted) is not None:
        log.info("repairing resource=%s name=%s", resource, name)
        await registry.update(resource, namespace, name, lambda obj: _repaired(obj, wanted))


def _is_left_alone(obj: Object) -> bool:
    return (obj["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false"


def _repaired(current: Object, wanted: Object) -> Object | None:
    """The stored object with what is missing, or None when there is nothing to do."""
    if _is_left_alone(current):
        return None
    changed = {**current, "metadata": dict(current["metadata"])}
    for field in ("labels", "annotations"):
        changed["metadata"][field] = {**wanted["metadata"][field], **(current["metadata"].get(field) or {})}
    if "aggregationRule" in wanted:
        held = (current.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        missing = [selector for selector in wanted["aggregationRule"]["clusterRoleSelectors"] if selector not in held]
        changed["aggregationRule"] = {"clusterRoleSelectors": [*held, *missing]}
    elif "rules" in wanted:
        rules = current.get("rules") or []
        changed["rules"] = [*rules, *_missing_rules(rules, wanted["rules"])] or None
    else:
        subjects = current.get("subjects") or []
        known = [_identity(subject) for subject in subjects]
        missing = [subject for subject in wanted["subjects"] if _identity(subject) not in known]
        if missing:
            changed["subjects"] = [*subjects, *missing]
    return None if changed == current else changed


def _missing_rules(held: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
    own = [rule_of(rule) for rule in held]
    return [rule for rule in wanted if uncovered(own, [rule_of(rule)])]


def _identity(subject: Object) -> tuple[str, str, str]:
    return subject.get("kind", ""), subject.get("namespace") or "", subject.get("name", "")
