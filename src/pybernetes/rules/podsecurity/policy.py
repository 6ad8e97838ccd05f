"""Policies: levels and versions, and the namespace labels that say them."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from pybernetes.api.errors import FieldError, invalid_value

Level: TypeAlias = Literal["privileged", "baseline", "restricted"]
LEVELS: tuple[Level, ...] = ("privileged", "baseline", "restricted")
"""From lax to strict."""
PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)
_LATEST = 10**9


class Standard(Struct, frozen=True):
    """A level in the form that it has in a version."""

    level: Level = "privileged"
    minor: int = _LATEST
    """1.x; a huge number is the latest."""

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == _LATEST else f'v1.{self.minor}'}"


class Policy(Struct, frozen=True):
    """What is refused, what is noted for auditors, what users are warned of."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()

    @property
    def lax(self) -> bool:
        """Whether nothing is judged at all."""
        return all(one.level == "privileged" for one in (self.enforce, self.audit, self.warn))


def of_labels(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """A namespace's policy, and what is wrong with its labels; those that cannot be read are strict for `enforce`."""
    faults: list[FieldError] = []
    if not any(name.startswith(PREFIX) for name in labels):
        return defaults, faults
    found = {mode: _read(labels, mode, getattr(defaults, mode), faults) for mode in MODES}
    return Policy(**found), faults


def _read(labels: Mapping[str, str], mode: str, default: Standard, faults: list[FieldError]) -> Standard:
    level, minor = default.level, default.minor
    name = PREFIX + mode
    if name in labels:
        read = level_of(labels[name])
        if read is None:
            why = f"must be one of {', '.join(LEVELS)}"
            faults.append(invalid_value(f"metadata.labels[{name}]", labels[name], why))
        level = read or ("restricted" if mode == "enforce" else "privileged")
    name += "-version"
    if name in labels:
        number = minor_of(labels[name])
        if number is None:
            why = 'must be "latest" or "v1.x"'
            faults.append(invalid_value(f"metadata.labels[{name}]", labels[name], why))
        minor = _LATEST if number is None else number
    return Standard(level, minor)


def level_of(text: str) -> Level | None:
    """The level of that name."""
    return next((level for level in LEVELS if level == text), None)


def minor_of(text: str) -> int | None:
    """`v1.25` as 25, `latest` as a huge number."""
    if text == "latest":
        return _LATEST
    found = _VERSION.fullmatch(text)
    return min(int(found[1]), _LATEST - 1) if found and len(text) < 20 else None


def stricter(new: Level, old: Level) -> bool:
    """Whether one level forbids more than the other."""
    return LEVELS.index(new) > LEVELS.index(old)


def listed(names: Iterable[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(f'"{name}"' for name in names)


def plural(count: int, one: str, more: str = "") -> str:
    """The word for so many; the plural is made with an s where it is not given."""
    return one if count == 1 else more or f"{one}s"
