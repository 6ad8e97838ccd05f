"""Structural schemas: the tree of a version's openAPIV3Schema. shaping.py, validation.py and owning.py are made from it.

A `Structural` says what values look like (type, fields, items); what restricts them beyond that stays in `raw` and is
read by validation.py. Children are made when first asked for: most of a schema is never met.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeAlias

Raw: TypeAlias = Mapping[str, Any]
"""A JSONSchemaProps."""

META_FIELDS = ("apiVersion", "kind", "metadata")
"""What every object has whatever its schema says."""
NOTHING: Raw = {}


class Structural:
    """One level of a structural schema."""

    def __init__(self, raw: Raw, *, root: bool = False) -> None:
        self.raw = raw
        self.root = root
        """Of the whole object: its metadata and type are known without the schema."""

    @property
    def type(self) -> str:
        """Empty where any is allowed."""
        found: str = self.raw.get("type", "")
        return found

    @property
    def nullable(self) -> bool:
        """Whether null is a value of it."""
        return bool(self.raw.get("nullable"))

    @property
    def preserve(self) -> bool:
        """x-kubernetes-preserve-unknown-fields."""
        return bool(self.raw.get("x-kubernetes-preserve-unknown-fields"))

    @property
    def embedded(self) -> bool:
        """A whole object inside another: x-kubernetes-embedded-resource."""
        return bool(self.raw.get("x-kubernetes-embedded-resource"))

    @property
    def int_or_string(self) -> bool:
        """x-kubernetes-int-or-string."""
        return bool(self.raw.get("x-kubernetes-int-or-string"))

    @property
    def list_type(self) -> str:
        """atomic, set, map; empty: atomic."""
        return self.raw.get("x-kubernetes-list-type") or ""

    @property
    def map_keys(self) -> tuple[str, ...]:
        """What names an item of a list of type map."""
        return tuple(self.raw.get("x-kubernetes-list-map-keys") or ())

    @property
    def default(self) -> Any:
        """None where there is none."""
        return self.raw.get("default")

    @cached_property
    def properties(self) -> "Mapping[str, Structural]":
        """The declared fields."""
        return {name: Structural(child) for name, child in (self.raw.get("properties") or {}).items()}

    @cached_property
    def items(self) -> "Structural | None":
        """The items of a list."""
        found = self.raw.get("items")
        return Structural(found) if isinstance(found, Mapping) else None

    @property
    def has_additional(self) -> bool:
        """Fields beyond the declared ones are known, be it as forbidden."""
        return "additionalProperties" in self.raw

    @cached_property
    def additional(self) -> "Structural | None":
        """What fields beyond the declared ones are; None also where additionalProperties is a boolean."""
        found = self.raw.get("additionalProperties")
        return Structural(found) if isinstance(found, Mapping) else None


def at(schema: Structural | None, path: list[str]) -> Structural | None:
    """The schema of a field of a field ...; None where it is not declared."""
    for name in path:
        if schema is None:
            return None
        schema = schema.properties.get(name) or schema.additional
    return schema
