"""The types that the expressions of an admission policy speak of: of built-in kinds and of custom ones, by their schemas."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pybernetes.api import facts, schema
from pybernetes.api.errors import NotFound
from pybernetes.api.objects import GroupVersionKind, split_api_version
from pybernetes.api.types.admissionregistration_v1 import NamedRuleWithOperations, ParamKind, ValidatingAdmissionPolicy
from pybernetes.api.types.apiextensions_v1 import CustomResourceDefinition
from pybernetes.client.rest import target_of
from pybernetes.controllers.runtime import Context
from pybernetes.rules.cel.checker import (
    ANY,
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
)

MOST = 10
"""Kinds that are looked at for each rule of a policy."""
NAMESPACE = GroupVersionKind("", "v1", "Namespace")
_PLAIN = {
    "string": STRING,
    "int32": INT,
    "int64": INT,
    "bool": BOOL,
    "double": DOUBLE,
    "bytes": BYTES,
    "time": TIMESTAMP,
    "microtime": TIMESTAMP,
}
_FORMATS = {"date-time": TIMESTAMP, "duration": DURATION, "byte": BYTES}
_SCHEMA_TYPES = {"string": STRING, "integer": INT, "number": DOUBLE, "boolean": BOOL}


def escaped(fields: Callable[[str], Type | None]) -> Callable[[str], Type | None]:
    """Fields by the names that CEL has for those that are words of its own, too: `__namespace__`."""

    def find(name: str) -> Type | None:
        found = fields(name)
        return found or (fields(name.strip("_")) if name.startswith("__") and name.endswith("__") else None)

    return find


# --- built-in kinds


def of_kind(gvk: GroupVersionKind) -> Type | None:
    """Of a built-in kind; None for others."""
    name = schema.type_name(gvk)
    return None if name is None else _of_type(name, gvk.kind)


@lru_cache(maxsize=1024)
def _of_type(name: str, shown: str) -> Type:
    known = schema.get(name).fields

    def find(field: str) -> Type | None:
        found = known.get(field)
        if found is None:
            return STRING if field in ("kind", "apiVersion") and "metadata" in known else None
        return _of_field(found, f"{shown}.{field}")

    return Type(shown, fields=escaped(find))


def _of_field(field: schema.Field, shown: str) -> Type:
    if field.kind == "object":
        return _of_type(field.ref, shown)
    item = _of_field(field.item, f"{shown}.@idx") if field.item is not None else ANY
    if field.kind == "list":
        return list_of(item)
    if field.kind == "map":
        return map_of(STRING, item)
    return _PLAIN.get(field.kind, ANY)


# --- custom kinds


def of_schema(node: Mapping[str, Any], shown: str, *, root: bool = False) -> Type:
    """Of an openAPIV3Schema."""
    if node.get("x-kubernetes-int-or-string"):
        return ANY
    known, more = node.get("properties") or {}, node.get("additionalProperties")
    is_open = node.get("x-kubernetes-preserve-unknown-fields") or node.get("x-kubernetes-embedded-resource")
    match node.get("type"):
        case "array":
            return list_of(of_schema(node.get("items") or {}, f"{shown}.@idx"))
        case "object" if isinstance(more, Mapping):
            return map_of(STRING, of_schema(more, f"{shown}.@elem"))
        case "object" if root or known:
            made: dict[str, Type] = {name: of_schema(part, f"{shown}.{name}") for name, part in known.items()}
            if root:
                made |= {"apiVersion": STRING, "kind": STRING, "metadata": _of_type(schema.OBJECT_META, "ObjectMeta")}
            return Type(shown, fields=escaped(lambda name: made.get(name) or (ANY if is_open else None)))
        case "string":
            return _FORMATS.get(node.get("format") or "", STRING)
        case kind:
            return _SCHEMA_TYPES.get(kind or "", ANY)


async def _custom(group: str, version: str, resource: str, ctx: Context) -> tuple[GroupVersionKind, Type] | None:
    where = target_of(CustomResourceDefinition).path(None, f"{resource}.{group}")
    try:
        crd = await ctx.client.raw("GET", where)
    except NotFound:
        return None
    for one in crd["spec"]["versions"]:
        if one["name"] == version and one.get("served"):
            gvk = GroupVersionKind(group, version, crd["spec"]["names"]["kind"])
            found = (one.get("schema") or {}).get("openAPIV3Schema") or {}
            return gvk, of_schema(found, gvk.kind, root=True)
    return None


# --- policies


async def matched(policy: ValidatingAdmissionPolicy, ctx: Context) -> list[tuple[GroupVersionKind, Type]]:
    """The kinds that the policy is for and their types, sorted; rules with wildcards say nothing. Raises ApiError."""
    found: dict[GroupVersionKind, Type] = {}
    constraints = policy.spec.matchConstraints
    for rule in constraints.resourceRules if constraints is not None else ():
        for group, version, resource in _named(rule)[:MOST]:
            one = _built_in(group, version, resource) or await _custom(group, version, resource, ctx)
            if one is not None:
                found[one[0]] = one[1]
    return sorted(found.items(), key=lambda one: (one[0].group, one[0].version, one[0].kind))


def _named(rule: NamedRuleWithOperations) -> list[tuple[str, str, str]]:
    if any("*" in text for text in (*rule.apiGroups, *rule.apiVersions)):
        return []
    plain = sorted(name for name in rule.resources if "*" not in name and "/" not in name)
    return [(g, v, r) for g in sorted(rule.apiGroups) for v in sorted(rule.apiVersions) for r in plain]


def _built_in(group: str, version: str, resource: str) -> tuple[GroupVersionKind, Type] | None:
    for known in facts.resources():
        if (known.group, known.version, known.plural) == (group, version, resource):
            found = of_kind(known.gvk)
            return None if found is None else (known.gvk, found)
    return None


def of_params(kind: ParamKind) -> Type:
    """Of the objects that bindings name; any for kinds that are not built in."""
    return of_kind(GroupVersionKind(*split_api_version(kind.apiVersion), kind.kind)) or ANY
