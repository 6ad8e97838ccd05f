"""JSON Merge Patch, RFC 7386: null deletes, lists are replaced. Content type application/merge-patch+json."""

from typing import Any

from pybernetes.api.objects import Object
from pybernetes.rules.patch.document import copied, equal, rejected


def apply(document: Object, patch: Any) -> Object:
    """The document after the patch; it shares what is unchanged with `document`. Raises Invalid for no object."""
    if not isinstance(patch, dict):
        raise rejected("a merge patch is an object")
    merged: Object = _merged(document, patch)
    return merged


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def three_way(original: Object, modified: Object, current: Object) -> Object:
    """The merge patch of `kubectl apply`: what `modified` wants otherwise than `current`, and what it no longer has.

    `original` is what was applied last time; a field that neither it nor `modified` has belongs to others.
    """
    patch: Object = {key: None for key in original if key not in modified}
    for key, wanted in modified.items():
        if wanted is None:
            continue
        there = current.get(key)
        if isinstance(wanted, dict) and isinstance(there, dict):
            before = original.get(key)
            inner = three_way(before if isinstance(before, dict) else {}, wanted, there)
            if inner:
                patch[key] = inner
        elif key not in current or not equal(wanted, there):
            patch[key] = copied(wanted)
    return patch
