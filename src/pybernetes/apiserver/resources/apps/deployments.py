"""Deployment: replicas of a template, replaced step by step when the template changes."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, ScalePaths
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, selector_text, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, non_negative, set_missing
from pybernetes.apiserver.validation.meta import keep_labels
from pybernetes.apiserver.validation.workloads import (
    amount_of,
    at_most_all,
    default_replicas,
    int_or_percent,
    validate_collisions,
    validate_fixed_selector,
    validate_parts,
    validate_selected_template,
    validate_selector,
    validate_status_counts,
    warn_workload,
)

_COUNTS = (
    *("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"),
    *("unavailableReplicas", "terminatingReplicas", "collisionCount"),
)


def _default(obj: Object) -> None:
    own = default_replicas(obj)
    strategy = own["strategy"] = own.get("strategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        set_missing(rolling, maxUnavailable="25%", maxSurge="25%")
    set_missing(own, revisionHistoryLimit=10, progressDeadlineSeconds=600)


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    yield from non_negative("spec.replicas", own.get("replicas"))
    yield from validate_selector(own)
    yield from validate_selected_template(own)
    yield from _strategy(own.get("strategy") or {})
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from non_negative(f"spec.{field}", own.get(field))
    deadline = own.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (own.get("minReadySeconds") or 0):
        yield invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy(strategy: Mapping[str, Any]) -> FieldErrors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            yield field_forbidden("spec.strategy.rollingUpdate", text)
    elif kind != "RollingUpdate":
        # Upstream shows its own structure, whose fields have no JSON names.
        shown = {"Type": kind or "", "RollingUpdate": _internal(rolling)}
        yield not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))
    elif rolling is None:
        yield required("spec.strategy.rollingUpdate", "this should be defaulted and never be nil")
    else:
        yield from _rolling(rolling, "spec.strategy.rollingUpdate")


def _internal(rolling: Mapping[str, Any] | None) -> Object | None:
    if rolling is None:
        return None
    return {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}


def _rolling(rolling: Mapping[str, Any], path: str) -> FieldErrors:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from int_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from int_or_percent(f"{path}.maxSurge", surge)
    if not amount_of(unavailable) and not amount_of(surge):
        yield invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from at_most_all(f"{path}.maxUnavailable", unavailable)


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from validate_status_counts(status(obj), _COUNTS)
    yield from validate_parts(status(obj), ("updatedReplicas", "readyReplicas", "availableReplicas"))
    yield from validate_parts(status(obj), ("availableReplicas",), "readyReplicas", "readyReplicas")
    yield from validate_collisions(obj, old)


def _ready(obj: Object) -> str:
    return f"{status(obj).get('readyReplicas', 0)}/{spec(obj).get('replicas', 0)}"


RESOURCE = Resource(
    group="apps",
    plural="deployments",
    default=_default,
    validate=_validate,
    validate_update=validate_fixed_selector,
    prepare_status=keep_labels,
    validate_status=_validate_status,
    warn=warn_workload,
    annotations_count=True,
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
