"""Owning: a structural schema as server-side apply sees it: what is owned whole, field by field or item by item."""

from collections.abc import Callable

from pybernetes.api.schema import OBJECT_META
from pybernetes.apiserver.crd.structural import Structural
from pybernetes.rules.patch import typed
from pybernetes.rules.patch.typed import Expects, Node

_SCALARS: dict[str, Expects] = {
    **{"string": "string", "integer": "numeric", "number": "numeric", "boolean": "boolean"},
}


def root_node(schema: Structural) -> Node:
    """The node of whole objects: whatever the schema says, they have a type and metadata."""
    return _node(schema, whole=True)


def _node(schema: Structural, *, whole: bool = False) -> Node:
    if schema.int_or_string:
        return typed.scalar("scalar", schema.default)
    if schema.type in _SCALARS:
        return typed.scalar(_SCALARS[schema.type], schema.default)
    if schema.type == "array":
        return _list(schema)
    if not schema.type and not schema.properties:
        return typed.UNTYPED
    return _map(schema, whole or schema.embedded)


def _list(schema: Structural) -> Node:
    item = schema.items
    made: Callable[[], Node] = (lambda: _node(item)) if item is not None else (lambda: typed.UNTYPED)
    if schema.list_type == "map":
        return Node("keyed", "list", item=made, keys=schema.map_keys)
    return Node("set" if schema.list_type == "set" else "leaf", "list", item=made)


def _map(schema: Structural, whole: bool) -> Node:
    def fields() -> dict[str, Node]:
        found = {name: _node(child) for name, child in schema.properties.items()}
        if whole:
            found |= {"apiVersion": typed.STRING, "kind": typed.STRING, "metadata": typed.of_type(OBJECT_META)}
        return found

    item: Callable[[], Node] | None = None
    additional = schema.additional
    if additional is not None:
        item = lambda: _node(additional)  # noqa: E731  # asked for late
    elif schema.preserve or schema.raw.get("additionalProperties") is True:
        item = lambda: typed.UNTYPED  # noqa: E731
    atomic = schema.raw.get("x-kubernetes-map-type") == "atomic"
    return Node("leaf" if atomic else "map", "map", fields=fields, item=item)
