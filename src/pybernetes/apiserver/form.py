"""Form: how the documents of one kind are read. Built-in kinds by api.schema, custom resources by their own schema."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from msgspec import Struct

from pybernetes.api import schema
from pybernetes.api.canonical import Canonical, canonicalize
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import GroupVersionKind
from pybernetes.rules.patch import typed
from pybernetes.rules.patch.typed import Node


class Form(Struct, frozen=True, kw_only=True):
    """What decoding, patching and apply must know of a kind."""

    gvk: GroupVersionKind
    walk: Callable[[Any], Canonical]
    """The canonical form of a document of this kind, and what strict decoding has against it."""
    type_name: str = ""
    """In api.schema; empty for custom resources, which have neither protobuf nor strategic merge patches."""
    node: Node = typed.CUSTOM
    """How server-side apply sees its values."""
    published: Mapping[str, Any] | None = None
    """Of custom resources: the schema that OpenAPI shows, as the CustomResourceDefinition has it."""


@cache
def built_in(gvk: GroupVersionKind) -> Form:
    """The Form of a kind of the release. Raises BadRequest for others."""
    name = schema.type_name(gvk)
    if name is None:
        raise BadRequest(f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}"')
    return Form(gvk=gvk, walk=lambda obj: canonicalize(obj, name), type_name=name, node=typed.of_type(name))
