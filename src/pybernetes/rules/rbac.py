"""What a PolicyRule of RBAC allows, and whether some rules cover others. The API server's authorizer judges with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

ALL = "*"


class Rule(Struct, frozen=True):
    """rbac.authorization.k8s.io PolicyRule, as sets."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()

    def allows(self, verb: str, group: str, resource: str, name: str) -> bool:
        """`resource` is `pods` or, with its subresource, `pods/log`."""
        return (
            (verb in self.verbs or ALL in self.verbs)
            and (group in self.groups or ALL in self.groups)
            and self._has_resource(resource)
            and (not self.names or name in self.names)
        )

    def allows_url(self, verb: str, path: str) -> bool:
        """A path that is no resource."""
        if not (verb in self.verbs or ALL in self.verbs):
            return False
        return any(url in (ALL, path) or (url.endswith(ALL) and path.startswith(url[:-1])) for url in self.urls)

    def _has_resource(self, resource: str) -> bool:
        if resource in self.resources or ALL in self.resources:
            return True
        _, slash, sub = resource.partition("/")
        return bool(slash) and f"*/{sub}" in self.resources

    def __str__(self) -> str:
        """As upstream prints a rule that someone tried to grant."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("ResourceNames", self.names),
            ("NonResourceURLs", self.urls),
            ("Verbs", self.verbs),
        )
        shown = ", ".join(f"{name}:[{' '.join(_quoted(values))}]" for name, values in parts if values)
        return f"{{{shown}}}"


def _quoted(values: Iterable[str]) -> Iterator[str]:
    return (f'"{value}"' for value in sorted(values))


def rule_of(rule: Mapping[str, Any]) -> Rule:
    """From its JSON."""
    return Rule(
        _words(tuple(rule.get("verbs") or ())),
        _words(tuple(rule.get("apiGroups") or ())),
        _words(tuple(rule.get("resources") or ())),
        _words(tuple(rule.get("resourceNames") or ())),
        _words(tuple(rule.get("nonResourceURLs") or ())),
    )


@lru_cache(maxsize=4096)
def _words(words: tuple[str, ...]) -> frozenset[str]:
    """Most rules say the same few words: one set for all of them."""
    return frozenset(words)


def uncovered(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that nothing in `held` allows: what granting them would escalate."""
    return [part for rule in wanted for part in _broken_down(rule) if not any(_covers(own, part) for own in held)]


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """One rule for the verbs of the same thing, sorted by their text: how refusals list them."""
    verbs: dict[Rule, frozenset[str]] = {}
    for rule in rules:
        thing = replace(rule, verbs=frozenset())
        verbs[thing] = verbs.get(thing, frozenset()) | rule.verbs
    return sorted((replace(thing, verbs=found) for thing, found in verbs.items()), key=str)


def _broken_down(rule: Rule) -> Iterator[Rule]:
    """Rules of one verb and one thing each."""
    for verb in sorted(rule.verbs):
        one = frozenset({verb})
        for url in sorted(rule.urls):
            yield Rule(one, urls=frozenset({url}))
        for group in sorted(rule.groups):
            for resource in sorted(rule.resources):
                for name in sorted(rule.names) or [""]:
                    named = frozenset({name}) if name else frozenset[str]()
                    yield Rule(one, frozenset({group}), frozenset({resource}), named)


def _covers(own: Rule, part: Rule) -> bool:
    verb = next(iter(part.verbs))
    if part.urls:
        return _covers_url(own, verb, next(iter(part.urls)))
    if ALL not in own.verbs and verb not in own.verbs:
        return False
    if ALL not in own.groups and not part.groups <= own.groups:
        return False
    resource = next(iter(part.resources))
    _, slash, sub = resource.partition("/")
    held = ALL in own.resources or resource in own.resources or (bool(slash) and f"*/{sub}" in own.resources)
    return held and (not own.names or bool(part.names and part.names <= own.names))


def _covers_url(own: Rule, verb: str, path: str) -> bool:
    if ALL not in own.verbs and verb not in own.verbs:
        return False
    return any(url in (ALL, path) or (url.endswith(ALL) and path.startswith(url[:-1])) for url in own.urls)
