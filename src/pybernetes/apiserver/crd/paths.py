"""Paths into custom objects: `.spec.host` as selectableFields and rules name fields, and what is found there."""

import re
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.crd.structural import Structural

_STEP = re.compile(r"\.(?P<name>[^.\[\]']+)|\[(?P<quote>'(?P<key>(?:[^'\\]|\\.)*)'|(?P<index>[^\]']*))\]")


class BadPath(ValueError):
    """Why a path leads nowhere."""


def field_path(path: str, schema: Structural, *, arrays: bool = False) -> tuple[list[str], Structural]:
    """The names on the way and the schema at its end. Raises BadPath."""
    names: list[str] = []
    at, found = 0, schema
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise BadPath("must be a valid path")
        if step["name"] is not None:
            child = found.properties.get(step["name"])
        elif step["key"] is not None:
            child = found.additional or found.properties.get(step["key"])
        else:
            child = found.items if arrays else None
        if child is None:
            raise BadPath("does not refer to a valid field")
        names.append(step["name"] or step["key"] or step["index"])
        at, found = step.end(), child
    if not names:
        raise BadPath("does not refer to a valid field")
    return names, found


def look(obj: Object, path: list[str]) -> Any:
    """What is there, None for nothing."""
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def selectable(obj: Object, path: list[str]) -> str:
    """As field selectors compare it."""
    value = look(obj, path)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
