"""Requests and limits of containers."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import FieldError, duplicate, field_forbidden, invalid_value, required
from pybernetes.api.quantity import Quantity, parse
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
HUGE_PAGES = "hugepages-"


def overcommits(name: str) -> bool:
    """Kubernetes' own resources but hugepages may ask for less than their limit."""
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith(HUGE_PAGES)


def is_extended(name: str) -> bool:
    """A resource of a vendor: `example.com/gpu`."""
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def validate_resources(resources: Mapping[str, Any], path: str, claims: frozenset[str] = frozenset()) -> FieldErrors:
    """ResourceRequirements. `claims` are the names of the Pod's resourceClaims."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    yield from resource_list(limits, f"{path}.limits")
    for name, text in requests.items():
        at = f"{path}.requests"
        yield from _entry(name, text, at)
        request, limit = _parsed(text), _parsed(limits.get(name))
        if request is None:
            continue
        if limit is not None:
            if not overcommits(name) and request != limit:
                yield invalid_value(at, text, f"must be equal to {name} limit of {limits[name]}")
            elif request > limit:
                yield invalid_value(at, text, f"must be less than or equal to {name} limit of {limits[name]}")
        elif not overcommits(name):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    yield from _huge_pages({**requests, **limits}, path)
    yield from _claims(resources, path, claims)


def resource_list(amounts: Mapping[str, str], path: str) -> FieldErrors:
    """Names and amounts."""
    for name, text in amounts.items():
        yield from _entry(name, text, path)


def _entry(name: str, text: str, path: str) -> FieldErrors:
    yield from _name(name, f"{path}[{name}]")
    amount = _parsed(text)
    if amount is None:
        return
    if amount.nanos < 0:
        yield invalid_value(f"{path}[{name}]", text, NON_NEGATIVE)
    if is_extended(name) and amount.nanos % 10**9:
        yield invalid_value(f"{path}[{name}]", text, "must be an integer")


def _name(name: str, path: str) -> FieldErrors:
    wrong = list(check(path, name, names.qualified_name(name)))
    yield from wrong
    if wrong:
        return
    if "/" not in name and name not in _STANDARD and not name.startswith(HUGE_PAGES):
        yield invalid_value(path, name, "must be a standard resource type or fully qualified")
        yield invalid_value(path, name, "must be a standard resource for containers")
    elif "/" in name and "kubernetes.io/" in name and not name.startswith("attachable-volumes"):
        yield invalid_value(path, name, "must be a standard resource for containers")


def _parsed(text: str | None) -> Quantity | None:
    try:
        return parse(text) if text is not None else None
    except ValueError:
        return None


def _huge_pages(amounts: Mapping[str, str], path: str) -> FieldErrors:
    if any(name.startswith(HUGE_PAGES) for name in amounts) and not {"cpu", "memory"} & set(amounts):
        yield field_forbidden(path, "HugePages require cpu or memory")


def _claims(resources: Mapping[str, Any], path: str, claims: frozenset[str]) -> FieldErrors:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(resources.get("claims") or ()):
        at, name = f"{path}.claims[{index}]", claim.get("name") or ""
        if not name:
            yield required(f"{at}.name")
            continue
        if (name, claim.get("request") or "") in seen:
            yield duplicate(at, name)
        seen.add((name, claim.get("request") or ""))
        if name not in claims:
            yield FieldError("FieldValueNotFound", f"{at}.name", f'Not found: "{name}"')
