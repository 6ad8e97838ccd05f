"""Validation of custom objects, in upstream's words. checking.py has found that something is wrong; here is what.

The order and the choice of what is said (of the alternatives of anyOf the nearest one) follow upstream's validator, whose
texts clients know. On updates what has not changed is not judged again: lists of type map are compared item by item.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from pybernetes.api.errors import FieldError, duplicate, invalid_value, not_supported, required, shown, too_long
from pybernetes.apiserver.crd import checking, formats
from pybernetes.apiserver.crd.checking import bound, duplicates, exceeds, is_type, map_key, same, type_of, types_of
from pybernetes.apiserver.crd.embedded import embedded_faults
from pybernetes.apiserver.crd.structural import Raw, Structural
from pybernetes.apiserver.validation.fields import too_many

NEW: Any = object()
"""Stands for the old value of what was not there before, or cannot be told which it was."""
_NOWHERE = "<nil>"


class Validator:
    """Judges whole objects of one schema."""

    def __init__(self, schema: Structural) -> None:
        self._schema = schema
        self._check = checking.compiled(schema.raw)

    def faults(self, obj: Any, old: Any = NEW) -> list[FieldError]:
        """All faults of an object; of an update only those of what has changed."""
        if self._check(obj):
            return []
        found = _of(self._schema.raw, obj, "", old).errors
        found += _embedded(obj, self._schema, "")
        if old is NEW or not list(_list_types(old, self._schema, "")):
            found += _list_types(obj, self._schema, "")
        return found

    def status_faults(self, obj: Any, old: Any) -> list[FieldError]:
        """The same of a write of status: only of that, and as upstream names it, from there."""
        schema = self._schema.properties.get("status")
        found: list[FieldError] = []
        if schema is not None and "status" in obj:
            errors = _of(schema.raw, obj["status"], "", old.get("status", NEW)).errors
            found += [_below("status", fault) for fault in errors]
        if not list(_list_types(old, self._schema, "")):
            found += _list_types(obj, self._schema, "")
        return found


def faults_of(value: Any, schema: Structural, path: str) -> list[FieldError]:
    """The faults of a value somewhere in an object: a default of the schema at `path`."""
    found = [_below(path, fault) for fault in _of(schema.raw, value, "", NEW).errors]
    return [*_embedded(value, schema, path), *found, *_list_types(value, schema, path)]


def _below(path: str, fault: FieldError) -> FieldError:
    field = path if fault.field == _NOWHERE else f"{path}{'' if fault.field[:1] == '[' else '.'}{fault.field}"
    return FieldError(fault.type, field, fault.message)


class _Result:
    """Faults, and how many checks have passed: the alternative with most of them is the one that was meant."""

    def __init__(self, *errors: FieldError, matches: int = 0) -> None:
        self.errors: list[FieldError] = list(errors)
        self.matches = matches

    def add(self, *errors: FieldError) -> None:
        self.errors += [error for error in errors if error not in self.errors]

    def merge(self, other: "_Result") -> None:
        self.add(*other.errors)
        self.matches += other.matches


def _field(path: str) -> str:
    return path.removeprefix(".") or _NOWHERE


def _invalid(path: str, value: Any, text: str) -> FieldError:
    return invalid_value(_field(path), value, f"{path} in body {text}")


def _wrong_type(path: str, wanted: str, found: str) -> FieldError:
    text = f"{path} in body must be of type {wanted}: {shown(found)}"
    return FieldError("FieldValueTypeInvalid", _field(path), f"Invalid value: {shown(found)}: {text}")


def _joined(path: str, text: str) -> FieldError:
    return invalid_value(_NOWHERE, "", f"{shown(path)} must {text}")


def _of(raw: Raw, value: Any, path: str, old: Any) -> _Result:
    """The result of one value; nothing is wrong with one that was there before just as it is."""
    result = _Result()
    result.merge(_type(raw, value, path))
    if value is None:
        if raw.get("enum"):
            result.add(not_supported(_field(path), value, _listed(raw["enum"])))
    else:
        result.merge(_junctors(raw, value, path, old))
        for part in _PARTS.get(value.__class__, ()):
            result.merge(part(raw, value, path, old))
            result.matches += 1
        if raw.get("enum") and not any(same(value, one) for one in raw["enum"] if one is not None):
            result.add(not_supported(_field(path), value, _listed(raw["enum"])))
    result.matches += 1
    if result.errors and old is not NEW and not isinstance(old, _Inside) and same(old, value):
        return _Result(matches=result.matches)
    return result


def _listed(values: list[Any]) -> list[str]:
    return [value if isinstance(value, str) else orjson.dumps(value).decode() for value in values]


def _type(raw: Raw, value: Any, path: str) -> _Result:
    types, name = types_of(raw), raw.get("format", "")
    known = formats.check_of(name) is not None
    if value is None:
        wrong = types and not raw.get("nullable")
        return _Result(_wrong_type(path, ",".join(types), "null")) if wrong else _Result(matches=1)
    if not types and not known:
        return _Result(matches=1)
    text = isinstance(value, str | list)
    if known and not text and not is_type(value, types):
        width = {"integer": "int64", "number": "float64"}.get(type_of(value), "")
        return _Result(_wrong_type(path, name, width))
    if known and text and not {"number", "integer"} & set(types):
        return _Result(matches=1)
    if not is_type(value, types):
        return _Result(_wrong_type(path, ",".join(types), type_of(value)))
    return _Result(matches=1)


def _junctors(raw: Raw, value: Any, path: str, old: Any) -> _Result:
    result = _Result(matches=1)
    if raw.get("anyOf"):
        result.merge(_any_of(raw["anyOf"], value, path, old))
    if raw.get("oneOf"):
        result.merge(_one_of(raw["oneOf"], value, path, old))
    if raw.get("allOf"):
        found = [_of_part(part, value, path, old) for part in raw["allOf"]]
        for one in found:
            result.merge(one)
        valid = sum(not one.errors for one in found)
        if valid != len(found):
            result.add(_joined(path, f"validate all the schemas (allOf){'' if valid else '. None validated'}"))
    if raw.get("not") is not None and not _of_part(raw["not"], value, path, old).errors:
        result.add(_joined(path, "not validate the schema (not)"))
    return result


def _of_part(raw: Raw, value: Any, path: str, old: Any) -> _Result:
    """One of several schemas of a value: what the value is, it is whether or not it was that before."""
    return _of(raw, value, path, NEW if not isinstance(value, dict | list) else _Inside(old))


class _Inside:
    """The old value, for what is inside of it only."""

    def __init__(self, old: Any) -> None:
        self.old: Any = old.old if isinstance(old, _Inside) else old


def _any_of(parts: list[Raw], value: Any, path: str, old: Any) -> _Result:
    best: _Result | None = None
    for part in parts:
        found = _of_part(part, value, path, old)
        if not found.errors:
            return found
        if best is None or found.matches > best.matches:
            best = found
    assert best is not None
    result = _Result(_joined(path, "validate at least one schema (anyOf)"))
    result.merge(best)
    return result


def _one_of(parts: list[Raw], value: Any, path: str, old: Any) -> _Result:
    found = [_of_part(part, value, path, old) for part in parts]
    valid = [one for one in found if not one.errors]
    if len(valid) == 1:
        return valid[0]
    why = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
    result = _Result(_joined(path, f"validate one and only one schema (oneOf). {why}"))
    if not valid:
        result.merge(max(found, key=lambda one: one.matches))
    return result


def _string(raw: Raw, value: str, path: str, old: Any) -> _Result:
    low, high, pattern = raw.get("minLength"), raw.get("maxLength"), raw.get("pattern")
    if high is not None and len(value) > high:
        return _Result(too_long(_field(path), high))
    if low is not None and len(value) < low:
        return _Result(_invalid(path, value, f"should be at least {low} chars long"))
    if pattern and not checking.matches(pattern, value):
        return _Result(_invalid(path, value, f"should match '{pattern}'"))
    return _Result()


def _format(raw: Raw, value: str, path: str, old: Any) -> _Result:
    name = raw.get("format", "")
    check = formats.check_of(name)
    return _Result(_wrong_type(path, name, value)) if check and not check(value) else _Result()


def _number(raw: Raw, value: float, path: str, old: Any) -> _Result:
    result = _Result(matches=1)
    factor, low, high = raw.get("multipleOf"), raw.get("minimum"), raw.get("maximum")
    if factor is not None and not checking.multiple(value, factor):
        result.add(_invalid(path, value, f"should be a multiple of {go_number(factor)}"))
    if low is not None:
        exclusive, limit = bool(raw.get("exclusiveMinimum")), bound(value, low)
        if exceeds(limit, value, exclusive):
            more = "greater than" if exclusive else "greater than or equal to"
            result.add(_invalid(path, value, f"should be {more} {go_number(limit)}"))
    if high is not None:
        exclusive, limit = bool(raw.get("exclusiveMaximum")), bound(value, high)
        if exceeds(value, limit, exclusive):
            less = "less than" if exclusive else "less than or equal to"
            result.add(_invalid(path, value, f"should be {less} {go_number(limit)}"))
    return result


def go_number(value: float) -> str:
    """As Go prints it (%v)."""
    return str(value).removesuffix(".0")


def _array(raw: Raw, value: list[Any], path: str, old: Any) -> _Result:
    result = _Result(matches=1)
    items = raw.get("items")
    if isinstance(items, Mapping):
        before = _items_before(raw, old)
        for index, item in enumerate(value):
            result.merge(_of(items, item, f"{path}[{index}]", before(item)))
    low, high = raw.get("minItems"), raw.get("maxItems")
    if low is not None and len(value) < low:
        result.add(_invalid(path, len(value), f"should have at least {low} items"))
    if high is not None and len(value) > high:
        result.add(too_many(_field(path), len(value), high))
    if raw.get("uniqueItems") and duplicates(value):
        result.add(_invalid(path, "", "shouldn't contain duplicates"))
    return result


def _items_before(raw: Raw, old: Any) -> Callable[[Any], Any]:
    """Which old item is which: known of lists of type map alone."""
    if isinstance(old, _Inside):
        old = old.old
    if raw.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return lambda item: NEW
    keys = raw.get("x-kubernetes-list-map-keys") or ()
    known = {checking.sorted_json(map_key(item, keys)): item for item in old}
    return lambda item: known.get(checking.sorted_json(map_key(item, keys)), NEW)


def _object(raw: Raw, value: dict[str, Any], path: str, old: Any) -> _Result:
    low, high = raw.get("minProperties"), raw.get("maxProperties")
    if low is not None and len(value) < low:
        return _Result(_invalid(path, low, f"should have at least {low} properties"))
    if high is not None and len(value) > high:
        return _Result(too_many(_field(path), len(value), high))
    result = _Result()
    if isinstance(old, _Inside):
        old = old.old
    before = old if isinstance(old, dict) else {}
    properties, additional = raw.get("properties") or {}, raw.get("additionalProperties")
    for name, inner in value.items():
        if name in properties:
            continue
        if additional is False:
            result.add(_invalid_property(path, name))
        elif isinstance(additional, Mapping):
            result.merge(_of(additional, inner, f"{path}.{name}", before.get(name, NEW)))
    for name, child in properties.items():
        if name in value:
            here = f"{path}.{name}" if path else name
            result.merge(_of(child, value[name], here, before.get(name, NEW)))
    for name in raw.get("required") or ():
        if name not in value:
            result.add(required(_field(f"{path}.{name}")))
    return result


def _invalid_property(path: str, name: str) -> FieldError:
    return invalid_value(_field(path), name, f"{path}.{name} in body is a forbidden property")


_PARTS: Mapping[type, tuple[Callable[[Raw, Any, str, Any], _Result], ...]] = {
    **{str: (_string, _format), int: (_number,), float: (_number,)},
    **{list: (_array,), dict: (_object,)},
}


def _inner(value: Any, schema: Structural, path: str) -> Iterator[tuple[Any, Structural, str]]:
    """The values one level down of which the schema says anything, with their schemas and paths."""
    if isinstance(value, dict):
        for name, inner in value.items():
            child, dot = schema.properties.get(name), f"{path}." if path else ""
            if child is not None:
                yield inner, child, dot + name
            elif schema.additional is not None:
                yield inner, schema.additional, f"{path}[{name}]"
    elif isinstance(value, list) and schema.items is not None:
        for index, inner in enumerate(value):
            yield inner, schema.items, f"{path}[{index}]"


def _embedded(value: Any, schema: Structural, path: str) -> Iterator[FieldError]:
    """Type and metadata of objects inside."""
    if schema.embedded and isinstance(value, dict):
        yield from embedded_faults(value, path)
    for inner, below, place in _inner(value, schema, path):
        yield from _embedded(inner, below, place)


def _list_types(value: Any, schema: Structural, path: str) -> Iterator[FieldError]:
    """Items that are there twice in lists of type set and map."""
    if isinstance(value, list):
        yield from _list_type(value, schema, path)
    for inner, below, place in _inner(value, schema, path):
        yield from _list_types(inner, below, place)


def _list_type(value: list[Any], schema: Structural, path: str) -> Iterator[FieldError]:
    if schema.list_type == "set":
        for index in duplicates(value):
            yield duplicate(f"{path}[{index}]", value[index])
    elif schema.list_type == "map":
        for index, item in enumerate(value):
            if item is not None and not isinstance(item, dict):
                yield invalid_value(f"{path}[{index}]", item, "must be an object for an array of list-type map")
                return
        names = [map_key(item, schema.map_keys) for item in value]
        for index in duplicates(names):
            yield duplicate(f"{path}[{index}]", names[index])
