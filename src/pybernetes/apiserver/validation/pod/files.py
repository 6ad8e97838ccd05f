"""Paths and modes of files that volumes put into containers."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import invalid_value, required
from pybernetes.apiserver.validation.fields import FieldErrors

MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_CLIMBS = "must not contain '..'"


def climbs(target: str) -> bool:
    """Whether a path has an element `..`."""
    return ".." in target and ".." in target.split("/")


def no_backsteps(target: str, path: str) -> FieldErrors:
    """Absolute or not, it must not climb."""
    if climbs(target):
        yield invalid_value(path, target, _CLIMBS)


def descending(target: str, path: str) -> FieldErrors:
    """A relative path that does not climb."""
    if target.startswith("/"):
        yield invalid_value(path, target, "must be a relative path")
    if climbs(target):
        yield invalid_value(path, target, _CLIMBS)


def local_path(target: str, path: str) -> FieldErrors:
    """The same, and not one of the names that atomic writers keep for themselves."""
    yield from descending(target, path)
    if target.startswith("..") and not target.startswith("../"):
        yield invalid_value(path, target, "must not start with '..'")


def is_plain(target: str) -> bool:
    """Whether `local_path` has nothing to say: most paths, asked first because it is cheap."""
    return bool(target) and target[0] != "/" and ".." not in target


def mode(value: int | None, path: str) -> FieldErrors:
    """Permission bits."""
    if value is not None and not 0 <= value <= 0o777:
        yield invalid_value(path, value, MODE)


def key_to_path(item: Mapping[str, Any], path: str) -> FieldErrors:
    """One of the `items` of a ConfigMap or Secret volume."""
    if not item.get("key"):
        yield required(f"{path}.key")
    target = item.get("path") or ""
    if not is_plain(target):
        if not target:
            yield required(f"{path}.path")
        yield from local_path(target, f"{path}.path")
    if item.get("mode") is not None:
        yield from mode(item["mode"], f"{path}.mode")
