"""What the checks look at: a Pod's containers, and what is set in security contexts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pybernetes.rules.podcontainers import containers
from pybernetes.rules.podsecurity.policy import listed, plural

Spec: TypeAlias = Mapping[str, Any]
Meta: TypeAlias = Mapping[str, Any]
Violation: TypeAlias = tuple[str, str]
"""(reason, detail)."""
Check: TypeAlias = Callable[[Meta, Spec], Violation | None]


def context(part: Spec) -> Spec:
    """The securityContext of a Pod's spec or a container."""
    return part.get("securityContext") or {}


def names(bad: Sequence[Spec]) -> str:
    """`containers "a", "b"`."""
    return f"{plural(len(bad), 'container')} {listed(one.get('name', '') for one in bad)}"


def offenders(spec: Spec, bad: Callable[[Spec], bool]) -> tuple[bool, list[Spec]]:
    """Whether the Pod's own security context is bad, and the containers whose are."""
    return bad(context(spec)), [one for one in containers(spec) if bad(context(one))]


def setters(own: bool, bad: list[Spec]) -> str:
    """`pod and containers "a", "b"`."""
    return " and ".join([*(["pod"] if own else []), *([names(bad)] if bad else [])])


def values(own: bool, bad: list[Spec], spec: Spec, read: Callable[[Spec], Any]) -> list[str]:
    """The different bad values, sorted."""
    found = {read(context(one)) for one in bad} | ({read(context(spec))} if own else set())
    return sorted(str(value) for value in found)


def is_windows(spec: Spec) -> bool:
    """Whether the Pod says it is for Windows, where some things have no meaning."""
    return (spec.get("os") or {}).get("name") == "windows"


def in_user_namespace(spec: Spec) -> bool:
    """Whether its root is not the host's."""
    return spec.get("hostUsers") is False
