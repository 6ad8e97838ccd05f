"""Strategic merge patch: a merge patch that knows which lists have keys; and the one that `kubectl apply` makes.

Content type application/strategic-merge-patch+json. Lists of strategy `merge` are merged by their merge key (or as
sets, when of scalars); all others are replaced. Directives: `$patch` (delete, replace; merge is the default),
`$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`. Merged lists have the patch's items in the
patch's order, with those that only the server knows kept where they were among them.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from pybernetes.api import schema
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import Object
from pybernetes.api.schema import Field
from pybernetes.rules.patch.document import copied, equal, rejected, token, unreadable

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"


def apply(document: Object, patch: Any, type_name: str) -> Object:
    """The document after the patch; it shares what is unchanged with `document`. Raises BadRequest, Invalid.

    `type_name` as in api.schema.
    """
    if not isinstance(patch, dict):
        raise unreadable("a strategic merge patch is an object")
    return _merge_map(document, patch, _root(type_name))


def three_way(original: Object, modified: Object, current: Object, type_name: str) -> Object:
    """The patch that turns `current` into what `modified` wants; empty when nothing is to do. Raises BadRequest.

    `original` is what was applied last time. What `modified` says otherwise than `current` is changed; what `original`
    had and `modified` has no more is deleted; what only `current` has belongs to others and is left alone.
    """
    return _maps(original, modified, current, _root(type_name))


def _root(type_name: str) -> Field:
    """A type as if it were a field."""
    return Field(kind="object", ref=type_name)


def _child(field: Field | None, key: str) -> Field | None:
    """The field `key` of a value of `field`; None where nothing is known of it."""
    if field is None:
        return None
    if field.kind == "map":
        return field.item
    if field.kind == "object" and field.ref:
        return schema.get(field.ref).fields.get(key)
    return None


def _merges(field: Field | None) -> bool:
    """Whether a list of this field is merged; a list is replaced unless its field says merge."""
    return field is not None and "merge" in field.patch_strategies


def _replaces(field: Field | None) -> bool:
    """Whether an object of this field is replaced; an object is merged unless its field says replace."""
    return field is not None and "replace" in field.patch_strategies


def _no_merge_key(item: Any, key: str) -> BadRequest:
    """Upstream's text for an element that cannot be told from others."""
    return BadRequest(f"map: {item} does not contain declared merge key: {key}")


def _merge_map(original: Object, patch: Object, field: Field | None) -> Object:
    if DIRECTIVE in patch:
        return _directed(patch)
    result, patch = _retain(dict(original), dict(patch))
    _merge_ordered(result, patch, field)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            _delete_from(result, key.removeprefix(DELETE_FROM), value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(result.get(key), value, _child(field, key))
    return result


def _directed(patch: Object) -> Object:
    match patch[DIRECTIVE]:
        case "replace":
            return {key: copied(value) for key, value in patch.items() if key != DIRECTIVE}
        case "delete":
            return {}
        case "merge":
            raise BadRequest(f"unknown patch type: merge in map: {patch}")
        case other:
            raise BadRequest(f"unknown patch type: {other} in map: {patch}")


def _merge_value(original: Any, value: Any, field: Field | None) -> Any:
    if isinstance(original, dict) and isinstance(value, dict):
        return _plain(value) if _replaces(field) else _merge_map(original, value, field)
    if isinstance(original, list) and isinstance(value, list) and _merges(field):
        return _merge_list(original, value, field)
    return _plain(value)


def _plain(value: Any) -> Any:
    """A patch's value where there is nothing to merge with: without directives, and without what it would delete."""
    if isinstance(value, dict):
        return {
            key: _plain(item)
            for key, item in value.items()
            if item is not None and key not in (DIRECTIVE, RETAIN) and not key.startswith((ORDER, DELETE_FROM))
        }
    if isinstance(value, list):
        return [_plain(item) for item in value if not (isinstance(item, dict) and DIRECTIVE in item)]
    return value


def _retain(original: Object, patch: Object) -> tuple[Object, Object]:
    """Performs $retainKeys: fields that are not named there go (one strategy of a union replaces another)."""
    if RETAIN not in patch:
        return original, patch
    keys = patch.pop(RETAIN)
    if not isinstance(keys, list):
        raise BadRequest("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and key not in keys and not key.startswith((ORDER, DELETE_FROM)):
            raise BadRequest("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in keys}, patch


def _delete_from(result: Object, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise BadRequest("invalid patch format of primitive list")
    there = result.get(key)
    if isinstance(there, list):
        gone = _places(values)
        result[key] = [item for item in there if token(item) not in gone]


def _merge_ordered(result: Object, patch: Object, field: Field | None) -> None:
    """Performs each $setElementOrder together with the patch of its list, and takes both out of the patch."""
    for directive in [key for key in patch if key.startswith(ORDER)]:
        order = patch.pop(directive)
        key = directive.removeprefix(ORDER)
        if not isinstance(order, list):
            raise BadRequest("invalid patch format of setElementOrder list")
        inner = _child(field, key)
        original, changes = result.get(key), patch.get(key)
        if changes is None and key in patch:
            continue  # null: the list goes
        if isinstance(changes, list):
            _check_order(changes, order, inner)
        if deleted := patch.pop(DELETE_FROM + key, None):
            _delete_from(result, key, deleted)
            original = result.get(key)
        patch.pop(key, None)
        if not isinstance(original, list) and not isinstance(changes, list):
            continue
        there = original if isinstance(original, list) else []
        merged = _merge_value(original, changes, inner) if isinstance(changes, list) else there
        result[key] = _ordered(merged, order, there, inner)


def _check_order(changes: Sequence[Any], order: Sequence[Any], field: Field | None) -> None:
    """Every changed item must be in the order list, in that order."""
    identities = [_identity(item, field) for item in order]
    position = 0
    for item in changes:
        if isinstance(item, dict) and DIRECTIVE in item:
            continue
        identity = _identity(item, field)
        while position < len(identities) and not equal(identities[position], identity):
            position += 1
        if position == len(identities):
            raise rejected(f"The order in patch list:\n{changes}\n doesn't match setElementOrder list:\n{order}\n")


def _merge_list(original: list[Any], changes: list[Any], field: Field | None) -> list[Any]:
    everything = [*original, *changes]
    if any(isinstance(item, list) for item in everything):
        raise rejected("lists of lists are not supported")
    if not any(isinstance(item, dict) for item in everything):
        merged = list(original)
        known = _places(original)
        merged.extend(item for item in changes if token(item) not in known)
        return _ordered(_distinct(merged), changes, original, field)
    if not all(isinstance(item, dict) for item in everything):
        raise rejected("list element types are not identical")
    key = field.merge_key if field is not None else ""
    if not key:
        raise rejected("cannot merge lists without merge key")
    kept, rest, replaced = _special(original, changes, key)
    if replaced:
        return [_plain(item) for item in rest]
    merged = list(kept)
    places = _places([item.get(key) for item in merged])
    for item in rest:
        if key not in item:
            raise _no_merge_key(item, key)
        place = places.setdefault(token(item[key]), len(merged))
        if place == len(merged):
            merged.append(_plain(item))
        else:
            merged[place] = _merge_map(merged[place], item, field.item if field else None)
    return _ordered(merged, rest, kept, field)


def _special(original: list[Any], changes: list[Any], key: str) -> tuple[list[Any], list[Any], bool]:
    """Performs `$patch` inside a keyed list: (what stays of the original, what is to merge, replace everything)."""
    rest, gone, replaced = [], set(), False
    for item in changes:
        match item.get(DIRECTIVE):
            case None:
                rest.append(item)
            case "delete":
                if key not in item:
                    raise _no_merge_key(item, key)
                gone.add(token(item[key]))
            case "replace":
                replaced = True
            case "merge":
                raise BadRequest("merging lists cannot yet be specified in the patch")
            case other:
                raise BadRequest(f"unknown patch type: {other} in map: {item}")
    return [there for there in original if token(there.get(key)) not in gone], rest, replaced


def _ordered(merged: list[Any], wanted: Sequence[Any], server: Sequence[Any], field: Field | None) -> list[Any]:
    """`wanted` items in that order; the others stay before whatever they preceded on the server."""
    order = _places([_identity(item, field) for item in wanted])
    before = _places([_identity(item, field) for item in server])
    items = [(token(_identity(item, field)), item) for item in merged]
    ours = deque(sorted((pair for pair in items if pair[0] in order), key=lambda pair: order[pair[0]]))
    others = deque(pair for pair in items if pair[0] not in order)
    result: list[Any] = []
    while ours and others:
        mine, theirs = before.get(ours[0][0], -1), before.get(others[0][0], -1)
        first = others if 0 <= theirs < mine else ours
        result.append(first.popleft()[1])
    result.extend(item for _, item in (*ours, *others))
    return result


def _places(items: Sequence[Any]) -> dict[Any, int]:
    """Where each value is for the first time, by its token: long lists are merged in linear time."""
    found: dict[Any, int] = {}
    for place, item in enumerate(items):
        found.setdefault(token(item), place)
    return found


def _identity(item: Any, field: Field | None) -> Any:
    key = field.merge_key if field is not None else ""
    return item.get(key) if isinstance(item, dict) and key else item


def _has(items: Sequence[Any], wanted: Any) -> bool:
    return any(equal(item, wanted) for item in items)


def _distinct(items: Sequence[Any]) -> list[Any]:
    return [items[place] for place in _places(items).values()]


def _maps(original: Object, modified: Object, current: Object, field: Field | None) -> Object:
    patch: Object = {}
    for key, wanted in modified.items():
        there, inner = current.get(key), _child(field, key)
        if wanted is None:
            continue
        if isinstance(wanted, dict) and isinstance(there, dict):
            _map_field(patch, key, (_dict(original.get(key)), wanted, there), inner)
        elif isinstance(wanted, list) and isinstance(there, list) and _merges(inner):
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
    if _replaces(field):
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
        raise _no_merge_key(item, merge_key)
    return item[merge_key]


def _find(items: list[Any], merge_key: str, name: Any) -> Object | None:
    return next((i for i in items if isinstance(i, dict) and equal(i.get(merge_key), name)), None)
