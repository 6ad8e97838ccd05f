"""The fields of every type: JSON form, presence, list keys, protobuf numbers. The tables beside this are generated.

`get(type_name(gvk))` is the way in. canonical.py, rules.patch and wire.codecs.protobuf walk objects with it. A type's
name is that of OpenAPI: `io.k8s.api.core.v1.Pod`.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.objects import GroupVersionKind
from pybernetes.api.schema._index import KINDS, PACKAGES

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"

# Kinds of metav1 that every group version carries (metav1.AddToGroupVersion).
_EVERYWHERE = frozenset(
    {"WatchEvent", "ListOptions", "GetOptions", "DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions"}
)
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."


class Field(Struct, frozen=True, kw_only=True):
    """One field of a type, or the element of a list or map (then only kind, ref and item count)."""

    name: str = ""
    """As in JSON."""
    kind: str
    """string int32 int64 bool double bytes quantity intorstring time microtime object list map, or raw: any JSON."""
    ref: str = ""
    """The type of an object. Of raw and list: a type whose protobuf form is a message (RawExtension, ExtraValue)."""
    item: "Field | None" = None
    required: bool = False
    pointer: bool = False
    """Absent and zero differ."""
    omitempty: bool = False
    """Not written when empty. Go writes structs, quantities and times all the same, unless omitzero or a pointer."""
    omitzero: bool = False
    list_type: str = ""
    """atomic, set or map (x-kubernetes-list-type); empty: atomic."""
    map_keys: tuple[str, ...] = ()
    """What names an element of a list of type map: server-side apply."""
    merge_key: str = ""
    """What names an element for strategic merge patches; it can differ from map_keys."""
    patch_strategies: tuple[str, ...] = ()
    """merge, replace, retainKeys."""
    map_type: str = ""
    """atomic or granular (x-kubernetes-map-type); empty: granular."""
    default: int | str | None = None
    """What the schema itself defaults to (ContainerPort.protocol: TCP), beyond zero values; None: nothing."""
    enum: tuple[str, ...] = ()
    """What a string, or each of a list, may be; for publishing."""
    number: int = 0
    """In protobuf; 0: the field is not on that wire."""
    inline: tuple[int, ...] = ()
    """Numbers of the messages the field sits in on the protobuf wire although JSON has it in its parent."""

    @property
    def always(self) -> bool:
        """Go writes it even when it is zero."""
        if self.pointer or self.omitzero:
            return not self.omitempty
        return not self.omitempty or self.kind in _STRUCTS

    @property
    def nullable(self) -> bool:
        """Its zero is written as null."""
        return self.pointer or self.kind in ("time", "microtime", "raw")


_STRUCTS = frozenset({"object", "quantity", "intorstring", "time", "microtime", "raw"})


class TypeInfo(Struct, frozen=True):
    """A type. `message` is its protobuf name, empty where it has none."""

    name: str
    fields: Mapping[str, Field]
    """By JSON name, in the order in which Go writes them."""
    gvk: GroupVersionKind | None
    message: str = ""


def type_name(gvk: GroupVersionKind) -> str | None:
    """The type of a kind; None for kinds that are not built in."""
    name = KINDS.get((gvk.group, gvk.version, gvk.kind))
    if name is None and gvk.kind in _EVERYWHERE:
        return _META + gvk.kind
    return name


def kinds() -> tuple[GroupVersionKind, ...]:
    """Every built-in kind, lists and options included."""
    return tuple(GroupVersionKind(*key) for key in KINDS)


@cache
def get(name: str) -> TypeInfo:
    """The type of that name. Raises KeyError where there is none."""
    text = _table(PACKAGES[name.rpartition(".")[0]])[name]
    message, *lines = text.split("\n")
    fields = [_field(line) for line in lines]
    return TypeInfo(name, MappingProxyType({f.name: f for f in fields}), _gvks().get(name), message.strip("-"))


@cache
def _table(module: str) -> dict[str, str]:
    types: dict[str, str] = import_module(f"pybernetes.api.schema._{module}").TYPES
    return types


@cache
def _gvks() -> dict[str, GroupVersionKind]:
    return {name: GroupVersionKind(*key) for key, name in KINDS.items()}


def _field(line: str) -> Field:
    """`name number type flag key=value ...`."""
    name, number, shape, *words = line.split(" ")
    path = () if number == "-" else tuple(int(n) for n in number.split("."))
    facts = dict(word.split("=", 1) for word in words if "=" in word)
    return replace(
        _shape(shape),
        name=name,
        required="required" in words,
        pointer="pointer" in words,
        omitempty="omitempty" in words or "omitzero" in words,
        omitzero="omitzero" in words,
        list_type=facts.get("list", ""),
        map_keys=_listed(facts.get("keys", "")),
        merge_key=facts.get("merge", ""),
        patch_strategies=_listed(facts.get("patch", "")),
        map_type=facts.get("map", ""),
        default=_default(facts.get("default")),
        enum=_listed(facts.get("enum", "")),
        number=path[-1] if path else 0,
        inline=path[:-1],
    )


def _default(text: str | None) -> int | str | None:
    return int(text) if text and text.isdigit() else text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


@cache
def _shape(text: str) -> Field:
    """`[item]`, `[item]@Message`, `{item}`, `raw@Message`, a scalar, or the name of a type."""
    if text.startswith("["):
        item, _, ref = text[1:].rpartition("]")
        return Field(kind="list", ref=ref.lstrip("@"), item=_shape(item))
    if text.startswith("{"):
        return Field(kind="map", item=_shape(text[1:-1]))
    kind, _, ref = text.partition("@")
    return Field(kind=kind, ref=ref) if "." not in kind else Field(kind="object", ref=kind)
