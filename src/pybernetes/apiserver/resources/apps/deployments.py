"""Deployment: replicas of a template, replaced step by step when the template changes."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, ScalePaths
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, selector_text, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable, non_negative, one_of
from pybernetes.apiserver.validation.workloads import (
    default_replicas,
    validate_counts,
    validate_replica_status,
    validate_replica_template,
    validate_selector,
)


def _default(obj: Object) -> None:
    own = default_replicas(obj)
    strategy = own["strategy"] = own.get("strategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        for field in ("maxUnavailable", "maxSurge"):
            if rolling.get(field) is None:
                rolling[field] = "25%"
    for field, value in (("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        if own.get(field) is None:
            own[field] = value


def _prepare(obj: Object, old: Object | None) -> None:
    obj["status"] = (old.get("status") if old is not None else None) or {}


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    yield from validate_counts(own, "revisionHistoryLimit", "progressDeadlineSeconds")
    yield from validate_selector(own)
    yield from validate_replica_template(own, "ReplicaSet")
    yield from _strategy(own.get("strategy") or {})
    deadline = own.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (own.get("minReadySeconds") or 0):
        yield invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy(strategy: Mapping[str, Any]) -> FieldErrors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    yield from one_of("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
    if kind == "Recreate" and rolling is not None:
        yield field_forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    if kind == "RollingUpdate":
        if rolling is None:
            yield required("spec.strategy.rollingUpdate", "this should be defaulted and never be nil")
        else:
            yield from _rolling(rolling, "spec.strategy.rollingUpdate")


def _rolling(rolling: Mapping[str, Any], path: str) -> FieldErrors:
    for field in ("maxUnavailable", "maxSurge"):
        value = rolling.get(field)
        if isinstance(value, str):
            yield from check(f"{path}.{field}", value, names.percent(value))
        else:
            yield from non_negative(f"{path}.{field}", value)
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    if _is_zero(unavailable) and _is_zero(surge):
        yield invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if isinstance(unavailable, str) and not names.percent(unavailable) and int(unavailable[:-1]) > 100:
        yield invalid_value(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%")


def _is_zero(value: int | str | None) -> bool:
    return value == 0 or (isinstance(value, str) and value.rstrip("%").strip("0") == "" and value != "")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    yield from immutable("spec.selector", spec(obj).get("selector"), spec(old).get("selector"))


def _ready(obj: Object) -> str:
    return f"{status(obj).get('readyReplicas', 0)}/{spec(obj).get('replicas', 0)}"


RESOURCE = Resource(
    group="apps",
    plural="deployments",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=validate_replica_status,
    storage_prefix="deployments",
    scale=ScalePaths(),
    columns=(
        Column("Ready", _ready, description="Number of the pod with ready state."),
        Column(
            "Up-to-date",
            lambda obj: status(obj).get("updatedReplicas", 0),
            "integer",
            description="Replicas of the newest template.",
        ),
        Column(
            "Available", lambda obj: status(obj).get("availableReplicas", 0), "integer", description="Usable replicas."
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", lambda obj: selector_text(spec(obj).get("selector")), description="Its pods.", priority=1),
    ),
)
