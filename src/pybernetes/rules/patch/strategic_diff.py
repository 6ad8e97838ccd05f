"""The strategic merge patch of `kubectl apply`, from last applied, wanted and current state. strategic.py applies it.

What the wanted state says otherwise than the current one is changed; what the last applied state had and the wanted one
has no more is deleted; what only the current state has belongs to others and is left alone.
"""

from typing import Any

from pybernetes.api.objects import Object
from pybernetes.api.schema import Field
from pybernetes.rules.patch.document import copied, equal
from pybernetes.rules.patch.strategic import (
    DELETE_FROM,
    DIRECTIVE,
    ORDER,
    RETAIN,
    child,
    merges,
    no_merge_key,
    replaces,
    root,
)


def three_way(original: Object, modified: Object, current: Object, type_name: str) -> Object:
    """The patch that turns `current` into what `modified` wants; empty when nothing is to do. Raises BadRequest."""
    return _maps(original, modified, current, root(type_name))


def _maps(original: Object, modified: Object, current: Object, field: Field | None) -> Object:
    patch: Object = {}
    for key, wanted in modified.items():
        there, inner = current.get(key), child(field, key)
        if wanted is None:
            continue
        if isinstance(wanted, dict) and isinstance(there, dict):
            _map_field(patch, key, (_dict(original.get(key)), wanted, there), inner)
        elif isinstance(wanted, list) and isinstance(there, list) and merges(inner):
            before = original.get(key)
            _list_field(patch, key, (before if isinstance(before, list) else [], wanted, there), inner)
        elif key not in current or not equal(wanted, there):
            patch[key] = copied(wanted)
    patch.update({key: None for key in original if key not in modified})
    return patch


def _dict(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _map_field(patch: Object, key: str, states: tuple[Object, Object, Object], field: Field | None) -> None:
    original, modified, current = states
    if replaces(field):
        if not equal(modified, current):
            patch[key] = {**copied(modified), DIRECTIVE: "replace"}
        return
    inner = _maps(original, modified, current, field)
    if not inner:
        return
    if field is not None and "retainKeys" in field.patch_strategies:
        inner[RETAIN] = sorted(modified)
    patch[key] = inner


def _list_field(patch: Object, key: str, states: tuple[list[Any], list[Any], list[Any]], field: Field | None) -> None:
    original, modified, current = states
    merge_key = field.merge_key if field is not None else ""
    if not merge_key:
        added = [item for item in modified if not _has(current, item)]
        deleted = [item for item in original if not _has(modified, item)]
        if deleted:
            patch[DELETE_FROM + key] = deleted
        order: list[Any] = modified
        now = current
    else:
        added = _changed_items(states, field, merge_key)
        deleted = [
            {DIRECTIVE: "delete", merge_key: _named(item, merge_key)}
            for item in original
            if _find(modified, merge_key, _named(item, merge_key)) is None
        ]
        added = [*added, *deleted]
        order = [{merge_key: item[merge_key]} for item in modified]
        now = [{merge_key: item.get(merge_key)} for item in current]
    kept = [item for item in now if _has(order, item)]
    if added:
        patch[key] = added
    if added or deleted or not equal(kept, order):
        patch[ORDER + key] = copied(order)


def _changed_items(states: tuple[list[Any], list[Any], list[Any]], field: Field | None, merge_key: str) -> list[Any]:
    original, modified, current = states
    changes: list[Any] = []
    item_field = field.item if field is not None else None
    for item in modified:
        name = _named(item, merge_key)
        there = _find(current, merge_key, name)
        if there is None:
            changes.append(copied(item))
            continue
        inner = _maps(_find(original, merge_key, name) or {}, item, there, item_field)
        if inner:
            if field is not None and "retainKeys" in field.patch_strategies:
                inner[RETAIN] = sorted(item)
            changes.append({merge_key: name, **inner})
    return changes


def _named(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict) or merge_key not in item:
        raise no_merge_key(item, merge_key)
    return item[merge_key]


def _find(items: list[Any], merge_key: str, name: Any) -> Object | None:
    return next((i for i in items if isinstance(i, dict) and equal(i.get(merge_key), name)), None)


def _has(items: list[Any], wanted: Any) -> bool:
    return any(equal(item, wanted) for item in items)
