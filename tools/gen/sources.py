"""Reads the facts: the OpenAPI definitions of kubernetes-validate (never imported) and the YAML beside this file.

model.py is what comes out; python_types.py, tables.py and resources.py write it down.
"""

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.gen.model import FieldDef, Shape, TypeDef

FACTS = Path(__file__).parent / "facts"
RELEASE = "1.37"
APIMACHINERY = "io.k8s.apimachinery.pkg"
META = f"{APIMACHINERY}.apis.meta.v1"
APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"

SPECIAL = {
    f"{APIMACHINERY}.api.resource.Quantity": Shape("quantity"),
    f"{APIMACHINERY}.util.intstr.IntOrString": Shape("intorstring"),
    f"{META}.Time": Shape("time"),
    f"{META}.MicroTime": Shape("microtime"),
    f"{META}.FieldsV1": Shape("raw", f"{META}.FieldsV1"),
    f"{APIMACHINERY}.runtime.RawExtension": Shape("raw", f"{APIMACHINERY}.runtime.RawExtension"),
    **{
        f"{APIEXTENSIONS}.{name}": Shape("raw", f"{APIEXTENSIONS}.{name}")
        for name in ("JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray")
    },
}
# Named lists: a message with the list in field 1.
WRAPPED = ("ExtraValue", "AttestationValue", "Verbs")
SCALARS = ("string", "int32", "int64", "bool", "double", "bytes")

# Types of the wire that OpenAPI does not publish. Meta, admission and discovery are taken whole.
UNPUBLISHED: dict[str, tuple[str, ...] | None] = {
    "k8s.io.api.core.v1": (
        *("PodExecOptions", "PodAttachOptions", "PodPortForwardOptions", "PodProxyOptions", "PodLogOptions"),
        *("ServiceProxyOptions", "NodeProxyOptions", "SerializedReference", "RangeAllocation"),
    ),
    "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1": (
        *("ConversionReview", "ConversionRequest", "ConversionResponse"),
    ),
    "k8s.io.apimachinery.pkg.apis.meta.v1": (
        *(
            "ApplyOptions",
            "CreateOptions",
            "GetOptions",
            "ListOptions",
            "PatchOptions",
            "TableOptions",
            "UpdateOptions",
        ),
        *("GroupKind", "GroupResource", "GroupVersion", "GroupVersionKind", "GroupVersionResource"),
        *("List", "PartialObjectMetadata", "PartialObjectMetadataList", "RootPaths", "FieldSelectorRequirement"),
        *("Table", "TableColumnDefinition", "TableRow", "TableRowCondition"),
    ),
    "k8s.io.api.admission.v1": None,
    "k8s.io.api.apidiscovery.v2": None,
}
# Not served; only what served types refer to, which is what the facts hold of it.
REFERRED_TO = ("k8s.io.api.scheduling.v1alpha3",)
META_GROUP = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
EXTENSIONS = {
    "x-kubernetes-list-type": "list",
    "x-kubernetes-list-map-keys": "keys",
    "x-kubernetes-patch-merge-key": "merge",
    "x-kubernetes-patch-strategy": "patch",
    "x-kubernetes-map-type": "map",
}

Facts = Mapping[str, Mapping[str, Mapping[str, str]]]


class _Strings(yaml.CSafeLoader):
    """YAML of strings only: `no` and `default` are names here."""


_Strings.yaml_implicit_resolvers = {}


def read_facts(name: str) -> Any:
    """One of the files in facts/."""
    return yaml.load((FACTS / name).read_bytes(), Loader=_Strings)


def _definitions() -> dict[str, dict[str, Any]]:
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("tools.gen needs the development dependencies: pip install -e .[dev]")
    folder = Path(spec.submodule_search_locations[0])
    path = folder / "kubernetes-json-schema" / f"v{RELEASE}.0-local" / "_definitions.json"
    definitions: dict[str, dict[str, Any]] = json.loads(path.read_bytes())["$defs"]
    return definitions


def openapi_package(package: str) -> str:
    """`k8s.io.api.core.v1` to `io.k8s.api.core.v1`."""
    return package.replace("k8s.io.", "io.k8s.", 1).replace("_apiserver.", "-apiserver.").replace("kube_", "kube-")


def _plain(name: str) -> str:
    """A field's name without what JSON and protobuf spell differently."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


class Sources:
    """All facts, joined. `types()` is the result."""

    def __init__(self) -> None:
        self.definitions = _definitions()
        self.protobuf: Facts = read_facts("protobuf.yaml")
        self.presence: Facts = read_facts("presence.yaml")
        self.additions: Facts = read_facts("additions.yaml")
        self.defaults: Facts = read_facts("defaults.yaml")
        self.enums: Facts = read_facts("enums.yaml")
        self.resources: dict[str, Any] = read_facts("resources.yaml")
        self.groups = {self._segment(group["group"]): group["group"] for group in self.resources["groups"]} | {
            "admission": "admission.k8s.io",
            "apidiscovery": "apidiscovery.k8s.io",
            "meta": "",
        }

    @staticmethod
    def _segment(group: str) -> str:
        return group.partition(".")[0] or "core"

    def types(self) -> list[TypeDef]:
        """Every type of the release, sorted by module and name."""
        found = []
        for package in sorted(set(self.presence) | set(self.additions)):
            segment, version = package.split(".")[-2:]
            if segment not in self.groups:
                continue
            module = f"{segment}_{version}"
            for short in self._names(package):
                name = f"{openapi_package(package)}.{short}"
                if name not in SPECIAL:
                    found.append(self._type(package, short, name, module))
        return sorted(found, key=lambda t: (t.module, t.name))

    def _names(self, package: str) -> list[str]:
        prefix = openapi_package(package) + "."
        published = [name.removeprefix(prefix) for name in self.definitions if name.startswith(prefix)]
        names = [n for n in published if "." not in n and "properties" in self.definitions[prefix + n]]
        names += [n for n in published if n == "CustomResourceSubresourceStatus"]
        if package in REFERRED_TO:
            return sorted(self.presence[package])
        if package in UNPUBLISHED:
            wanted = UNPUBLISHED[package]
            names += [n for n in self.presence.get(package, {}) if wanted is None]
            names += wanted or []
        return list(dict.fromkeys(names))

    def _type(self, package: str, short: str, name: str, module: str) -> TypeDef:
        schema = self.definitions.get(name, {})
        defaults = self.defaults.get(package, {}).get(short, {})
        enums = self.enums.get(package, {}).get(short, {})
        if not enums.keys() <= schema.get("properties", {}).keys():
            raise SystemExit(f"enums.yaml names fields that {name} has not: {sorted(enums)}")
        fields = []
        for json_name, flags, path, wire in self._flat(package, short, ()):
            published = schema.get("properties", {}).get(json_name)
            if schema and published is None:
                continue  # withdrawn since
            shape = _published_shape(published) if published is not None else None
            if shape is None or (shape.kind == "raw" and not shape.ref):
                shape = self._wire_shape(package, wire)
            shape = self._wrapped(package, shape, wire)
            if wire != "any" and shape != self._wire_shape(package, wire):
                raise SystemExit(f"{name}.{json_name}: OpenAPI says {shape.text()}, protobuf.yaml says {wire}")
            fields.append(
                FieldDef(
                    name=json_name,
                    shape=shape,
                    pointer="ptr" in flags,
                    omitempty="omitempty" in flags,
                    omitzero="omitzero" in flags,
                    required=json_name in schema.get("required", ()),
                    path=path,
                    extensions=_extensions(published or {})
                    | _said("default", defaults.get(json_name))
                    | _said("enum", enums.get(json_name)),
                )
            )
        missing = set(schema.get("properties", ())) - {f.name for f in fields}
        if missing:
            raise SystemExit(f"no presence facts for {name}: {sorted(missing)}; add them to facts/additions.yaml")
        message = f"{package}.{short}" if short in self.protobuf.get(package, {}) else ""
        return TypeDef(name, module, message, tuple(fields), self._gvks(schema, fields, short, module))

    def _gvks(
        self, schema: Mapping[str, Any], fields: list[FieldDef], short: str, module: str
    ) -> tuple[tuple[str, str, str], ...]:
        listed = [(g["group"], g["version"], g["kind"]) for g in schema.get("x-kubernetes-group-version-kind", ())]
        if module == "meta_v1":
            if [f.name for f in fields[:2]] != ["kind", "apiVersion"]:  # TypeMeta's order; OwnerReference has the other
                return ()
            return (("meta.k8s.io" if short in META_GROUP else "", "v1", short),)
        if not listed and [f.name for f in fields[:2]] == ["kind", "apiVersion"] and not schema:
            segment, version = module.rsplit("_", 1)
            listed = [(self.groups[segment], version, short)]
        return tuple(sorted(listed))

    def _flat(
        self, package: str, short: str, inside: tuple[int, ...]
    ) -> list[tuple[str, list[str], tuple[int, ...], str]]:
        """(JSON name, flags, protobuf path, protobuf type) of the fields in Go's order, inline ones in their place."""
        found: list[tuple[str, list[str], tuple[int, ...], str]] = []
        wires = {_plain(n): w.split(" ", 1) for n, w in (self.protobuf.get(package, {}).get(short) or {}).items()}
        added = {n: text.split("; ") for n, text in self.additions.get(package, {}).get(short, {}).items()}
        known = self.presence.get(package, {}).get(short) or {}
        for name, flags in known.items():
            if name == "TypeMeta" and flags == "inline":
                found += [("kind", ["omitempty"], (), "string"), ("apiVersion", ["omitempty"], (), "string")]
            elif flags == "inline":
                wire = wires.get(_plain(name)) or wires["handler"]
                found += self._flat(package, wire[1], (*inside, int(wire[0])))
            elif name not in added and name != "-":
                wire = wires.get(_plain(name), ["0", "any"])
                path = (*inside, int(wire[0])) if wire[0] != "0" else ()
                found.append((name, flags.split(), path, wire[1]))
            elif name in added:
                found.append(self._added(name, added.pop(name), inside))
        found += [self._added(name, text, inside) for name, text in added.items()]
        return found

    @staticmethod
    def _added(name: str, text: list[str], inside: tuple[int, ...]) -> tuple[str, list[str], tuple[int, ...], str]:
        number, wire = text[0].split(" ", 1)
        return name, text[1].split(), (*inside, int(number)) if number != "0" else (), wire

    def _wire_shape(self, package: str, wire: str) -> Shape:
        """The shape that the protobuf type stands for."""
        if wire.startswith("["):
            return Shape("list", item=self._wire_shape(package, wire[1:-1]))
        if wire.startswith("map "):
            return Shape("map", item=self._wire_shape(package, wire[4:]))
        if wire in SCALARS:
            return Shape(wire)
        if wire == "any":
            return Shape("raw")
        full = wire if "." in wire else f"{package}.{wire}"
        name = openapi_package(full)
        if full.rpartition(".")[2] in WRAPPED:
            return Shape("list", name, Shape("string"))
        return SPECIAL.get(name) or Shape("object", name)

    def _wrapped(self, package: str, shape: Shape, wire: str) -> Shape:
        """Lists that are a message of their own on the wire say which."""
        bare = wire.removeprefix("map ")
        if bare.rpartition(".")[2] not in WRAPPED:
            return shape
        if shape.kind == "map":
            return Shape("map", item=self._wire_shape(package, bare))
        return self._wire_shape(package, bare)


def _published_shape(schema: Mapping[str, Any]) -> Shape:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return SPECIAL.get(name) or Shape("object", name)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(k for k in kind if k != "null")
    form = schema.get("format")
    if kind == "array":
        return Shape("list", item=_published_shape(schema["items"]))
    if kind == "object" and "additionalProperties" in schema:
        return Shape("map", item=_published_shape(schema["additionalProperties"]))
    if kind == "string":
        return Shape("bytes" if form == "byte" else "string")
    if kind == "integer":
        return Shape("int32" if form == "int32" else "int64")
    return {"boolean": Shape("bool"), "number": Shape("double")}.get(str(kind), Shape("raw"))


def _said(what: str, text: str | None) -> dict[str, str]:
    return {what: text} if text else {}


def _extensions(schema: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key, short in EXTENSIONS.items():
        if key in schema:
            value = schema[key]
            found[short] = ",".join(value) if isinstance(value, list) else str(value)
    return found
