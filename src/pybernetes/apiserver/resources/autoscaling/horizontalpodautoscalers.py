"""HorizontalPodAutoscaler: how many replicas, by what is measured. Stored as autoscaling/v2, shown as v1 too."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Alias, Column, Resource
from pybernetes.apiserver.resources._columns import AGE, NONE, spec, status
from pybernetes.apiserver.resources.autoscaling import _v1
from pybernetes.apiserver.validation.autoscaling import validate_autoscaler
from pybernetes.apiserver.validation.fields import FieldErrors, each, non_negative, set_missing
from pybernetes.apiserver.validation.workloads import validate_status_counts

_UNKNOWN = "<unknown>"
_SHOWN = 2
"""Metrics in a table."""


def _default(obj: Object) -> None:
    own = obj["spec"] = obj.get("spec") or {}
    set_missing(own, minReplicas=1)
    if not own.get("metrics"):
        own["metrics"] = [_v1.cpu(_v1.CPU_DEFAULT)]
    behavior = own.get("behavior")
    if behavior is not None:
        up = [_policy("Pods", 4), _policy("Percent", 100)]
        _default_rules(behavior, "scaleUp", stabilizationWindowSeconds=0, selectPolicy="Max", policies=up)
        _default_rules(behavior, "scaleDown", selectPolicy="Max", policies=[_policy("Percent", 100)])
    if obj.get("metadata"):
        obj["metadata"] = _v1.without_notes(obj)["metadata"]


def _policy(kind: str, value: int) -> Object:
    return {"type": kind, "value": value, "periodSeconds": 15}


def _default_rules(behavior: Object, direction: str, **values: Any) -> None:
    rules = behavior[direction] = behavior.get(direction) or {}
    set_missing(rules, **values)


def _validate(obj: Object) -> FieldErrors:
    yield from validate_autoscaler(spec(obj))


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from validate_status_counts(status(obj), ("currentReplicas", "desiredReplicas"))
    for at, condition in each(status(obj), "conditions", "status"):
        yield from non_negative(f"{at}.observedGeneration", condition.get("observedGeneration"))


# --- table


def _reference(obj: Object) -> str:
    target = spec(obj).get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _targets(obj: Object) -> str:
    """`cpu: <unknown>/80%, 12/100 (avg) + 1 more...`."""
    metrics, current = spec(obj).get("metrics") or (), status(obj).get("currentMetrics") or ()
    texts = [_metric(metric, current[at] if at < len(current) else {}) for at, metric in enumerate(metrics)]
    if not texts:
        return NONE
    more = f" + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _metric(metric: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    kind = metric.get("type") or ""
    field = kind[:1].lower() + kind[1:]
    if field not in ("object", "pods", "resource", "containerResource", "external"):
        return "<unknown type>"
    source, seen = metric.get(field) or {}, (current.get(field) or {}).get("current") or {}
    target = source.get("target") or {}
    average = target.get("averageValue")
    if "esource" in field:
        name = source.get("name", "")
        if average is not None:
            return f"{name}: {seen.get('averageValue') or _UNKNOWN}/{average}"
        used, wanted = seen.get("averageUtilization"), target.get("averageUtilization")
        return f"{name}: {_percent(used, _UNKNOWN)}/{_percent(wanted, '<auto>')}"
    if field == "pods":
        return f"{seen.get('averageValue') or _UNKNOWN}/{average}"
    if average is not None:
        return f"{seen.get('averageValue') or _UNKNOWN}/{average} (avg)"
    return f"{seen.get('value') or _UNKNOWN}/{target.get('value')}"


def _percent(value: int | None, absent: str) -> str:
    return absent if value is None else f"{value}%"


def _least(obj: Object) -> str:
    return str(spec(obj).get("minReplicas", "<unset>"))


def _columns(old: bool) -> tuple[Column, ...]:
    def targets(obj: Object) -> str:
        return _targets(_v1.write(obj) if old else obj)

    return (
        Column("Reference", _reference, description="What is scaled."),
        Column("Targets", targets, description="What is measured, and what is wanted."),
        Column("MinPods", _least, description="The fewest replicas."),
        Column("MaxPods", lambda obj: spec(obj).get("maxReplicas", 0), description="The most replicas."),
        Column("Replicas", lambda obj: status(obj).get("currentReplicas", 0), description="Replicas there are."),
        AGE,
    )


RESOURCE = Resource(
    group="autoscaling",
    plural="horizontalpodautoscalers",
    version="v2",
    default=_default,
    validate=_validate,
    validate_status=_validate_status,
    columns=_columns(old=False),
    also=(Alias(group="autoscaling", version="v1", read=_v1.read, write=_v1.write, columns=_columns(old=True)),),
)
