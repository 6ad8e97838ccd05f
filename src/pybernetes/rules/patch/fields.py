"""Sets of fields: who owns what, as metadata.managedFields writes it (FieldsV1). apply.py and the API server use them.

A set is its own JSON form: a tree of dicts by path element: `f:<field>`, `k:{<key fields>}` and `v:<value>` for items
of lists, `i:<index>`. A node is a member when it is empty or holds `.`; the root alone may be empty and is no member.
Sets are never changed once they are made, so they share what is alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import orjson

from pybernetes.rules.patch.typed import ATOMIC, UNTYPED_MAP, Node, Shape

FieldSet: TypeAlias = dict[str, Any]

_SELF = "."
_ABSENT = object()
_MEMBER: FieldSet = {}
DEEPEST = 100
"""Levels of a set: what is deeper is owned whole, and a deeper set that a client sends is refused."""


_LONG = 300
"""Names that are longer are not remembered: they would fill the memory."""
_SHAPES = 1000


class BadItem(ValueError):
    """An element of a list that cannot be told from others; the message is upstream's."""


# --- laws of sets


def is_member(node: FieldSet) -> bool:
    """Whether the node itself is in the set, beside what is below it."""
    return not node or _SELF in node


def has(fields: FieldSet, path: Sequence[str]) -> bool:
    """Whether the path (of elements, `f:spec`) is a member."""
    node = fields
    for element in path:
        found = node.get(element)
        if found is None:
            return False
        node = found
    return is_member(node)


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in either."""
    if not one or one is other:
        return other
    if not other:
        return one
    result = dict(one)
    for element, node in other.items():
        there = result.get(element)
        result[element] = node if there is None else _union_below(there, node)
    return result


def _union_below(one: FieldSet, other: FieldSet) -> FieldSet:
    if not one or not other:
        larger = one or other
        return larger if is_member(larger) else {_SELF: _MEMBER, **larger}
    return union(one, other)


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in `one` and not in `other`, path by path: below a member of `other` paths stay."""
    result: FieldSet = {}
    for element, node in one.items():
        away = other.get(element)
        if element == _SELF:
            continue
        if away is None:
            result[element] = node
            continue
        inner = difference(node, away)
        if is_member(node) and not is_member(away):
            result[element] = _as_member(inner)
        elif inner:
            result[element] = inner
    return result


def _as_member(node: FieldSet | None) -> FieldSet:
    if not node or node.keys() == {_SELF}:
        return _MEMBER
    return node if _SELF in node else {_SELF: _MEMBER, **node}


def without(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in `one` and neither in `other` nor below a member of it."""
    result: FieldSet = {}
    for element, node in one.items():
        away = other.get(element)
        if away is None:
            result[element] = node
        elif element != _SELF and not is_member(away):
            inner = without(node, away)
            if inner or not node:
                result[element] = _MEMBER if inner.keys() == {_SELF} else inner
    return result


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in both."""
    if len(other) < len(one):
        one, other = other, one
    result = {}
    for element, node in one.items():
        there = other.get(element)
        if there is None or element == _SELF:
            continue
        inner = intersection(node, there)
        if is_member(node) and is_member(there):
            result[element] = _as_member(inner)
        elif inner:
            result[element] = inner
    return result


def paths(fields: FieldSet) -> Iterator[tuple[str, ...]]:
    """Every member, in upstream's order: the members of a level in order, then what is below each."""
    elements = sorted(element for element in fields if element != _SELF)
    for element in elements:
        if is_member(fields[element]):
            yield (element,)
    for element in elements:
        for path in paths(fields[element]):
            yield (element, *path)


def with_named_parents(fields: FieldSet, node: Node | None) -> FieldSet:
    """The set with every declared field that has members below it: what goes when all below it goes."""
    result: FieldSet = {}
    for element, below in fields.items():
        if element == _SELF:
            result[_SELF] = below
            continue
        child, named = _descend(node, element)
        inner = with_named_parents(below, child)
        result[element] = {_SELF: _MEMBER, **inner} if named and inner else inner
    return result


def _descend(node: Node | None, element: str) -> tuple[Node | None, bool]:
    """The node below an element, and whether it is a field that the schema declares."""
    if node is None or node.kind == "leaf":
        return None, False
    if element[0] == "f":
        name = element[2:]
        return node.child(name), name in node.fields
    return node.item, False


# --- reading and showing


def read(value: Any) -> FieldSet:
    """A set that a client sent, its keys in canonical form. Raises ValueError where it is none."""
    return _read(value, DEEPEST)


def _read(value: Any, levels: int) -> FieldSet:
    if not isinstance(value, dict):
        raise ValueError("expected map")
    if not levels:
        raise ValueError("exceeded max depth")
    result: FieldSet = {}
    for element, below in value.items():
        if element == _SELF:
            if levels < DEEPEST:  # the object itself is nobody's field
                result[_SELF] = _MEMBER
        else:
            known = _known_element(element) if len(element) < _LONG else _element(element)
            result[known] = _read(below, levels - 1)
    return _MEMBER if result.keys() == {_SELF} else result


def _element(text: str) -> str:
    """The canonical form of a path element."""
    kind, separator, rest = text[:1], text[1:2], text[2:]
    if separator != ":":
        raise ValueError(f"missing colon: {text!r}")
    if kind == "f":
        return text
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if kind == "v" or (kind == "i" and isinstance(value, int)):
        return f"{kind}:{_json(value)}"
    if kind == "k" and isinstance(value, dict) and value:
        return f"k:{_json(value)}"
    raise ValueError(f"unknown path element: {text!r}")


_known_element = lru_cache(maxsize=16384)(_element)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def shown(path: Sequence[str]) -> str:
    """A path as messages show it: `.spec.containers[name="web"].image`."""
    return "".join(shown_element(element) for element in path)


def shown_element(element: str) -> str:
    """One element of `shown()`."""
    kind, rest = element[0], element[2:]
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        return "[" + ",".join(f"{name}={_json(value)}" for name, value in orjson.loads(rest).items()) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


# --- sets of values


def identity(item: Any, node: Node) -> str:
    """The path element of an item of a list of this node. Raises BadItem."""
    if node.kind == "set":
        return _identity_of_value(item)
    if len(node.keys) == 1 and item.__class__ is dict:  # most lists: a name
        name = node.keys[0]
        value = item.get(name)
        if value.__class__ is str:
            return _named(name, value) if len(value) < _LONG else f"k:{_json({name: value})}"
    if item is None:
        raise BadItem("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise BadItem("associative list with keys may not have non-map elements")
    named = {}
    for key in node.keys:
        if key in item:
            named[key] = item[key]
        elif key in node.defaults:
            named[key] = node.defaults[key]
    if not named:
        keys = "[" + " ".join(f'"{key}"' for key in node.declared_keys) + "]"
        raise BadItem(
            f"associative list with keys has an element that omits all key fields {keys}"
            " (and doesn't have default values for any key fields)"
        )
    return f"k:{_json(named)}"


@lru_cache(maxsize=16384)
def _named(name: str, value: str) -> str:
    """The element of an item with one key: containers, variables and ports are called the same again and again."""
    return f"k:{_json({name: value})}"


def _identity_of_value(item: Any) -> str:
    if item.__class__ is str:
        return f"v:{orjson.dumps(item).decode()}"
    if item is None:
        raise BadItem("associative list without keys has an element that's an explicit null")
    if isinstance(item, list):
        raise BadItem("not supported: associative list with lists as elements")
    if isinstance(item, dict):
        raise BadItem("associative list without keys has an element that's a map type")
    return f"v:{_json(item)}"


def _identities(values: Sequence[Any], node: Node) -> list[str]:
    """The path elements of the items of a list; empty for what has none."""
    if node.kind == "keyed" and len(node.keys) == 1:  # most lists: a name
        key = node.keys[0]
        names = [item.get(key) if item.__class__ is dict else None for item in values]
        if all([name.__class__ is str and len(name) < _LONG for name in names]):
            return [_named(key, name) for name in names]
    found = []
    for item in values:
        try:
            found.append(identity(item, node))
        except BadItem:
            found.append("")
    return found


def items(values: Sequence[Any], node: Node) -> dict[str, list[Any]]:
    """The items of a list by identity, duplicates together; what has no identity is left out."""
    found: dict[str, list[Any]] = {}
    for item, element in zip(values, _identities(values, node), strict=True):
        if element:
            found.setdefault(element, []).append(item)
    return found


def of_object(value: Mapping[str, Any], node: Node) -> FieldSet:
    """What whoever applies this object owns."""
    fields = _owned(value, node, DEEPEST)
    return {element: below for element, below in fields.items() if element != _SELF}


def _owned(value: Any, node: Node, levels: int) -> FieldSet:
    """Leaves, items and empty values; of maps and lists only what is in them."""
    node = seen(value, node)
    result: FieldSet = {}
    if not levels:
        return _MEMBER
    if node.kind == "map" and isinstance(value, dict):
        shape = node.shapes.get(tuple(value)) or _shape(value, node)
        if shape is not None:
            result = shape.below if not shape.nested else shape.below.copy()
            for name, element, child in shape.nested:
                result[element] = _owned(value[name], child, levels - 1)
            return result
        known, free = node.elements, node.item or ATOMIC
        for name, inner in value.items():
            declared = known.get(name)
            if declared is None:
                below = _owned(inner, free, levels - 1)
                result[f"f:{name}"] = _as_member(below) if below else below
            else:
                element, nested = declared
                result[element] = _MEMBER if nested is None else _owned(inner, nested, levels - 1)
    elif node.kind in ("set", "keyed") and isinstance(value, list):
        for element, found in items(value, node).items():
            single = len(found) == 1 and node.kind == "keyed"
            result[element] = _as_member(_owned(found[0], node.item or ATOMIC, levels - 1)) if single else _MEMBER
    return result


def _shape(value: Mapping[str, Any], node: Node) -> Shape | None:
    """The shape of an object whose fields are all declared, else None: of what is not declared there is no end."""
    known = node.elements
    if not known or any(name not in known for name in value):
        return None
    below = {known[name][0]: _MEMBER for name in value}
    nested = [(name, element, child) for name in value for element, child in (known[name],) if child is not None]
    if len(node.shapes) >= _SHAPES:
        node.shapes.clear()
    made = node.shapes[tuple(value)] = Shape(below, {_SELF: _MEMBER, **below}, tuple(nested))
    return made


def seen(value: Any, node: Node) -> Node:
    """An untyped node as what is found there."""
    if node.kind != "untyped":
        return node
    return UNTYPED_MAP if isinstance(value, dict) or value is None else ATOMIC


def compare(old: Mapping[str, Any], new: Mapping[str, Any], node: Node) -> tuple[FieldSet, FieldSet]:
    """What the step from `old` to `new` removes, and what it adds or changes."""
    removed: FieldSet = {}
    changed: FieldSet = {}
    _maps(old, new, node, _Into(removed, changed, DEEPEST))
    return removed, changed


class _Into(NamedTuple):
    """Where a comparison writes at one level, and how many levels there are below."""

    removed: FieldSet
    changed: FieldSet
    levels: int


def _maps(old: Mapping[str, Any], new: Mapping[str, Any], node: Node, into: _Into) -> None:
    removed, changed, levels = into
    known, free = node.elements, node.item or ATOMIC
    common = 0
    for name, value in new.items():
        element, child = known.get(name) or (f"f:{name}", free)
        before = old.get(name, _ABSENT)
        if before is _ABSENT:
            changed[element] = _MEMBER if child is None else whole(value, child, levels)
            continue
        common += 1
        if before != value:
            _step(before, value, child or ATOMIC, element, into)
    if common < len(old):
        for name, before in old.items():
            if name not in new:
                element, child = known.get(name) or (f"f:{name}", free)
                removed[element] = whole(before, child or ATOMIC, levels)


def _step(old: Any, new: Any, node: Node, element: str, into: _Into) -> None:
    """From one value to another of the same place; they differ."""
    kind = node.kind
    if kind == "untyped":
        _untyped_step(old, new, element, into)
        return
    if kind == "leaf" or not (old or new) or not into.levels:
        into.changed[element] = _MEMBER
        return
    inner = _Into({}, {}, into.levels - 1)
    if kind == "map":
        before, after = old if isinstance(old, dict) else {}, new if isinstance(new, dict) else {}
        _maps(before, after, node, inner)
    elif kind in ("set", "keyed"):
        _lists(old if isinstance(old, list) else [], new if isinstance(new, list) else [], node, inner)
    if inner.removed:
        into.removed[element] = inner.removed
    if inner.changed:
        into.changed[element] = inner.changed


def _untyped_step(old: Any, new: Any, element: str, into: _Into) -> None:
    """A map that becomes another kind of value loses its fields, and the other way round gains them."""
    before, after = isinstance(old, dict), isinstance(new, dict)
    if before and after:
        _step(old, new, UNTYPED_MAP, element, into)
        return
    if before and old:
        away = whole(old, UNTYPED_MAP, into.levels)
        into.removed[element] = {name: below for name, below in away.items() if name != _SELF}
    into.changed[element] = whole(new, UNTYPED_MAP, into.levels) if after else _MEMBER


def _lists(old: Sequence[Any], new: Sequence[Any], node: Node, into: _Into) -> None:
    removed, changed, levels = into
    inner = node.item or ATOMIC
    if not old:
        _add_items(new, node, levels, changed)
        return
    before, after = items(old, node), items(new, node)
    for element, now in after.items():
        was = before.get(element)
        if was is None:
            changed[element] = whole(now[0], inner, levels) if len(now) == 1 else _MEMBER
        elif len(was) == len(now) == 1:
            if was[0] != now[0]:
                _step(was[0], now[0], inner, element, into)
        elif len(was) > 1 and len(now) > 1:
            if was != now:
                changed[element] = _MEMBER
        elif len(was) > 1:  # no duplicate any more: its fields are told apart again
            changed[element] = whole(now[0], inner, levels)
            removed[element] = _MEMBER
        else:
            removed[element] = whole(was[0], inner, levels)
            changed[element] = _MEMBER
    for element, was in before.items():
        if element not in after:
            removed[element] = whole(was[0], inner, levels) if len(was) == 1 else _MEMBER


def whole(value: Any, node: Node, levels: int = DEEPEST) -> FieldSet:
    """All of a value that comes or goes: itself and everything below it."""
    if not value or node.kind == "leaf" or not levels:
        return _MEMBER
    node = seen(value, node)
    result: FieldSet = {_SELF: _MEMBER}
    if node.kind == "map" and isinstance(value, dict):
        shape = node.shapes.get(tuple(value)) or _shape(value, node)
        if shape is not None:
            result = shape.whole if not shape.nested else shape.whole.copy()
            for name, element, child in shape.nested:
                result[element] = whole(value[name], child, levels - 1)
            return result
        known, free, below = node.elements, node.item, levels - 1
        for name, inner in value.items():
            element, nested = known.get(name) or (f"f:{name}", free)
            result[element] = _MEMBER if nested is None or not inner else whole(inner, nested, below)
    elif node.kind in ("set", "keyed") and isinstance(value, list):
        _add_items(value, node, levels, result)
    return result if len(result) > 1 else _MEMBER


def _add_items(values: Sequence[Any], node: Node, levels: int, result: FieldSet) -> None:
    """All items of a list with everything below them; what is there twice is owned whole."""
    inner, below = node.item or ATOMIC, levels - 1
    shapes = inner.shapes
    for item, element in zip(values, _identities(values, node), strict=True):
        if not element:
            continue
        shape = shapes.get(tuple(item)) if below and item.__class__ is dict else None
        if element in result:
            result[element] = _MEMBER
        elif shape is not None and not shape.nested:
            result[element] = shape.whole
        else:
            result[element] = whole(item, inner, below)
