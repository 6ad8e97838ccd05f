"""metav1.Condition lists, as the newer kinds keep them in their status."""

import re
from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import duplicate, invalid_value, not_supported, required, too_long
from pybernetes.apiserver.validation.fields import FieldErrors, check, each

_STATES = ("False", "True", "Unknown")
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters"
    " or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or"
    f" 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)
_REASON_LIMIT = 1024
_MESSAGE_LIMIT = 32 * 1024


def validate_conditions(status: Mapping[str, Any], path: str = "status") -> FieldErrors:
    """`conditions` of a status: each type once, all parts set and in form."""
    seen: set[str] = set()
    for at, condition in each(status, "conditions", path):
        kind = condition.get("type") or ""
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
        yield from _condition(condition, kind, at)


def _condition(condition: Mapping[str, Any], kind: str, path: str) -> FieldErrors:
    yield from check(f"{path}.type", kind, names.qualified_name(kind))
    state = condition.get("status") or ""
    if state not in _STATES:
        yield not_supported(f"{path}.status", state, _STATES)
    generation = condition.get("observedGeneration") or 0
    if generation < 0:
        yield invalid_value(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime")
    reason = condition.get("reason") or ""
    if not reason:
        yield required(f"{path}.reason")
    else:
        if not re.fullmatch(_REASON, reason):
            yield invalid_value(f"{path}.reason", reason, _REASON_TEXT)
        if len(reason.encode()) > _REASON_LIMIT:
            yield too_long(f"{path}.reason", _REASON_LIMIT)
    if len((condition.get("message") or "").encode()) > _MESSAGE_LIMIT:
        yield too_long(f"{path}.message", _MESSAGE_LIMIT)


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the status of an object has a condition of this type with status True."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == kind and c.get("status") == "True" for c in found)
