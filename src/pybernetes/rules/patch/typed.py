"""The schema as server-side apply sees it: which values are owned field by field, item by item, or only whole.

A `Node` says it of one value; where it comes from is no matter of the walkers. `of_type()` makes it from api.schema,
custom resources make theirs from a structural schema. Sources of truth: list type, map keys, map type.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from pybernetes.api import schema
from pybernetes.api.schema import Field

Kind: TypeAlias = Literal["leaf", "map", "set", "keyed", "untyped"]
Expects: TypeAlias = Literal["string", "numeric", "boolean", "scalar", "map", "list", "any"]


class Shape(NamedTuple):
    """What fields.py knows of all objects of a node that have the same fields."""

    below: dict[str, Any]
    """The set of them: all are members."""
    whole: dict[str, Any]
    """The same with the object itself."""
    nested: "tuple[tuple[str, str, Node], ...]"
    """Those that are no leaves: field, element, node."""


class Node:
    """How one value is owned.

    - `leaf`: as a whole: scalars, atomic lists, atomic maps; `expects` says what JSON it may be, `fields` and `item`
      (where given) what may be in it.
    - `map`: field by field; `fields` are the declared ones, `item` is what any other is (None: there is no other).
    - `set`: a list of scalars, owned item by item.
    - `keyed`: a list of objects named by `keys`, each an `item`; `defaults` fills in for keys that are not given.
    - `untyped`: by what is found: objects like `map` of untyped, scalars and lists like leaves.
    """

    def __init__(
        self,
        kind: Kind,
        expects: Expects = "any",
        *,
        fields: "Callable[[], Mapping[str, Node]] | None" = None,
        item: "Callable[[], Node] | None" = None,
        keys: Sequence[str] = (),
    ) -> None:
        self.kind: Kind = kind
        self.expects: Expects = expects
        self.keys = tuple(sorted(keys))
        """In the order in which an item's identity is written."""
        self.declared_keys = tuple(keys)
        self._fields = fields
        self._item = item
        self.shapes: dict[tuple[str, ...], Shape] = {}
        """What fields.py has found of objects that have just these declared fields."""
        self.default: Any = None
        """Of a scalar: what it is when a key field leaves it out; None: nothing."""

    @cached_property
    def fields(self) -> "Mapping[str, Node]":
        """The declared fields of a map. Asked for late: types refer to each other in circles."""
        return self._fields() if self._fields is not None else {}

    @cached_property
    def elements(self) -> "Mapping[str, tuple[str, Node | None]]":
        """Of the declared fields: the element of a path, and the node; None where it is a leaf."""
        return {n: (f"f:{n}", None if node.kind == "leaf" else node) for n, node in self.fields.items()}

    @cached_property
    def item(self) -> "Node | None":
        """What elements of a list are, and values of a map beyond its declared fields."""
        return self._item() if self._item is not None else None

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Of a keyed list: the key fields that need not be given."""
        if self.item is None:
            return {}
        found = {name: self.item.fields[name].default for name in self.keys if name in self.item.fields}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def open(self) -> bool:
        """Nothing is said of what is in it."""
        return self._fields is None and self._item is None

    def child(self, name: str) -> "Node | None":
        """The node of a map's field; None where the schema has none of that name."""
        found = self.fields.get(name)
        return self.item if found is None else found

    def __repr__(self) -> str:
        return f"Node({self.kind!r}, {self.expects!r})"


STRING = Node("leaf", "string")
ATOMIC = Node("leaf")
"""Any JSON, owned whole."""
UNTYPED: Node = Node("untyped", "any", item=lambda: UNTYPED)
"""Any JSON: objects field by field, lists whole."""
UNTYPED_MAP: Node = Node("map", "map", item=lambda: UNTYPED)
"""An object of which nothing is known (RawExtension, x-kubernetes-preserve-unknown-fields)."""


def scalar(expects: Expects, default: Any = None) -> Node:
    """A scalar with the default that the schema gives it."""
    node = Node("leaf", expects)
    node.default = default
    return node


def of_type(type_name: str) -> Node:
    """The node of a built-in type, named as in api.schema."""
    return _of_type(type_name, "map")


@cache
def _of_type(type_name: str, kind: Kind) -> Node:

    def fields() -> Mapping[str, Node]:
        return {name: _of_field(field) for name, field in schema.get(type_name).fields.items()}

    return Node(kind, "map", fields=fields)


CUSTOM = Node(
    "map",
    "map",
    fields=lambda: {"apiVersion": STRING, "kind": STRING, "metadata": of_type(schema.OBJECT_META)},
    item=lambda: UNTYPED,
)
"""An object of a kind without a schema."""

_SCALARS: Mapping[str, Expects] = {
    **{"string": "string", "bytes": "string", "time": "scalar", "microtime": "scalar"},
    **{"int32": "numeric", "int64": "numeric", "double": "numeric", "bool": "boolean"},
    **{"quantity": "scalar", "intorstring": "scalar"},
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OBJECTS = ("io.k8s.apimachinery.pkg.runtime.RawExtension", _META + "FieldsV1")
# The types marked x-kubernetes-map-type: atomic. (A field can say otherwise: PersistentVolumeSpec.claimRef.)
_ATOMIC = frozenset(
    f"{package}.{name}"
    for package, names in {
        "io.k8s.api.admissionregistration.v1": "MatchResources NamedRuleWithOperations ParamKind ParamRef Variable",
        "io.k8s.api.autoscaling.v1": "CrossVersionObjectReference",
        "io.k8s.api.core.v1": (
            "ConfigMapKeySelector EndpointAddress EndpointPort EvictionResponder FileKeySelector LocalObjectReference"
            " NodeSelector NodeSelectorTerm ObjectFieldSelector ObjectReference ResourceFieldSelector ScopeSelector"
            " SecretKeySelector SecretReference TopologySelectorTerm TypedLocalObjectReference"
        ),
        "io.k8s.api.discovery.v1": "EndpointPort",
        "io.k8s.api.networking.v1": "ServiceBackendPort",
        "io.k8s.api.rbac.v1": "RoleRef Subject",
        "io.k8s.apimachinery.pkg.apis.meta.v1": "LabelSelector OwnerReference",
    }.items()
    for name in names.split()
)


def _of_field(field: Field) -> Node:
    if field.kind == "list":
        return _of_list(field)
    if field.kind in ("map", "object"):
        atomic = field.map_type == "atomic" or (field.ref in _ATOMIC and field.map_type != "granular")
        kind: Kind = "leaf" if atomic else "map"
        return _of_type(field.ref, kind) if field.ref else Node(kind, "map", item=lambda: _item_of(field))
    if field.kind == "raw":
        return UNTYPED_MAP if field.ref in _OBJECTS else ATOMIC
    return scalar(_SCALARS[field.kind], field.default)


def _of_list(field: Field) -> Node:
    """By its list type; where it has none, by the patch strategy, as upstream reads older schemas."""
    list_type, keys = field.list_type, field.map_keys
    if not list_type and "merge" in field.patch_strategies:
        list_type, keys = ("map", (field.merge_key,)) if field.merge_key else ("set", ())
    if list_type == "map":
        return Node("keyed", "list", item=lambda: _item_of(field), keys=keys)
    if list_type == "set":
        return Node("set", "list", item=lambda: _item_of(field))
    return Node("leaf", "list", item=lambda: _item_of(field))


def _item_of(field: Field) -> Node:
    assert field.item is not None
    return _of_field(field.item)
