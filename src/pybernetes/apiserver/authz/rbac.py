"""RBAC: who may do what by roles and bindings, kept from the watch cache. rules/rbac.py says what one rule allows.

Roles and bindings arrive through Registry.subscribe before the write that made them is answered, so a new or deleted
binding counts at once. The rules of a subject are gathered once and kept until a role or binding that could matter
changes: those of the cluster, and those of its namespace, are counted apart.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pybernetes.api.objects import GroupResource, Object, User
from pybernetes.apiserver.extension import Attributes, Decision
from pybernetes.apiserver.registry import Registry
from pybernetes.rules.rbac import Rule, rule_of

GROUP = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
_KEPT = 4096

_Question = tuple[str, tuple[str, ...], str, str, str, str, str]

Change = Literal["ADDED", "MODIFIED", "DELETED"]


class _Grants:
    """What one subject set holds in one place: rules with the words that say where they come from, by resource."""

    __slots__ = ("all", "by_resource", "missing", "urls", "version")

    def __init__(self, granted: Iterable[tuple[Rule, str]], missing: Sequence[str], version: int) -> None:
        self.all = tuple(granted)
        self.missing = missing
        """What is wrong with bindings: they name roles that are not there."""
        self.version = version
        self.urls = [grant for grant in self.all if grant[0].urls]
        self.by_resource: dict[str, list[tuple[Rule, str]]] = {}
        for grant in self.all:
            for resource in grant[0].resources:
                self.by_resource.setdefault(resource, []).append(grant)

    def for_resource(self, resource: str, subresource: str) -> Iterator[tuple[Rule, str]]:
        """Those that could allow it: a request looks at a few rules, however many a controller manager holds."""
        keys = (f"{resource}/{subresource}", f"*/{subresource}", "*") if subresource else (resource, "*")
        for key in keys:
            yield from self.by_resource.get(key, ())


class Rbac:
    """An Authorizer and RuleResolver. `follow(registry)` before it is asked."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        """(namespace, name); ClusterRoles have no namespace."""
        self._bindings: dict[str, dict[str, Object]] = {}
        """Namespace to name to binding."""
        self._by_subject: dict[str, dict[str, set[str]]] = {}
        """Namespace to subject to names of bindings."""
        self._versions: dict[str, int] = {}
        self._kept: dict[tuple[str, tuple[str, ...], str], _Grants] = {}
        self._allowed: dict[_Question, str] = {}
        """What is allowed whatever the name of the object, and why; forgotten when any role or binding changes."""

    def follow(self, registry: Registry) -> None:
        """Subscribes to roles and bindings."""
        for plural in ("clusterroles", "roles"):
            registry.subscribe(GroupResource(GROUP, plural), self._role_changed)
        for plural in ("clusterrolebindings", "rolebindings"):
            registry.subscribe(GroupResource(GROUP, plural), self._binding_changed)

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """ALLOW with the binding that grants it, else NO_OPINION."""
        user = attributes.user
        if MASTERS in user.groups:
            return Decision.ALLOW, ""
        resource, sub = attributes.resource, attributes.subresource
        asked = (user.name, user.groups, attributes.verb, attributes.group, resource, sub, attributes.namespace)
        known = self._allowed.get(asked)
        if known is not None:
            return Decision.ALLOW, known
        full = f"{resource}/{sub}" if sub else resource
        missing: list[str] = []
        for namespace in _spaces(attributes.namespace if resource else ""):
            granted = self._granted(user, namespace)
            if resource:
                for rule, source in granted.for_resource(resource, sub):
                    if rule.allows(attributes.verb, attributes.group, full, attributes.name):
                        why = f"RBAC: allowed by {source}"
                        if not rule.names:
                            self._remember(asked, why)
                        return Decision.ALLOW, why
            else:
                for rule, source in granted.urls:
                    if rule.allows_url(attributes.verb, attributes.path):
                        return Decision.ALLOW, f"RBAC: allowed by {source}"
            missing += granted.missing
        return Decision.NO_OPINION, f"RBAC: {aggregate(missing)}" if missing else ""

    def rules(self, user: User, namespace: str) -> Sequence[Rule]:
        """Everything that roles let the user do in a namespace (empty: in the whole cluster)."""
        return [rule for space in _spaces(namespace) for rule, _ in self._granted(user, space).all]

    def missing(self, user: User, namespace: str) -> Sequence[str]:
        """Why the user's rules may be incomplete: bindings to roles that are not there."""
        return [text for space in _spaces(namespace) for text in self._granted(user, space).missing]

    def role(self, namespace: str, name: str) -> Sequence[Rule] | None:
        """The rules of a Role, or of a ClusterRole where namespace is empty; None for one that is not there."""
        return self._roles.get((namespace, name))

    # --- what changes

    def _role_changed(self, change: Change, role: Object) -> None:
        meta = role["metadata"]
        namespace = meta.get("namespace", "")
        if change == "DELETED":
            self._roles.pop((namespace, meta["name"]), None)
        else:
            self._roles[namespace, meta["name"]] = tuple(rule_of(rule) for rule in role.get("rules") or ())
        self._touch(namespace)
        if not namespace:
            # A ClusterRole may be bound in any namespace.
            self._kept.clear()

    def _binding_changed(self, change: Change, binding: Object) -> None:
        meta = binding["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        bindings = self._bindings.setdefault(namespace, {})
        by_subject = self._by_subject.setdefault(namespace, {})
        old = bindings.pop(name, None)
        if old is not None:
            for subject in _subjects(old):
                by_subject.get(subject, set()).discard(name)
        if change != "DELETED":
            bindings[name] = binding
            for subject in _subjects(binding):
                by_subject.setdefault(subject, set()).add(name)
        self._touch(namespace)

    def _remember(self, asked: _Question, why: str) -> None:
        if len(self._allowed) >= _KEPT:
            self._allowed.clear()
        self._allowed[asked] = why

    def _touch(self, namespace: str) -> None:
        self._allowed.clear()
        self._versions[namespace] = self._versions.get(namespace, 0) + 1

    # --- what follows from it

    def _granted(self, user: User, namespace: str) -> _Grants:
        key = (user.name, user.groups, namespace)
        version = self._versions.get(namespace, 0)
        kept = self._kept.get(key)
        if kept is not None and kept.version == version:
            return kept
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        missing: list[str] = []
        found = self._kept[key] = _Grants(self._gathered(user, namespace, missing), missing, version)
        return found

    def _gathered(self, user: User, namespace: str, missing: list[str]) -> Iterator[tuple[Rule, str]]:
        by_subject = self._by_subject.get(namespace, {})
        bindings = self._bindings.get(namespace, {})
        for subject in (f"User {user.name}", *(f"Group {group}" for group in user.groups)):
            kind, _, who = subject.partition(" ")
            for name in sorted(by_subject.get(subject, ())):
                reference = bindings[name].get("roleRef") or {}
                role_kind, role = reference.get("kind", ""), reference.get("name", "")
                of_kind = "RoleBinding" if namespace else "ClusterRoleBinding"
                shown = f"{name}/{namespace}" if namespace else name
                source = f'{of_kind} "{shown}" of {role_kind} "{role}" to {_shown_subject(kind, who)}'
                rules = self._roles.get((namespace if role_kind == "Role" else "", role))
                if rules is None:
                    missing.append(f'{role_kind.lower()}.{GROUP} "{role}" not found')
                for rule in rules or ():
                    yield rule, source


_ACCOUNT = "system:serviceaccount:"


def aggregate(faults: Iterable[str]) -> str:
    """Several errors as one, as Go's aggregates print: each once, brackets around more than one."""
    texts = list(dict.fromkeys(faults))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _spaces(namespace: str) -> Sequence[str]:
    return ("", namespace) if namespace else ("",)


def _subjects(binding: Mapping[str, Any]) -> Iterator[str]:
    """`User x` and `Group x`; a ServiceAccount is the user that its tokens speak for."""
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name", "")
        if kind == "ServiceAccount":
            namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
            yield f"User {_ACCOUNT}{namespace}:{name}"
        elif kind in ("User", "Group"):
            yield f"{kind} {name}"


def _shown_subject(kind: str, who: str) -> str:
    if kind == "User" and who.startswith(_ACCOUNT):
        namespace, _, name = who.removeprefix(_ACCOUNT).partition(":")
        return f'ServiceAccount "{name}/{namespace}"'
    return f'{kind} "{who}"'
