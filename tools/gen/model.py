"""What the generator knows of a type: fields in Go's order with JSON, list and protobuf facts. sources.py fills it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shape:
    """The type of a value: `kind` as in pybernetes.api.schema.Field, `ref` a type name, `item` of lists and maps."""

    kind: str
    ref: str = ""
    item: "Shape | None" = None

    def text(self) -> str:
        """The compact form that the schema tables hold: `[x]`, `{x}`, a kind, or a type's name."""
        if self.kind == "list":
            assert self.item
            return f"[{self.item.text()}]" + (f"@{self.ref}" if self.ref else "")
        if self.kind == "map":
            assert self.item
            return f"{{{self.item.text()}}}"
        if self.kind == "object":
            return self.ref
        return f"{self.kind}@{self.ref}" if self.ref else self.kind


@dataclass(frozen=True)
class FieldDef:
    """One field. `path` is its protobuf number, after the numbers of the inline messages it sits in; empty: none."""

    name: str
    shape: Shape
    pointer: bool = False
    omitempty: bool = False
    omitzero: bool = False
    required: bool = False
    path: tuple[int, ...] = ()
    extensions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TypeDef:
    """One type, by its OpenAPI name, in the module that holds its group and version."""

    name: str
    module: str
    message: str
    fields: tuple[FieldDef, ...]
    gvks: tuple[tuple[str, str, str], ...] = ()

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]
