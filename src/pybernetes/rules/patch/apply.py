"""Server-side apply on values: is a configuration well typed, what live and configuration make, what removal leaves.

managers.py decides who owns what with it. Content type application/apply-patch+yaml. Inputs are never changed;
results share what is unchanged with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pybernetes.rules.patch.document import printed
from pybernetes.rules.patch.fields import (
    BadItem,
    FieldSet,
    identity,
    is_member,
    items,
    seen,
    shown_element,
)
from pybernetes.rules.patch.typed import ATOMIC, Node

ABSENT = object()


# --- is it well typed


def faults(value: Any, node: Node) -> list[str]:
    """What the schema has against a configuration, as upstream says it: `.spec.x: field not declared in schema`."""
    if _sound(value, node):
        return []
    return [f"{path}: {text}" if path else text for path, text in _faults(value, node, "")]


def refusal(problems: Sequence[str]) -> str:
    """Several faults as one text."""
    return problems[0] if len(problems) == 1 else "\n".join(["errors:", *(f"  {text}" for text in problems)])


def _sound(value: Any, node: Node) -> bool:
    """Whether `_faults` would find nothing; it knows no paths, which most of the work there is for."""
    if value is None or node.kind == "untyped" or node.expects == "any":
        return True
    if node.expects == "map":
        if not isinstance(value, dict):
            return False
        if node.open:
            return True
        declared, free = node.fields, node.item
        for name, inner in value.items():
            child = declared.get(name) or free
            if child is None:
                return False
            text = child.expects == "string"  # most are: a test is cheaper than a call
            if inner.__class__ is not str if text and inner is not None else not _sound(inner, child):
                return False
        return True
    if node.expects == "list":
        if not isinstance(value, list):
            return False
        if node.kind != "leaf" and sum(len(found) == 1 for found in items(value, node).values()) != len(value):
            return False  # without a name, or with another's
        inner = node.item or ATOMIC
        return all(_sound(item, inner) for item in value)
    return not _scalar_fault(value, node.expects)


def _faults(value: Any, node: Node, path: str) -> Iterator[tuple[str, str]]:
    if value is None or node.kind == "untyped" or node.expects == "any":
        return
    if node.expects == "map":
        if not isinstance(value, dict):
            yield path, f"expected map, got &{{{printed(value)}}}"
        elif not node.open:
            for name, inner in value.items():
                child = node.child(name)
                if child is None:
                    yield f"{path}.{name}", "field not declared in schema"
                else:
                    yield from _faults(inner, child, f"{path}.{name}")
    elif node.expects == "list":
        if not isinstance(value, list):
            yield path, f"expected list, got &{{{printed(value)}}}"
        else:
            yield from _list_faults(value, node, path)
    elif text := _scalar_fault(value, node.expects):
        yield path, text


def _list_faults(values: Sequence[Any], node: Node, path: str) -> Iterator[tuple[str, str]]:
    inner = node.item or ATOMIC
    known: set[str] = set()
    for index, item in enumerate(values):
        place = f"[{index}]"
        if node.kind != "leaf":
            try:
                element = identity(item, node)
            except BadItem as error:
                yield path, f"element {index}: {error}"
                return
            place = shown_element(element)
            if element in known:
                yield path, f"duplicate entries for key {place}"
            known.add(element)
        yield from _faults(item, inner, path + place)


def _scalar_fault(value: Any, expects: str) -> str:
    kind = type(value)
    match expects:
        case "numeric" if kind not in (int, float):
            names = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
            return f"expected numeric (int or float), got {names[kind]}"
        case "string" if kind is not str:
            return f"expected string, got &value.valueUnstructured{{Value:{printed(value)}}}"
        case "boolean" if kind is not bool:
            return f"expected boolean, got &{{{printed(value)}}}"
        case "scalar" if kind in (dict, list):
            return f"expected any scalar, got &{{{printed(value)}}}"
    return ""


# --- what live and configuration make


def merge(live: Any, config: Any, node: Node) -> Any:
    """The live value with the configuration on it; a null of the configuration stays for canonical.py to judge."""
    if config is ABSENT:
        return live
    if live is ABSENT:
        return config
    node = seen(config, node)
    if node.kind == "map":
        before, after = _dict(live), _dict(config)
        return _merged_map(before, after, node) if before or after else config
    if node.kind in ("set", "keyed"):
        there, given = _list(live), _list(config)
        return _merged_list(there, given, node) if there or given else config
    return config


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _merged_map(live: Mapping[str, Any], config: Mapping[str, Any], node: Node) -> dict[str, Any]:
    merged = dict(live)
    known, free = node.elements, node.item or ATOMIC
    for name, value in config.items():
        _, child = known.get(name) or ("", free)
        merged[name] = value if child is None else merge(live.get(name, ABSENT), value, child)
    return merged


def _merged_list(live: Sequence[Any], config: Sequence[Any], node: Node) -> list[Any]:
    """The items of both: the configuration's in its order, those that only live has where they were between them."""
    inner = node.item or ATOMIC
    given = items(config, node)
    left = [(element, item) for item in live if (element := _named(item, node))]
    there: dict[str, list[Any]] = {}
    for element, item in left:
        there.setdefault(element, []).append(item)
    right = list(given)
    shared = iter([element for element in right if element in there])
    following = next(shared, None)
    merged: list[Any] = []
    taken: set[str] = set()

    def take(element: str) -> None:
        taken.add(element)
        found = there.get(element, ())
        # Duplicates of live are not merged with: there is no telling which is meant.
        merged.append(merge(found[0] if len(found) == 1 else ABSENT, given[element][0], inner))

    i = j = 0
    while i < len(left) or j < len(right):
        element, item = left[i] if i < len(left) else ("", None)
        wanted = right[j] if j < len(right) else ""
        if element and element not in given:
            merged.append(item)
            i += 1
            continue
        if element and element != wanted:
            if wanted and following is not None and following != element:
                i += 1  # its turn is where the configuration has it
                continue
            i += element in taken
        if wanted:
            take(wanted)
            i += wanted == element
            j += 1
            following = next(shared, None) if following == wanted else following
    return merged


def _named(item: Any, node: Node) -> str:
    try:
        return identity(item, node)
    except BadItem:
        return ""


# --- what removal leaves


def remove(value: Any, fields: FieldSet, node: Node) -> Any:
    """The value without the members of a set; an object or list of which nothing is left becomes null."""
    node = seen(value, node)
    if node.kind == "map" and isinstance(value, dict) and value:
        kept: dict[str, Any] = {}
        for name, inner in value.items():
            away = fields.get(f"f:{name}")
            if away is None:
                kept[name] = inner
            elif not is_member(away):
                kept[name] = remove(inner, away, node.child(name) or ATOMIC)
        return kept or None
    if node.kind in ("set", "keyed") and isinstance(value, list) and value:
        left = []
        for item in value:
            away = fields.get(_named(item, node))
            if away is None:
                left.append(item)
            elif not is_member(away):
                left.append(remove(item, away, node.item or ATOMIC))
        return left or None
    return value
