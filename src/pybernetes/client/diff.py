"""The difference of two Structs of one object as a strategic merge patch. rest.ResourceClient.patch sends it.

Only what differs between the two goes into the patch, lists with a merge key element by element, so that fields that
this release does not know survive. The server applies it with rules.patch; the law is: applied to `old` gives `new`.
(rules.patch.strategic.three_way makes such patches, too, in six times the time, and cannot tell elements apart that
share a merge key; it is for `kubectl apply`, whose patches people read.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pybernetes.api import facts, schema
from pybernetes.api.objects import Object

DIRECTIVE = "$patch"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
ORDER = "$setElementOrder/"


def strategic_diff(old: Struct, new: Struct) -> Object:
    """The patch from `old` to `new`; empty when they say the same."""
    if old == new:
        return {}
    name = schema.type_name(facts.of_struct(type(old)).gvk)
    return _maps(msgspec.to_builtins(old), msgspec.to_builtins(new), schema.get(name) if name else None)


def _maps(old: Mapping[str, Any], new: Mapping[str, Any], info: schema.TypeInfo | None) -> Object:
    """`info` is None for plain maps."""
    patch: Object = {}
    for name in old:
        if name not in new:
            patch[name] = None
    for name, value in new.items():
        before = old.get(name)
        if name in old and before == value:
            continue
        field = info.fields.get(name) if info else None
        if isinstance(before, dict) and isinstance(value, dict):
            patch[name] = _maps(before, value, _type_of(field)) if _granular(field) else value | _replaced()
        elif isinstance(value, list | tuple) and field and "merge" in field.patch_strategies:
            patch |= _lists(name, before or [], value, field)
        else:
            patch[name] = value
    return patch


def _replaced() -> Object:
    return {DIRECTIVE: "replace"}


def _granular(field: schema.Field | None) -> bool:
    return field is None or "replace" not in field.patch_strategies


def _type_of(field: schema.Field | None) -> schema.TypeInfo | None:
    return schema.get(field.ref) if field and field.kind == "object" else None


def _lists(name: str, old: Sequence[Any], new: Sequence[Any], field: schema.Field) -> Object:
    if not field.merge_key:
        return _primitives(name, old, new)
    key = field.merge_key
    before, after = {e.get(key): e for e in old}, {e.get(key): e for e in new}
    if len(before) < len(old) or len(after) < len(new) or None in before or None in after:
        # The merge key does not name the elements apart (a port in TCP and UDP): only the whole list can be said.
        return {name: [*new, _replaced()]}
    info = _type_of(field.item)
    changes: list[Object] = [{key: k, DIRECTIVE: "delete"} for k in before if k not in after]
    for k, element in after.items():
        if k not in before:
            changes.append(element)
        elif before[k] != element:
            changes.append({key: k} | _maps(before[k], element, info))
    patch: Object = {name: changes} if changes else {}
    if len(after) > 1:
        # Without it, the server puts what the patch names in front.
        patch[ORDER + name] = [{key: k} for k in after]
    return patch


def _primitives(name: str, old: Sequence[Any], new: Sequence[Any]) -> Object:
    """Sets of words, as finalizers: what was added and what was removed, nothing about the rest."""
    patch: Object = {}
    added = [e for e in new if e not in old]
    removed = [e for e in old if e not in new]
    if added:
        patch[name] = added
    if removed:
        patch[DELETE_PRIMITIVES + name] = removed
    return patch
