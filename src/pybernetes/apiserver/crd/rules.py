"""What a schema in a CustomResourceDefinition may say: structural, with defaults that fit, with extensions that make sense.

Three walks, as upstream's: the structure, the defaults where that is sound, then everything about single levels.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pybernetes.api.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.crd import formats, regexp
from pybernetes.apiserver.crd.paths import BadPath, field_path
from pybernetes.apiserver.crd.shaping import pruned_default
from pybernetes.apiserver.crd.structural import META_FIELDS, Raw, Structural
from pybernetes.apiserver.crd.validation import faults_of

Faults = Iterator[FieldError]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_PRESERVE, _EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
_INT_OR_STRING, _LIST_TYPE = "x-kubernetes-int-or-string", "x-kubernetes-list-type"
_MAP_KEYS, _MAP_TYPE, _RULES = "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations"
_UNTYPED = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_INT_OR_STRING_TYPES = [{"type": "integer"}, {"type": "string"}]
_GENERIC = {
    **{"type": "must be empty", "default": "must be undefined", "title": "must be empty"},
    **{"description": "must be empty", "nullable": "must be false", "externalDocs": "must be undefined"},
    **{_PRESERVE: "must be false", _EMBEDDED: "must be false", _INT_OR_STRING: "must be false"},
    **{_MAP_KEYS: "must be empty", _LIST_TYPE: "must be undefined", _MAP_TYPE: "must be undefined"},
    **{_RULES: "must be empty"},
}
"""What only structure may say, and what it must be inside of junctors."""
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ROOT_WITH_STATUS = (
    *("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum"),
    *("MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items"),
    *("Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations"),
)
_GO_NAMES = {"$schema": "Schema", "$ref": "Ref", _PRESERVE: "XPreserveUnknownFields", _RULES: "XValidations"}


class Leniency(Struct, frozen=True):
    """What an update need not mend, because it was stored so: rules came later than some definitions."""

    structural: bool = True
    """Schemas must be structural."""
    pruned_defaults: bool = True
    types: bool = True
    atomic_sets: bool = True
    map_keys: bool = True


def leniency(old: list[Raw]) -> Leniency:
    """What the stored schemas allow."""
    return Leniency(
        structural=not any(list(structure(raw, "")) for raw in old),
        pruned_defaults=not any(_has(raw, _unpruned) for raw in old),
        types=not any(_has(raw, lambda one: one.get("type", "object") not in _TYPES) for raw in old),
        atomic_sets=not any(_has(raw, lambda one: bool(list(_set_items(one, "")))) for raw in old),
        map_keys=not any(_has(raw, lambda one: bool(list(_keys_given(one, "")))) for raw in old),
    )


def schema_faults(raw: Raw, path: str, *, status: bool, lenient: Leniency) -> Faults:
    """All faults of a version's openAPIV3Schema. `status`: the status subresource is on."""
    if status:
        yield from _root_with_status(raw, path)
    if raw.get("nullable"):
        yield field_forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    if lenient.structural:
        found = sorted(structure(raw, path), key=str)
        yield from found or default_faults(Structural({**raw, _EMBEDDED: True}), path, lenient)
    yield from level(raw, path, _Place(root=True), lenient)


def _root_with_status(raw: Raw, path: str) -> Faults:
    if raw.get("type", "object") != "object":
        why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        yield invalid_value(f"{path}.type", raw["type"], why)
        return
    for name in raw:
        go_name = _GO_NAMES.get(name) or name[:1].upper() + name[1:]
        if go_name not in _ROOT_WITH_STATUS:
            listed = f"[{' '.join(_ROOT_WITH_STATUS)}]"
            why = f"only {listed} fields are allowed at the root of the schema if the status subresource is enabled"
            yield invalid_value(path, raw, why)
            return


def unknown_formats(raw: Raw) -> list[str]:
    """Formats of strings that demand nothing, each once: worth a warning."""
    found: dict[str, None] = {}

    def look(level: Raw) -> bool:
        name = level.get("format", "")
        if name and level.get("type") == "string" and formats.check_of(name) is None:
            found[name] = None
        return False

    _has(raw, look)
    return list(found)


# --- structure


def structure(raw: Raw, path: str) -> Faults:
    """Why a schema is not structural."""
    yield from _invariants(raw, path, "root")
    yield from _complete(raw, raw, path)


def _invariants(raw: Raw, path: str, where: str) -> Faults:
    items, properties, additional = raw.get("items"), raw.get("properties") or {}, raw.get("additionalProperties")
    kind = raw.get("type", "")
    if kind == "array" and items is None:
        yield required(f"{path}.items", "must be specified")
    if isinstance(items, Mapping):
        yield from _invariants(items, f"{path}.items", "item")
    for name, child in properties.items():
        yield from _invariants(child, f"{path}.properties[{name}]", "field")
    if additional is not None:
        if where == "root":
            yield field_forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, Mapping):
            yield from _invariants(additional, f"{path}.additionalProperties", "field")
    if raw.get(_INT_OR_STRING):
        for name in (_PRESERVE, _EMBEDDED):
            if raw.get(name):
                yield invalid_value(f"{path}.{name}", True, "must be false if x-kubernetes-int-or-string is true")
    yield from _junctors(raw, path)
    yield from _kind(raw, kind, path, where)
    yield from _meta(raw, path, where)


def _kind(raw: Raw, kind: str, path: str, where: str) -> Faults:
    if raw.get(_EMBEDDED):
        why = "must be object if x-kubernetes-embedded-resource is true"
        if not kind:
            yield required(f"{path}.type", why)
        elif kind != "object":
            yield invalid_value(f"{path}.type", kind, why)
        if raw.get("additionalProperties") is not None:
            why = "must not be used if x-kubernetes-embedded-resource is set"
            yield field_forbidden(f"{path}.additionalProperties", why)
        if not raw.get(_PRESERVE) and not raw.get("properties"):
            why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
            yield required(f"{path}.properties", why)
    elif not kind and not raw.get(_INT_OR_STRING) and not raw.get(_PRESERVE):
        yield required(f"{path}.type", _UNTYPED[where])
    if where == "root" and kind and kind != "object":
        yield invalid_value(f"{path}.type", kind, "must be object at the root")


def _meta(raw: Raw, path: str, where: str) -> Faults:
    properties = raw.get("properties") or {}
    checked = where == "root" or bool(raw.get(_EMBEDDED))
    for name in ("kind", "apiVersion"):
        if checked and name in properties and properties[name].get("type", "") != "string":
            yield invalid_value(f"{path}.properties[{name}].type", properties[name].get("type", ""), "must be string")
    metadata = properties.get("metadata")
    if metadata is None or not checked:
        return
    here = f"{path}.properties[metadata]"
    if metadata.get("type", "") != "object":
        yield invalid_value(f"{here}.type", metadata.get("type", ""), "must be object")
    if where == "root":
        rest = {name for name in metadata if name not in ("type", "default", "description", "title")}
        named = set(metadata.get("properties") or {})
        if rest - {"properties"} or named - {"name", "generateName"} or metadata.keys() & {"description", "title"}:
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield field_forbidden(here, why)


def _junctors(raw: Raw, path: str, *, any_of_first: bool = False) -> Faults:
    """Faults inside of allOf, anyOf, oneOf and not, which may restrict and never describe."""
    if raw.get("anyOf") != _INT_OR_STRING_TYPES and not any_of_first:
        for index, part in enumerate(raw.get("anyOf") or ()):
            yield from _nested(part, f"{path}.anyOf[{index}]")
    parts = raw.get("allOf") or ()
    for index, part in enumerate(parts):
        first = index == 0 and part.get("anyOf") == _INT_OR_STRING_TYPES
        yield from _nested(part, f"{path}.allOf[{index}]", any_of_first=first)
    for index, part in enumerate(raw.get("oneOf") or ()):
        yield from _nested(part, f"{path}.oneOf[{index}]")
    if raw.get("not") is not None:
        yield from _nested(raw["not"], f"{path}.not")
    pattern = raw.get("pattern")
    if pattern:
        try:
            regexp.compiled(pattern)
        except regexp.BadPattern as error:
            why = f"must be a valid regular expression, but isn't: {error}"
            yield invalid_value(f"{path}.pattern", pattern, why)


def _nested(raw: Raw, path: str, *, any_of_first: bool = False) -> Faults:
    yield from _junctors(raw, path, any_of_first=any_of_first)
    if isinstance(raw.get("items"), Mapping):
        yield from _nested(raw["items"], f"{path}.items")
    properties = raw.get("properties") or {}
    for name, child in properties.items():
        yield from _nested(child, f"{path}.properties[{name}]")
    for name, why in _GENERIC.items():
        if raw.get(name) is not None and raw[name] != "":
            yield field_forbidden(f"{path}.{name}", f"{why} to be structural")
    if raw.get("additionalProperties") is not None:
        yield field_forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    if "metadata" in properties:
        yield field_forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _complete(raw: Raw, whole: Raw, path: str) -> Faults:
    """Every field and item that a junctor speaks of must be described outside of it."""
    for name, child in (raw.get("properties") or {}).items():
        yield from _complete(child, child, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(raw.get(name), Mapping):
            yield from _complete(raw[name], raw[name], f"{path}.{name}")
    yield from _described(raw, whole, path)


def _described(raw: Raw, whole: Raw, path: str) -> Faults:
    for name in ("allOf", "anyOf", "oneOf"):
        for part in raw.get(name) or ():
            yield from _part_described(part, whole, path)
    if raw.get("not") is not None:
        yield from _part_described(raw["not"], whole, path)


def _part_described(part: Raw, whole: Raw, path: str) -> Faults:
    yield from _described(part, whole, path)
    why = "because it is defined in "
    for name, child in (part.get("properties") or {}).items():
        described = (whole.get("properties") or {}).get(name)
        if described is None:
            yield required(f"{path}.properties[{name}]", f"{why}{path}.properties[{name}]")
        else:
            yield from _part_described(child, described, f"{path}.properties[{name}]")
    items = part.get("items")
    if isinstance(items, Mapping):
        if not isinstance(whole.get("items"), Mapping):
            yield required(f"{path}.items", f"{why}{path}.items")
        else:
            yield from _part_described(items, whole["items"], f"{path}.items")


# --- defaults


def default_faults(schema: Structural, path: str, lenient: Leniency, *, in_meta: bool = False) -> Faults:
    """Defaults that their own schema would prune or refuse."""
    default = schema.default
    if default is not None:
        where = f"{path}.default"
        if not in_meta and lenient.pruned_defaults and not pruned_default(default, schema):
            yield invalid_value(where, default, "must not have unknown fields")
        yield from faults_of(default, schema, where)
    inside = in_meta and not schema.embedded
    if schema.items is not None:
        yield from default_faults(schema.items, f"{path}.items", lenient, in_meta=inside)
    for name, child in schema.properties.items():
        meta = inside or (schema.embedded and name in META_FIELDS)
        yield from default_faults(child, f"{path}.properties[{name}]", lenient, in_meta=meta)


def _unpruned(raw: Raw) -> bool:
    return raw.get("default") is not None and not pruned_default(raw["default"], Structural(raw))


# --- single levels


class _Place(Struct, frozen=True):
    """Where a level is: what may not be said there."""

    root: bool = False
    in_meta: bool = False
    no_defaults: str = ""
    """Why; empty where they are allowed."""


def level(raw: Raw, path: str, place: _Place, lenient: Leniency) -> Faults:
    """Faults of one level and of those below."""
    yield from _plain(raw, path, place, lenient)
    additional, properties = raw.get("additionalProperties"), raw.get("properties") or {}
    if raw.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield field_forbidden(f"{path}.uniqueItems", why)
    if additional is not None and properties and additional is not True:
        why = "additionalProperties and properties are mutual exclusive"
        yield field_forbidden(f"{path}.additionalProperties", why)
    inner = replace(place, root=False)
    if isinstance(additional, Mapping):
        below = replace(inner, no_defaults="inside additionalProperties applying to object metadata")
        yield from level(additional, f"{path}.additionalProperties", below if place.in_meta else inner, lenient)
    for name, child in properties.items():
        below = inner
        if name in META_FIELDS and (place.root or raw.get(_EMBEDDED)):
            below = replace(inner, in_meta=True)
            if place.root:
                below = replace(below, no_defaults=f"in top-level {name}")
        yield from level(child, f"{path}.properties[{name}]", below, lenient)
    if raw.get("not") is not None:
        yield from level(raw["not"], f"{path}.not", inner, lenient)
    for name in ("allOf", "oneOf", "anyOf"):
        for index, part in enumerate(raw.get(name) or ()):
            yield from level(part, f"{path}.{name}[{index}]", inner, lenient)
    if isinstance(raw.get("items"), Mapping):
        yield from level(raw["items"], f"{path}.items", inner, lenient)
    yield from _extensions(raw, path, lenient)
    yield from _rules(raw, path)


def _plain(raw: Raw, path: str, place: _Place, lenient: Leniency) -> Faults:
    kind = raw.get("type", "")
    if lenient.types and kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if raw.get("default") is not None and place.no_defaults:
        yield field_forbidden(f"{path}.default", f"must not be set {place.no_defaults}")
    for name in _UNSUPPORTED:
        if raw.get(name) is not None:
            yield field_forbidden(f"{path}.{name}", f"{name} is not supported")
    if kind == "null":
        yield field_forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(raw.get("items"), list):
        yield field_forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_meta and raw.get(_EMBEDDED):
        yield field_forbidden(f"{path}.{_EMBEDDED}", "must not be used inside of resource meta")


def _extensions(raw: Raw, path: str, lenient: Leniency) -> Faults:
    kind, list_type, map_type = raw.get("type", ""), raw.get(_LIST_TYPE), raw.get(_MAP_TYPE)
    if raw.get(_PRESERVE) is False:
        yield invalid_value(f"{path}.{_PRESERVE}", False, "must be true or undefined")
    yield from _of_kind(kind, "object", _MAP_TYPE if map_type is not None else "", path)
    if map_type is not None and map_type not in ("atomic", "granular"):
        yield not_supported(f"{path}.{_MAP_TYPE}", map_type, ("atomic", "granular"))
    yield from _of_kind(kind, "array", _LIST_TYPE if list_type is not None else "", path)
    if kind == "array" and lenient.atomic_sets:
        yield from _set_items(raw, path)
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.{_LIST_TYPE}", list_type, ("atomic", "set", "map"))
    if raw.get(_MAP_KEYS):
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        if list_type is None:
            yield required(f"{path}.{_LIST_TYPE}", why)
        elif list_type != "map":
            yield invalid_value(f"{path}.{_LIST_TYPE}", list_type, why)
    if list_type == "map":
        yield from _list_map(raw, path)
    if lenient.map_keys:
        yield from _keys_given(raw, path)


def _of_kind(kind: str, wanted: str, extension: str, path: str) -> Faults:
    if extension and kind != wanted:
        why = f"must be {wanted} if {extension} is specified"
        yield invalid_value(f"{path}.type", kind, why) if kind else required(f"{path}.type", why)


def _set_items(raw: Raw, path: str) -> Faults:
    item = raw.get("items")
    if raw.get(_LIST_TYPE) != "set" or not isinstance(item, Mapping):
        return
    why = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if item.get("type") == "array" and item.get(_LIST_TYPE) not in (None, "atomic"):
        yield invalid_value(f"{path}.items.{_LIST_TYPE}", item.get(_LIST_TYPE), why)
    if item.get("type") == "object" and item.get(_MAP_TYPE) != "atomic":
        yield invalid_value(f"{path}.items.{_MAP_TYPE}", item.get(_LIST_TYPE), why)


def _list_map(raw: Raw, path: str) -> Faults:
    keys, items = raw.get(_MAP_KEYS) or [], raw.get("items")
    if not keys:
        yield required(f"{path}.{_MAP_KEYS}", "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if not isinstance(items, Mapping):
        why = "must only have a single schema if x-kubernetes-list-type is map"
        yield invalid_value(f"{path}.items", items, why)
        return
    if items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid_value(f"{path}.items.type", items.get("type", ""), why)
        return
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            yield invalid_value(f"{path}.{_MAP_KEYS}", keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid_value(f"{path}.items.properties[{key}].type", items["type"], why)
        if key in keys[:index]:
            yield invalid_value(f"{path}.{_MAP_KEYS}", keys, "must not contain duplicate entries")


def _keys_given(raw: Raw, path: str) -> Faults:
    """Items of sets and maps are there, and so is what names them."""
    item, list_type = raw.get("items"), raw.get(_LIST_TYPE)
    if not isinstance(item, Mapping) or list_type not in ("set", "map"):
        return
    if item.get("nullable"):
        yield field_forbidden(
            f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        )
    if list_type == "set":
        return
    for key in raw.get(_MAP_KEYS) or ():
        child = (item.get("properties") or {}).get(key)
        if child is None:
            continue
        here, why = f"{path}.items.properties[{key}]", "this property is in x-kubernetes-list-map-keys, so it "
        if key not in (item.get("required") or ()) and child.get("default") is None:
            yield required(f"{here}.default", f"{why}must have a default or be a required property")
        if child.get("nullable"):
            yield field_forbidden(f"{here}.nullable", f"{why}cannot be nullable")


def _rules(raw: Raw, path: str) -> Faults:
    """x-kubernetes-validations: their shape. Whether an expression compiles is not asked here."""
    for index, rule in enumerate(raw.get(_RULES) or ()):
        here = f"{path}.{_RULES}[{index}]"
        text, message = rule.get("rule", ""), rule.get("message", "")
        if not text.strip():
            yield required(f"{here}.rule", "rule is not specified")
        elif message and not message.strip():
            yield invalid_value(f"{here}.message", message, "message must be non-empty if specified")
        elif _broken(message.strip()):
            yield invalid_value(f"{here}.message", message, "message must not contain line breaks")
        elif _broken(text.strip()) and not message.strip():
            yield required(f"{here}.message", "message must be specified if rule contains line breaks")
        expression, where = rule.get("messageExpression", ""), rule.get("fieldPath", "")
        if expression and not expression.strip():
            yield required(f"{here}.messageExpression", "messageExpression must be non-empty if specified")
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            yield not_supported(f"{here}.reason", rule["reason"], _REASONS)
        if where and not where.strip():
            yield invalid_value(f"{here}.fieldPath", where, "fieldPath must be non-empty if specified")
        if _broken(where):
            yield invalid_value(f"{here}.fieldPath", where, "fieldPath must not contain line breaks")
        if where:
            try:
                field_path(where, Structural(raw), arrays=True)
            except BadPath:
                yield invalid_value(f"{here}.fieldPath", where, "fieldPath must be a valid path")


def _broken(text: str) -> bool:
    return "\n" in text or "\r" in text


def _has(raw: Any, asked: Callable[[Raw], bool]) -> bool:
    """Whether any level of a schema is such."""
    if not isinstance(raw, Mapping):
        return False
    if asked(raw):
        return True
    children = [raw.get(name) for name in ("items", "not", "additionalProperties")]
    children += (raw.get("properties") or {}).values()
    for name in ("allOf", "anyOf", "oneOf"):
        children += raw.get(name) or ()
    return any(_has(child, asked) for child in children)
