"""Creates and repairs the roles and bindings that every cluster has; the API server calls `ensure` at its start.

As upstream: rules and subjects that are missing are added, others stay, and an object whose annotation
`rbac.authorization.kubernetes.io/autoupdate` says `false` is left alone.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pybernetes.api.errors import AlreadyExists, NotFound
from pybernetes.api.facts.roles import CONTROLLER_RULES
from pybernetes.api.objects import GroupResource, Object
from pybernetes.apiserver.authz._default_roles import (
    GROUP,
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
        for plural, obj in _wanted():
            group.create_task(_ensure(registry, GroupResource(GROUP, plural), obj), name="authz.bootstrap")


def _wanted() -> Iterator[tuple[str, Object]]:
    for name, rules in cluster_roles():
        yield "clusterroles", _role("ClusterRole", name, "", rules)
    for name, subjects in cluster_role_bindings():
        yield "clusterrolebindings", _binding("ClusterRoleBinding", name, "", subjects)
    for controller, granted in CONTROLLER_RULES.items():
        name = f"system:controller:{controller}"
        yield "clusterroles", _role("ClusterRole", name, "", msgspec.json.decode(msgspec.json.encode(granted)))
        # All controllers run under the manager's own identity, until each has a token of its account.
        subjects = (f"ServiceAccount kube-system/{controller}", _MANAGER)
        yield "clusterrolebindings", _binding("ClusterRoleBinding", name, "", subjects)
    for namespace, name, rules, subjects in namespaced_roles():
        if name.startswith("system:controller:"):
            subjects = (*subjects, _MANAGER)
        yield "roles", _role("Role", name, namespace, rules)
        yield "rolebindings", _binding("RoleBinding", name, namespace, subjects)


def _meta(name: str, namespace: str) -> Object:
    meta: Object = {"name": name, "labels": {BOOTSTRAPPING: "rbac-defaults"}, "annotations": {AUTOUPDATE: "true"}}
    return {**meta, "namespace": namespace} if namespace else meta


def _role(kind: str, name: str, namespace: str, rules: Iterable[Object]) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": _meta(name, namespace),
        "rules": [dict(rule) for rule in rules],
    }


def _binding(kind: str, name: str, namespace: str, subjects: Iterable[str]) -> Object:
    role = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": _meta(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": role, "name": name},
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
    try:
        current = await registry.get(resource, namespace, name)
    except NotFound:
        try:
            await registry.create(resource, wanted)
        except AlreadyExists:
            log.info("another server was faster role=%s", name)
        return
    if _repaired(current, wanted) is not None:
        log.info("repairing resource=%s name=%s", resource, name)
        await registry.update(resource, namespace, name, lambda obj: _repaired(obj, wanted))


def _repaired(current: Object, wanted: Object) -> Object | None:
    """The stored object with what is missing, or None when there is nothing to do."""
    if (current["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false":
        return None
    changed = dict(current)
    if "rules" in wanted:
        held = [rule_of(rule) for rule in current.get("rules") or ()]
        missing: list[Any] = [rule for rule in wanted["rules"] if uncovered(held, [rule_of(rule)])]
        if not missing:
            return None
        changed["rules"] = [*(current.get("rules") or ()), *missing]
        return changed
    known = [_identity(subject) for subject in current.get("subjects") or ()]
    missing = [subject for subject in wanted["subjects"] if _identity(subject) not in known]
    if not missing:
        return None
    changed["subjects"] = [*(current.get("subjects") or ()), *missing]
    return changed


def _identity(subject: Object) -> tuple[str, str, str]:
    return subject.get("kind", ""), subject.get("namespace") or "", subject.get("name", "")
