"""Shaping: a custom object as it is stored and shown: unknown fields pruned, stray nulls dropped, defaults filled in.

A function is compiled for each level of the schema when it is first met; it knows no paths. Where one has met an unknown
field, `unknown_fields()` walks again and says which. Shaping what is shaped changes nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import orjson

from pybernetes.api import faults
from pybernetes.api.canonical import WrongType, walker
from pybernetes.api.errors import BadRequest
from pybernetes.api.schema import OBJECT_META
from pybernetes.apiserver.crd.structural import META_FIELDS, Structural

Shape: TypeAlias = Callable[[Any, list[bool]], Any]
"""(value, list that grows where a field is unknown) -> a new value. Raises Unreadable."""


class Unreadable(Exception):
    """Nobody could read it: metadata that is none, a number without end."""


class Shaper:
    """Compiles the Shape of a schema; keeps one a level."""

    def __init__(self) -> None:
        self._made: dict[int, Shape] = {}
        self._kept: list[Structural] = []

    def of(self, schema: Structural | None) -> Shape:
        """The Shape of values of a schema; without one everything inside is unknown."""
        if schema is None:
            return _emptied
        found = self._made.get(id(schema))
        if found is None:
            found = self._made[id(schema)] = self._compiled(schema)
            self._kept.append(schema)
        return found

    def _compiled(self, schema: Structural) -> Shape:
        of_object, of_list = self._object(schema), self._list(schema)

        def shape(value: Any, strange: list[bool]) -> Any:
            kind = value.__class__
            if kind is dict:
                return of_object(value, strange)
            if kind is list:
                return of_list(value, strange)
            return _number(value) if kind is float or kind is int else value

        if schema.type in ("string", "integer", "boolean") and not schema.embedded:
            # The usual leaf: what else may be found is refused by validation.
            def leaf(value: Any, strange: list[bool]) -> Any:
                kind = value.__class__
                if kind is str or kind is bool or (kind is int and -_LIMIT <= value < _LIMIT):
                    return value
                return shape(value, strange)

            return leaf
        return shape

    def _list(self, schema: Structural) -> Shape:
        item = schema.items
        if item is None:
            inner = _preserved if schema.preserve else _emptied
            return lambda value, strange: [inner(x, strange) for x in value]
        late: list[Shape] = []
        stand_in = None if item.nullable else self._default(item)

        def shape(value: list[Any], strange: list[bool]) -> list[Any]:
            if not late:
                late.append(self.of(item) if not schema.preserve else self._loose(item))
            one = late[0]
            if stand_in is None:
                return [one(x, strange) for x in value]
            return [stand_in() if x is None else one(x, strange) for x in value]

        return shape

    def _loose(self, schema: Structural) -> Shape:
        """Of items below a list that keeps unknown fields: they keep theirs as well."""
        return self.of(schema if schema.preserve else Structural({**schema.raw, _PRESERVE: True}))

    def _object(self, schema: Structural) -> Shape:
        fields: dict[str, Shape] = {}
        properties = schema.properties
        dropped = {name for name, child in properties.items() if not child.nullable}
        defaults = [(name, made) for name, child in properties.items() if (made := self._default(child))]
        extra = self._extra(schema)
        whole = schema.embedded or schema.root

        def shape(value: dict[str, Any], strange: list[bool]) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for name, inner in value.items():
                field = fields.get(name)
                if field is None:
                    if whole and name in META_FIELDS:
                        continue
                    child = properties.get(name)
                    if child is None:
                        extra(out, name, inner, strange)
                        continue
                    field = fields[name] = self.of(child)
                if inner is None and name in dropped:
                    continue
                out[name] = field(inner, strange)
            for name, made in defaults:
                if name not in out:
                    out[name] = made()
            return out

        if not whole:
            return shape
        if schema.root:
            return shape  # the caller puts kind, apiVersion and metadata back

        def embedded(value: dict[str, Any], strange: list[bool]) -> dict[str, Any]:
            return {**_type_and_metadata(value, strange), **shape(value, strange)}

        return embedded

    def _extra(self, schema: Structural) -> Callable[[dict[str, Any], str, Any, list[bool]], None]:
        """What becomes of a field that is not declared."""
        additional = schema.additional
        if additional is not None:
            stand_in = None if additional.nullable else self._default(additional)

            def keep_shaped(out: dict[str, Any], name: str, value: Any, strange: list[bool]) -> None:
                if value is None and not additional.nullable:
                    if stand_in is not None:
                        out[name] = stand_in()
                    return
                out[name] = self.of(additional)(value, strange)

            return keep_shaped
        inner = _preserved if schema.preserve else _emptied
        if schema.preserve or schema.has_additional:

            def keep(out: dict[str, Any], name: str, value: Any, strange: list[bool]) -> None:
                out[name] = inner(value, strange)

            return keep

        def drop(out: dict[str, Any], name: str, value: Any, strange: list[bool]) -> None:
            strange.append(True)

        return drop

    def _default(self, schema: Structural) -> Callable[[], Any] | None:
        """Makes the default anew; None where there is none."""
        default = schema.default
        if default is None:
            return None
        if not isinstance(default, dict | list):
            return lambda: default
        text: list[bytes] = []

        def made() -> Any:
            if not text:
                text.append(orjson.dumps(self.of(schema)(default, [])))  # defaults inside of defaults
            return orjson.loads(text[0])

        return made


_PRESERVE = "x-kubernetes-preserve-unknown-fields"


_LIMIT = 2**63


def _number(value: float) -> int | float:
    """As Go writes it: a whole number has no fraction, one too great for 64 bits is not whole. Raises Unreadable."""
    if isinstance(value, int):
        if -_LIMIT <= value < 2 * _LIMIT:
            return value
        value = float(value) if abs(value) < 10**300 else math.inf
    if not math.isfinite(value):
        raise Unreadable("json: cannot unmarshal number into Go value of type float64")
    return int(value) if value.is_integer() and abs(value) < _LIMIT else value


def _preserved(value: Any, strange: list[bool]) -> Any:
    """A copy of what no schema knows."""
    kind = value.__class__
    if kind is dict:
        return {name: _preserved(inner, strange) for name, inner in value.items()}
    if kind is list:
        return [_preserved(inner, strange) for inner in value]
    return _number(value) if kind is float or kind is int else value


def _emptied(value: Any, strange: list[bool]) -> Any:
    """A value whose fields are all unknown."""
    kind = value.__class__
    if kind is dict:
        if value:
            strange.append(True)
        return {}
    if kind is list:
        return [_emptied(inner, strange) for inner in value]
    return _number(value) if kind is float or kind is int else value


def object_metadata(metadata: Any, strange: list[bool]) -> Any:
    """ObjectMeta in the form that Go writes. Raises Unreadable."""
    try:
        return walker(OBJECT_META)(metadata, strange)
    except (WrongType, ValueError) as error:
        raise Unreadable(faults.refusal(metadata, OBJECT_META, error).message.partition(": ")[2]) from None


def _type_and_metadata(value: dict[str, Any], strange: list[bool]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("apiVersion", "kind"):
        if name in value:
            if not isinstance(value[name], str):
                raise Unreadable(f"{name}: Invalid value: must be string")
            found[name] = value[name]
    if value.get("metadata") is not None:
        found["metadata"] = object_metadata(value["metadata"], strange)
    return found


def unknown_fields(value: Any, schema: Structural | None) -> list[str]:
    """The paths of fields that shaping leaves out, sorted; those of metadata follow."""
    fields = sorted(_unknown(value, schema, "", preserve=False))
    return fields + sorted(_unknown_metadata(value, schema, ""))


def _unknown(value: Any, schema: Structural | None, path: str, *, preserve: bool) -> Iterator[str]:
    if isinstance(value, dict):
        keeps = preserve or (schema is not None and schema.preserve)
        for name, inner in value.items():
            if schema is not None and (schema.embedded or schema.root) and name in META_FIELDS:
                continue
            here = f"{path}.{name}" if path else name
            child = schema.properties.get(name) if schema is not None else None
            if child is not None:
                yield from _unknown(inner, child, here, preserve=False)
            elif schema is not None and schema.has_additional and (schema.additional or not keeps):
                yield from _unknown(inner, schema.additional, here, preserve=False)
            elif not keeps:
                yield here
    elif isinstance(value, list):
        keeps = preserve or (schema is not None and schema.preserve)
        item = schema.items if schema is not None else None
        if item is not None or not keeps:
            for index, inner in enumerate(value):
                yield from _unknown(inner, item, f"{path}[{index}]", preserve=keeps)


def _unknown_metadata(value: Any, schema: Structural | None, path: str) -> Iterator[str]:
    if schema is None:
        return
    if isinstance(value, dict):
        if (schema.embedded or schema.root) and isinstance(value.get("metadata"), dict):
            where = f"{path}.metadata" if path else "metadata"
            for text in faults.unknown_fields(value["metadata"], OBJECT_META):
                yield f"{where}.{_quoted(text)}"
        for name, inner in value.items():
            child = schema.properties.get(name) or schema.additional
            if child is not None and isinstance(inner, dict | list):
                yield from _unknown_metadata(inner, child, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unknown_metadata(inner, schema.items, f"{path}[{index}]")


def _quoted(text: str) -> str:
    """What stands between the quotes of `unknown field "x"`."""
    return text.partition('"')[2].rpartition('"')[0]


def pruned_default(default: Any, schema: Structural) -> bool:
    """Whether a default is one that pruning leaves alone."""
    return not _unknown_list(default, schema)


def _unknown_list(value: Any, schema: Structural) -> list[str]:
    return list(_unknown(value, schema, "", preserve=False))


def schema_of(raw: Mapping[str, Any] | None) -> Structural:
    """The schema of a whole object."""
    return Structural(raw or {}, root=True)


def refused(kind: str, version: str, error: Unreadable) -> BadRequest:
    """The answer to an object that could not be read."""
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}')
