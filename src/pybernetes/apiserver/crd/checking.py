"""Checking: whether a value fits a schema, quickly and without a word. validation.py finds the words where it does not.

Each level of a schema becomes a table from the Python class of a value to a function; what the schema does not restrict
costs one look into that table.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import orjson

from pybernetes.apiserver.crd import formats, regexp
from pybernetes.apiserver.crd.embedded import embedded_faults
from pybernetes.apiserver.crd.structural import Raw

Check: TypeAlias = Callable[[Any], bool]

_CLASSES: tuple[type, ...] = (str, int, float, bool, list, dict)
SAFE_INTEGER = 2**53 - 1
"""A float beyond it is no integer to upstream."""


def types_of(raw: Raw) -> tuple[str, ...]:
    """What `type` says; of int-or-string both."""
    if raw.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    found = raw.get("type")
    return (found,) if found else ()


def type_of(value: Any) -> str:
    """As schemas call the type of a JSON value."""
    kind = value.__class__
    if kind is int:
        return "integer" if -(2**63) <= value < 2**63 else "number"
    return _NAMES[kind]


_NAMES: Mapping[type, str] = {
    **{str: "string", float: "number", bool: "boolean", list: "array", dict: "object", type(None): "null"},
    **{int: "integer"},
}


def is_type(value: Any, types: tuple[str, ...]) -> bool:
    """Whether a value that is not null is of one of these types; whole floats are integers."""
    found = type_of(value)
    if found in types or (found == "integer" and "number" in types):
        return True
    return found == "number" and "integer" in types and is_whole(value)


def is_whole(value: float) -> bool:
    """Whether a number is an integer to upstream."""
    return not math.isinf(value) and abs(value) <= SAFE_INTEGER and float(value).is_integer()


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: true is not 1."""
    return sorted_json(one) == sorted_json(other)


def sorted_json(value: Any) -> bytes:
    """The same bytes for equal values; 1.0 is 1."""
    if value.__class__ is float and is_whole(value):
        value = int(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def duplicates(values: Iterable[Any]) -> list[int]:
    """The index of the second appearance of each value that appears again."""
    seen: dict[bytes, int] = {}
    found = []
    for index, value in enumerate(values):
        key = sorted_json(value)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            found.append(index)
    return found


def map_key(item: Any, keys: Iterable[str]) -> dict[str, Any]:
    """What names an item of a list of type map."""
    return {name: item[name] for name in keys if name in item} if isinstance(item, dict) else {}


def multiple(value: float, factor: float) -> bool:
    """Whether a number is a multiple of a factor, as Go finds it with floats."""
    if factor <= 0:
        return False
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    return is_whole(1 / factor * value if factor < 1 else value / factor)


def bound(value: float, limit: float) -> float:
    """A limit as it is compared with a number: of integers only the whole part counts."""
    return int(limit) if isinstance(value, int) else limit


def compiled(raw: Raw) -> Check:
    """The check of a schema. Levels below are compiled when they are first met."""
    by_class: dict[type, Check] = {}
    types = types_of(raw)
    joint = _joint(raw)
    for kind in _CLASSES:
        steps = _typed(kind, types, raw)
        if steps is not None:
            by_class[kind] = _all([*steps, *_BY_CLASS[kind](raw), *joint])
    if (not types or raw.get("nullable")) and not raw.get("enum"):
        by_class[type(None)] = _yes
    get = by_class.get

    def check(value: Any) -> bool:
        found = get(value.__class__)
        return found is not None and found(value)

    return check


def _yes(value: Any) -> bool:
    return True


def _all(steps: list[Check]) -> Check:
    if not steps:
        return _yes
    if len(steps) == 1:
        return steps[0]
    return lambda value: all(step(value) for step in steps)


def _typed(kind: type, types: tuple[str, ...], raw: Raw) -> list[Check] | None:
    """What must be asked of a value's type beyond its class; None where no value of the class fits."""
    known = formats.check_of(raw.get("format", "")) is not None
    if not types and not known:
        return []
    if kind in (str, list) and known and "number" not in types and "integer" not in types:
        return []
    if kind in (int, float):
        if "number" in types:
            return []
        return [lambda value: is_type(value, types)] if "integer" in types else None
    return [] if _NAMES[kind] in types else None


def _joint(raw: Raw) -> list[Check]:
    """enum and the junctors."""
    steps: list[Check] = []
    if raw.get("enum"):
        allowed = {sorted_json(value) for value in raw["enum"] if value is not None}
        texts = frozenset(value for value in raw["enum"] if isinstance(value, str))
        steps.append(lambda value: value in texts if value.__class__ is str else sorted_json(value) in allowed)
    for part in raw.get("allOf") or ():
        steps.append(_late(part))
    if raw.get("anyOf"):
        any_of = [_late(part) for part in raw["anyOf"]]
        steps.append(lambda value: any(step(value) for step in any_of))
    if raw.get("oneOf"):
        one_of = [_late(part) for part in raw["oneOf"]]
        steps.append(lambda value: sum(step(value) for step in one_of) == 1)
    if raw.get("not") is not None:
        inner = _late(raw["not"])
        steps.append(lambda value: not inner(value))
    return steps


def _late(raw: Raw) -> Check:
    made: list[Check] = []

    def check(value: Any) -> bool:
        if not made:
            made.append(compiled(raw))
        return made[0](value)

    return check


def _string(raw: Raw) -> list[Check]:
    steps: list[Check] = []
    low, high, pattern = raw.get("minLength"), raw.get("maxLength"), raw.get("pattern")
    if high is not None:
        steps.append(lambda value: len(value) <= high)
    if low is not None:
        steps.append(lambda value: len(value) >= low)
    if pattern:
        steps.append(lambda value: matches(pattern, value))
    known = formats.check_of(raw.get("format", ""))
    if known is not None:
        steps.append(known)
    return steps


def matches(pattern: str, text: str) -> bool:
    """A pattern that cannot be compiled matches nothing."""
    try:
        return regexp.found(pattern, text)
    except regexp.BadPattern:
        return False


def _number(raw: Raw) -> list[Check]:
    steps: list[Check] = []
    high, low, factor = raw.get("maximum"), raw.get("minimum"), raw.get("multipleOf")
    if factor is not None:
        steps.append(lambda value: multiple(value, factor))
    if high is not None:
        steps.append(lambda value: not exceeds(value, bound(value, high), bool(raw.get("exclusiveMaximum"))))
    if low is not None:
        steps.append(lambda value: not exceeds(bound(value, low), value, bool(raw.get("exclusiveMinimum"))))
    return steps


def exceeds(value: float, limit: float, exclusive: bool) -> bool:
    """Whether a number is beyond a limit."""
    return value >= limit if exclusive else value > limit


def _array(raw: Raw) -> list[Check]:
    steps: list[Check] = []
    low, high = raw.get("minItems"), raw.get("maxItems")
    if low is not None:
        steps.append(lambda value: len(value) >= low)
    if high is not None:
        steps.append(lambda value: len(value) <= high)
    if raw.get("uniqueItems"):
        steps.append(lambda value: not duplicates(value))
    list_type, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys") or ()
    if list_type == "set":
        steps.append(lambda value: len(value) < 2 or not duplicates(value))
    elif list_type == "map":
        steps.append(lambda value: _is_map(value, keys))
    items = raw.get("items")
    if isinstance(items, Mapping):
        item = _late(items)
        steps.append(lambda value: all(item(inner) for inner in value))
    return steps


def _is_map(value: list[Any], keys: Iterable[str]) -> bool:
    if any(item is not None and item.__class__ is not dict for item in value):
        return False
    return len(value) < 2 or not duplicates(map_key(item, keys) for item in value)


def _object(raw: Raw) -> list[Check]:
    steps: list[Check] = []
    low, high, required = raw.get("minProperties"), raw.get("maxProperties"), raw.get("required") or ()
    if low is not None:
        steps.append(lambda value: len(value) >= low)
    if high is not None:
        steps.append(lambda value: len(value) <= high)
    if required:
        steps.append(lambda value: all(name in value for name in required))
    properties, additional = raw.get("properties") or {}, raw.get("additionalProperties")
    if properties or additional is False or isinstance(additional, Mapping):
        steps.append(_fields(properties, additional))
    if raw.get("x-kubernetes-embedded-resource"):
        steps.append(lambda value: not embedded_faults(value, ""))
    return steps


def _fields(properties: Mapping[str, Raw], additional: Any) -> Check:
    fields: dict[str, Check] = {}
    extra: Check | None = None
    if isinstance(additional, Mapping):
        extra = _late(additional)
    elif additional is False:

        def never(value: Any) -> bool:
            return False

        extra = never

    def check(value: Any) -> bool:
        for name, inner in value.items():
            field = fields.get(name)
            if field is None:
                child = properties.get(name)
                if child is not None:
                    field = fields[name] = compiled(child)
                elif extra is None:
                    continue
                else:
                    field = extra
            if not field(inner):
                return False
        return True

    return check


def _nothing(raw: Raw) -> list[Check]:
    return []


_BY_CLASS: Mapping[type, Callable[[Raw], list[Check]]] = {
    **{str: _string, int: _number, float: _number, bool: _nothing},
    **{list: _array, dict: _object},
}
