"""Judges a Pod by a standard: which checks count in a version, and how their verdicts are said."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from pybernetes.rules.podsecurity import baseline, restricted
from pybernetes.rules.podsecurity._visit import Check, Meta, Spec, Violation
from pybernetes.rules.podsecurity.policy import Standard

_NEWEST = max(minor for checks in (baseline.CHECKS, restricted.CHECKS) for c in checks.values() for minor, _ in c)


def violations(standard: Standard, meta: Meta, spec: Spec) -> list[Violation]:
    """What of the Pod the standard forbids."""
    if standard.level == "privileged":
        return []
    checks = _checks(standard.level == "restricted", min(standard.minor, _NEWEST))
    return [found for check in checks if (found := check(meta, spec)) is not None]


def detailed(found: Iterable[Violation]) -> str:
    """`hostPort (container "c" uses hostPort 80), privileged (...)`."""
    return ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in found)


def brief(found: Iterable[Violation]) -> str:
    """`hostPort, privileged`."""
    return ", ".join(reason for reason, _ in found)


@lru_cache(maxsize=128)
def _checks(strict: bool, minor: int) -> tuple[Check, ...]:
    own = _of(restricted.CHECKS, minor) if strict else {}
    overridden = {restricted.OVERRIDES[name] for name in own if name in restricted.OVERRIDES}
    base = {name: check for name, check in _of(baseline.CHECKS, minor).items() if name not in overridden}
    return (*base.values(), *own.values())


def _of(table: Mapping[str, tuple[tuple[int, Check], ...]], minor: int) -> dict[str, Check]:
    found: dict[str, Check] = {}
    for name, versions in table.items():
        for since, check in versions:
            if since <= minor:
                found[name] = check
    return found
