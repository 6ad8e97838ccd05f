"""Classify: which FlowSchema a request belongs to. Pure; levels.py asks, and remembers the answer.

A schema is compiled once, when its object changes. The first that matches counts, by precedence and then by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pybernetes.api.objects import Object, User
from pybernetes.apiserver.requestinfo import RequestInfo

_ALL = "*"
_ACCOUNT = "system:serviceaccount:"


class Schema:
    """A FlowSchema, compiled."""

    def __init__(self, obj: Object) -> None:
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        self.name: str = metadata["name"]
        self.uid: str = metadata.get("uid") or ""
        self.level: str = level_of(obj)
        self.precedence: int = spec.get("matchingPrecedence") or 0
        self._method: str = (spec.get("distinguisherMethod") or {}).get("type") or ""
        self._rules = [_Rule(rule) for rule in spec.get("rules") or ()]

    @property
    def order(self) -> tuple[int, str]:
        """The lowest is asked first."""
        return self.precedence, self.name

    def concerns(self, user: User) -> bool:
        """Whether any request of a user may belong here."""
        return any(rule.concerns(user) for rule in self._rules)

    def matches(self, user: User, info: RequestInfo) -> bool:
        """Whether a request belongs here."""
        return any(rule.matches(user, info) for rule in self._rules)

    def distinguisher(self, user: User, info: RequestInfo) -> str:
        """What makes requests of this schema one flow."""
        if self._method == "ByUser":
            return user.name
        return info.namespace if self._method == "ByNamespace" else ""


def first(schemas: Iterable[Schema], user: User, info: RequestInfo) -> Schema | None:
    """The first of them that a request belongs to; they are in order."""
    return next((schema for schema in schemas if schema.matches(user, info)), None)


class _Rule:
    """PolicyRulesWithSubjects: one of its subjects, and one of its rules."""

    def __init__(self, rule: Mapping[str, Any]) -> None:
        self._subjects = _Subjects(rule.get("subjects") or ())
        self._resources = [_ResourceRule(one) for one in rule.get("resourceRules") or ()]
        self._urls = [_UrlRule(one) for one in rule.get("nonResourceRules") or ()]

    def concerns(self, user: User) -> bool:
        return self._subjects.include(user)

    def matches(self, user: User, info: RequestInfo) -> bool:
        rules: Sequence[_ResourceRule] | Sequence[_UrlRule] = self._resources if info.is_resource else self._urls
        return self._subjects.include(user) and any(rule.matches(info) for rule in rules)


class _Subjects:
    def __init__(self, subjects: Iterable[Mapping[str, Any]]) -> None:
        self._everybody = False
        self._users, self._groups, prefixes = set[str](), set[str](), list[str]()
        for subject in subjects:
            kind = subject.get("kind")
            described = subject.get({"User": "user", "Group": "group"}.get(kind or "", "serviceAccount")) or {}
            name = described.get("name") or ""
            if kind == "ServiceAccount":
                account = f"{_ACCOUNT}{described.get('namespace') or ''}:"
                if name == _ALL:
                    prefixes.append(account)
                else:
                    self._users.add(account + name)
            elif name == _ALL:
                self._everybody = True
            else:
                (self._users if kind == "User" else self._groups).add(name)
        self._prefixes = tuple(prefixes)

    def include(self, user: User) -> bool:
        return (
            self._everybody
            or user.name in self._users
            or not self._groups.isdisjoint(user.groups)
            or user.name.startswith(self._prefixes)
        )


def _names(values: Sequence[str] | None) -> frozenset[str] | None:
    """None is every one: `*`, which stands alone."""
    given = values or ()
    return None if list(given) == [_ALL] else frozenset(given)


def _in(names: frozenset[str] | None, name: str) -> bool:
    return names is None or name in names


class _ResourceRule:
    def __init__(self, rule: Mapping[str, Any]) -> None:
        self._verbs = _names(rule.get("verbs"))
        self._groups = _names(rule.get("apiGroups"))
        self._resources = _names(rule.get("resources"))
        self._namespaces = _names(rule.get("namespaces"))
        self._cluster = bool(rule.get("clusterScope"))

    def matches(self, info: RequestInfo) -> bool:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        return (
            _in(self._verbs, info.verb)
            and _in(self._resources, resource)
            and _in(self._groups, info.group)
            and (_in(self._namespaces, info.namespace) if info.namespace else self._cluster)
        )


class _UrlRule:
    def __init__(self, rule: Mapping[str, Any]) -> None:
        self._verbs = _names(rule.get("verbs"))
        self._urls = _names(rule.get("nonResourceURLs"))
        # `/healthz` is about everything below it, too.
        self._below = tuple(url.removesuffix(_ALL).rstrip("/") + "/" for url in self._urls or ())

    def matches(self, info: RequestInfo) -> bool:
        return _in(self._verbs, info.verb) and (_in(self._urls, info.path) or info.path.startswith(self._below))


def level_of(schema: Object) -> str:
    """The level that a FlowSchema names."""
    return ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name") or ""
