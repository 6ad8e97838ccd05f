"""discover(): finds the one constant that every extension file exports. Used by each part for its own kind of addition."""

from collections.abc import Collection
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


class DiscoveryError(ImportError):
    """An extension file lacks its constant, or the constant is of another type."""


def discover(
    package: str, constant: str, kind: type[T], *, group: str | None = None, skip: Collection[str] = ()
) -> dict[str, T]:
    """Constants of all modules below `package` (dotted name), keyed by the module's path below it.

    A package without modules of its own folder level is walked into (`resources/<group>/<plural>.py`). Modules whose
    name starts with an underscore are helpers and are skipped, and so are those in `skip`. `group` names an entry
    point group: other installed packages add to the same table, keyed by the entry point's name; each entry point
    names the constant itself.
    Raises DiscoveryError where a module lacks the constant: an addition that is not wired is a fault at start-up.
    """
    found: dict[str, T] = {}
    _walk(import_module(package), "", constant, kind, found, frozenset(skip))
    return found | installed(group, kind) if group else found


def installed(group: str, kind: type[T]) -> dict[str, T]:
    """What other installed packages add to an entry point group, by the entry point's name. Raises DiscoveryError."""
    return {
        point.name: _checked(point.load(), kind, f"entry point {group}:{point.name}")
        for point in _installed()
        if point.group == group
    }


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """What installed packages add: finding it takes as long as importing all that is here."""
    points = (point for package in distributions() for point in package.entry_points)
    return tuple(point for point in points if point.group.startswith("pybernetes."))


def _walk(
    package: ModuleType, prefix: str, constant: str, kind: type[T], found: dict[str, T], skip: frozenset[str]
) -> None:
    for info in sorted(iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_") or prefix + info.name in skip:
            continue
        module = import_module(f"{package.__name__}.{info.name}")
        if info.ispkg:
            _walk(module, f"{prefix}{info.name}/", constant, kind, found, skip)
            continue
        if not hasattr(module, constant):
            raise DiscoveryError(f"{module.__name__} exports no {constant}")
        found[prefix + info.name] = _checked(getattr(module, constant), kind, f"{module.__name__}.{constant}")


def _checked(value: object, kind: type[T], where: str) -> T:
    if not isinstance(value, kind):
        raise DiscoveryError(f"{where} is a {type(value).__name__}, wanted {kind.__name__}")
    return value
