"""Custom resources in OpenAPI: the schema of a CustomResourceDefinition's version as clients are told of it.

v3 shows it as it is; v2 leaves out what old clients cannot read (upstream's ToStructuralOpenAPIV2).
"""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.catalog import Served
from pybernetes.apiserver.openapi import descriptions
from pybernetes.apiserver.openapi.operations import Kind
from pybernetes.apiserver.openapi.schemas import META, Schemas, gvk_of

_JUNCTORS = ("allOf", "oneOf", "anyOf", "not")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_TEXTS = {
    "apiVersion": "APIVersion defines the versioned schema of this representation of an object. "
    "Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. "
    f"More info: {_CONVENTIONS}#resources",
    "kind": "Kind is a string value representing the REST resource this object represents. "
    "Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. "
    f"More info: {_CONVENTIONS}#types-kinds",
    "metadata": f"Standard object's metadata. More info: {_CONVENTIONS}#metadata",
}
"""What explain says of these fields; tests of clients look for these words."""


def kind_of(served: Served, raw: Mapping[str, Any] | None, writer: Schemas) -> Kind:
    """The Kind of a custom resource; `raw` is its openAPIV3Schema."""
    known = served.facts
    name = ".".join([*reversed(known.group.split(".")), known.version, known.kind])
    listed = ".".join([*reversed(known.group.split(".")), known.version, served.listed])
    return Kind(
        known.gvk,
        name,
        lambda: _schema(served, raw, writer),
        listed,
        lambda: _list_schema(served, name, writer),
    )


def _schema(served: Served, raw: Mapping[str, Any] | None, writer: Schemas) -> Object:
    gvk = {"x-kubernetes-group-version-kind": [gvk_of(served.facts.gvk)]}
    if not raw or (not writer.v3 and raw.get(_PRESERVE)):
        # More properties would forbid all others to clients that check with this.
        return {"type": "object", **gvk}
    shown = _published(raw, writer)
    shown["properties"] = {**shown.get("properties", {}), **_type_meta(), "metadata": _metadata(writer)}
    return {**shown, **gvk}


def _list_schema(served: Served, name: str, writer: Schemas) -> Object:
    known = served.facts
    items = {"type": "array", "items": {"$ref": writer.reference(name)["$ref"]}}
    return {
        "description": f"{served.listed} is a list of {known.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_type_meta(),
            "items": {**items, "description": f"List of {known.plural}. More info: {_CONVENTIONS}"},
            "metadata": writer.described(
                writer.reference(META + "ListMeta"),
                f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds",
            ),
        },
        "x-kubernetes-group-version-kind": [gvk_of(known.gvk) | {"kind": served.listed}],
    }


def _type_meta() -> Object:
    return {name: {"type": "string", "description": _TEXTS[name]} for name in ("apiVersion", "kind")}


def _metadata(writer: Schemas) -> Object:
    text = descriptions.of_field(META + "PartialObjectMetadata", "metadata") or _TEXTS["metadata"]
    return writer.described(writer.reference(META + "ObjectMeta"), text)


def _published(raw: Mapping[str, Any], writer: Schemas) -> Object:
    """One level of a structural schema, and those below."""
    shown: Object = {name: value for name, value in raw.items() if value is not False or name == "default"}
    if not writer.v3:
        _narrowed(shown)
    elif shown.get("x-kubernetes-int-or-string") and "anyOf" not in shown and "allOf" not in shown:
        shown["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    properties = shown.get("properties")
    if properties:
        shown["properties"] = {name: _published(value, writer) for name, value in properties.items()}
    for name in ("items", "additionalProperties"):
        if isinstance(shown.get(name), Mapping):
            shown[name] = _published(shown[name], writer)
    if shown.get(_EMBEDDED) and (writer.v3 or not shown.get(_PRESERVE)):
        shown["properties"] = {**shown.get("properties", {}), **_type_meta(), "metadata": _metadata(writer)}
        shown["required"] = list(dict.fromkeys([*shown.get("required", ()), "kind", "apiVersion"]))
    return shown


def _narrowed(shown: Object) -> None:
    """What v2 can say: no junctors, and nothing said about values whose fields are open."""
    properties = shown.get("properties") or {}
    for name in _JUNCTORS:
        shown.pop(name, None)
    if shown.pop("nullable", False):
        for name in ("type", "items", "properties"):
            shown.pop(name, None)
    if shown.get(_PRESERVE):
        for name in ("items", "properties"):
            shown.pop(name, None)
    if shown.get("type") == "array" and "items" not in shown:
        shown.pop("type")
    if shown.get(_PRESERVE) and shown.get("type") == "object":
        shown.pop("type")
    open_ones = {name for name, field in properties.items() if field.get("nullable")}
    required = [name for name in shown.get("required", ()) if name not in open_ones]
    shown.pop("required", None)
    if required:
        shown["required"] = required
    values = shown.get("additionalProperties")
    if isinstance(values, Mapping) and values.get("nullable"):
        shown.pop("required", None)
