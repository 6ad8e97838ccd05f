"""ResourceQuota: how much a namespace may use together. The quota admission counts; here is what may be asked."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, spec, status
from pybernetes.apiserver.validation.amounts import amount_value, quota_resource_name, standard_quota
from pybernetes.apiserver.validation.fields import IMMUTABLE, FieldErrors

_ONLY_EXISTS = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_SCOPES = (*_ONLY_EXISTS, "PriorityClass", "VolumeAttributesClass")
_COMPUTE = frozenset({"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
_STORAGE = frozenset({"persistentvolumeclaims", "requests.storage"})
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_EXISTS_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _validate(obj: Object) -> FieldErrors:
    quota = spec(obj)
    yield from _amounts(quota.get("hard") or {}, "spec.hard")
    yield from _scopes(quota)
    if quota.get("scopeSelector") is not None:
        yield from _selector(quota)


def _amounts(amounts: Mapping[str, str], path: str) -> FieldErrors:
    for name, text in amounts.items():
        yield from quota_resource_name(name, f"{path}[{name}]")
        yield from amount_value(name, text, f"{path}[{name}]")


def _fits(scope: str, resource: str) -> bool:
    """Scopes choose Pods, one chooses claims: what is not theirs cannot be counted within them."""
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in _STORAGE
    return scope not in _SCOPES or resource == "pods" or resource in _COMPUTE


def _misfits(scope: str, quota: Mapping[str, Any]) -> int:
    return sum(standard_quota(name) and not _fits(scope, name) for name in quota.get("hard") or ())


def _scopes(quota: Mapping[str, Any]) -> FieldErrors:
    scopes = quota.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            yield invalid_value("spec.scopes", scopes, "unsupported scope")
        for _ in range(_misfits(scope, quota)):
            yield invalid_value("spec.scopes", scopes, "unsupported scope applied to resource")
    yield from _conflicts(set(scopes), scopes)


def _conflicts(seen: set[str], scopes: list[str]) -> FieldErrors:
    for pair in _CONFLICTS:
        if pair <= seen:
            yield invalid_value("spec.scopes", scopes, "conflicting scopes")


def _selector(quota: Mapping[str, Any]) -> FieldErrors:
    at, selector = "spec.scopeSelector.matchExpressions", quota["scopeSelector"]
    seen: set[str] = set()
    for term in selector.get("matchExpressions") or ():
        scope, operator, values = term.get("scopeName") or "", term.get("operator") or "", term.get("values") or []
        if scope not in _SCOPES:
            yield invalid_value(f"{at}.scopeName", scope, "unsupported scope")
        for _ in range(_misfits(scope, quota)):
            yield invalid_value(at, selector, "unsupported scope applied to resource")
        if scope in _ONLY_EXISTS and operator != "Exists":
            yield invalid_value(f"{at}.operator", operator, _EXISTS_TEXT)
        if operator in ("In", "NotIn"):
            if not values:
                yield required(
                    f"{at}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                )
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield invalid_value(f"{at}.values", values, text)
        else:
            yield invalid_value(f"{at}.operator", operator, "not a valid selector operator")
        seen.add(scope)
    yield from _conflicts(seen, quota.get("scopes") or [])


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    scopes = spec(obj).get("scopes") or []
    if set(scopes) != set(spec(old).get("scopes") or []):
        yield invalid_value("spec.scopes", scopes, IMMUTABLE)


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    for field in ("hard", "used"):
        yield from _amounts(status(obj).get(field) or {}, f"status.{field}")


def _used(obj: Object, *, limits: bool) -> str:
    hard, used = status(obj).get("hard") or {}, status(obj).get("used") or {}
    shown = [name for name in sorted(hard) if name.startswith("limits.") == limits]
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in shown)


RESOURCE = Resource(
    group="",
    plural="resourcequotas",
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    generation=False,
    columns=(
        Column("Request", lambda obj: _used(obj, limits=False), description="Used and hard of what is asked for."),
        Column("Limit", lambda obj: _used(obj, limits=True), description="Used and hard of limits."),
        AGE,
    ),
)
