"""Schemas: the types that a document refers to, in the form of OpenAPI v2 or v3. documents.py collects them.

The two differ as upstream's do: v3 has defaults, enums and `allOf` around a reference that has neighbours.
"""

from collections.abc import Callable
from functools import cache

from pybernetes.api import facts, schema
from pybernetes.api.objects import GroupVersionKind, Object
from pybernetes.api.schema import Field
from pybernetes.apiserver.openapi import descriptions

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
VERSION_INFO = "io.k8s.apimachinery.pkg.version.Info"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_RAW = "io.k8s.apimachinery.pkg.runtime.RawExtension"
_NAMED = {"quantity": _QUANTITY, "intorstring": _INT_OR_STRING, "time": META + "Time", "microtime": META + "MicroTime"}
"""Kinds of values whose schema is a definition of its own."""
_TIME: Object = {"type": "string", "format": "date-time"}
_INFO = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
_EMULATED = ("emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor")
_FIXED: dict[str, Object] = {
    _QUANTITY: {"type": "string"},
    _INT_OR_STRING: {"type": "string", "format": "int-or-string"},
    META + "Time": _TIME,
    META + "MicroTime": _TIME,
    META + "Patch": {"type": "object"},
    META + "FieldsV1": {"type": "object"},
    _RAW: {"type": "object"},
    **{_EXTENSIONS + name: {} for name in ("JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool")},
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": {},
    VERSION_INFO: {
        "type": "object",
        "properties": {name: {"type": "string"} for name in (*_INFO, *_EMULATED)},
        "required": list(_INFO),
    },
}
_FIXED_V3: dict[str, Object] = {
    _QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    _INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "raw": {"type": "object"},
}
_ZEROS: dict[str, object] = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0}


class Schemas:
    """Collects the schemas of all types that are referred to."""

    def __init__(self, *, v3: bool) -> None:
        self.v3 = v3
        self._prefix = "#/components/schemas/" if v3 else "#/definitions/"
        self._made: dict[str, Object] = {}
        self._wanted: dict[str, Callable[[], Object] | None] = {}

    def reference(self, name: str, make: Callable[[], Object] | None = None) -> Object:
        """A `$ref`, and the promise that its schema will be there; `make` gives that of a type that is not built in."""
        if name not in self._made:
            self._wanted.setdefault(name, make)
        return {"$ref": self._prefix + name}

    def finished(self) -> Object:
        """All schemas by name."""
        while self._wanted:
            name, make = self._wanted.popitem()
            self._made[name] = {}  # types refer to each other in circles
            self._made[name] = make() if make is not None else self._schema(name)
        return dict(sorted(self._made.items()))

    def described(self, reference: Object, text: str, **more: object) -> Object:
        """A reference with something beside it."""
        beside = {**({"description": text} if text else {}), **more}
        if not beside or not self.v3 or "$ref" not in reference:
            return {**reference, **beside}
        # In v3 a reference stands alone; what is said beside it needs allOf.
        return {"allOf": [reference], **beside}

    def _schema(self, name: str) -> Object:
        text = descriptions.of_type(name)
        result: Object = {"description": text} if text else {}
        fixed = (_FIXED_V3.get(name) if self.v3 else None) or _FIXED.get(name)
        if fixed is not None:
            return {**result, **fixed}
        info = schema.get(name)
        result["type"] = "object"
        required = [field.name for field in info.fields.values() if field.required]
        if required:
            result["required"] = required
        if info.fields:
            result["properties"] = {field.name: self._property(name, field) for field in info.fields.values()}
        known = _kinds_of().get(name)
        if known:
            result["x-kubernetes-group-version-kind"] = [gvk_of(gvk) for gvk in known]
        unions = descriptions.unions(name)
        if unions:
            result["x-kubernetes-unions"] = unions
        return result

    def _property(self, type_name: str, field: Field) -> Object:
        more: Object = {}
        if self.v3:
            default = _default(field)
            if default is not None:
                more["default"] = default
        if field.list_type:
            more["x-kubernetes-list-type"] = field.list_type
        if field.map_keys:
            more["x-kubernetes-list-map-keys"] = list(field.map_keys)
        if field.merge_key:
            more["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.patch_strategies:
            more["x-kubernetes-patch-strategy"] = ",".join(field.patch_strategies)
        if field.map_type:
            more["x-kubernetes-map-type"] = field.map_type
        shown = self._type(field)
        if self.v3 and field.enum:
            (shown["items"] if field.kind == "list" else shown)["enum"] = list(field.enum)
        return self.described(shown, descriptions.of_field(type_name, field.name), **more)

    def _type(self, field: Field) -> Object:
        if field.kind in _NAMED:
            return self.reference(_NAMED[field.kind])
        if field.kind == "object" or (field.kind == "raw" and field.ref):
            return self.reference(field.ref)
        if field.kind == "list":
            assert field.item is not None
            return {"type": "array", "items": self._element(field.item)}
        if field.kind == "map":
            assert field.item is not None
            return {"type": "object", "additionalProperties": self._element(field.item)}
        return dict(_SCALARS[field.kind])

    def _element(self, item: Field) -> Object:
        shown = self._type(item)
        default = {} if item.kind == "object" else _ZEROS.get(item.kind)
        return self.described(shown, "", default=default) if self.v3 and default is not None else shown


def gvk_of(gvk: GroupVersionKind) -> Object:
    """x-kubernetes-group-version-kind."""
    return {"group": gvk.group, "kind": gvk.kind, "version": gvk.version}


def _default(field: Field) -> object:
    """What v3 says of the zero value: Go's fields that are neither pointers nor left out when empty have one."""
    if field.default is not None:
        return field.default
    if field.pointer:
        return None
    if field.kind == "object":
        return {}
    return None if field.omitempty else _ZEROS.get(field.kind)


@cache
def _kinds_of() -> dict[str, list[GroupVersionKind]]:
    """Every kind that a type is published as; metav1's options belong to each group version."""
    found: dict[str, list[GroupVersionKind]] = {}
    for gvk in schema.kinds():
        name = schema.type_name(gvk)
        if name is not None:
            found.setdefault(name, []).append(gvk)
    versions = sorted({(known.group, known.version) for known in facts.resources()})
    for kind in ("DeleteOptions", "WatchEvent"):
        found[META + kind] = [GroupVersionKind(group, version, kind) for group, version in versions]
    found[META + "Status"] = [GroupVersionKind("", "v1", "Status")]
    return found
