"""HorizontalPodAutoscalers as autoscaling/v1 shows them: one number for the CPU, all else as JSON in annotations."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pybernetes.api.canonical import canonicalize
from pybernetes.api.errors import BadRequest
from pybernetes.api.objects import Object

_ALPHA = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT, BEHAVIOR, CONDITIONS = (
    *(f"{_ALPHA}metrics", f"{_ALPHA}current-metrics"),
    *(f"{_ALPHA}behavior", f"{_ALPHA}conditions"),
)
ANNOTATIONS = frozenset({METRICS, CURRENT, BEHAVIOR, CONDITIONS})
_V2 = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"
_COMMON = ("scaleTargetRef", "minReplicas", "maxReplicas")
_COMMON_STATUS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_SOURCES = ("object", "pods", "resource", "containerResource", "external")
CPU_DEFAULT = 80
"""Percent."""


def cpu(utilization: int) -> Object:
    """The metric that targetCPUUtilizationPercentage stands for."""
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def without_notes(obj: Object) -> Object:
    """The object without the annotations that only v1 has."""
    meta: Object = obj.get("metadata") or {}
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in ANNOTATIONS}
    meta = {key: value for key, value in meta.items() if key != "annotations"}
    return {**obj, "metadata": {**meta, "annotations": notes} if notes else meta}


# --- v2 as v1


def read(obj: Object) -> Object:
    """The stored v2 form as v1."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    own, shown = _taken(spec, _COMMON), _taken(status, _COMMON_STATUS)
    others = []
    for metric in spec.get("metrics") or ():
        percent = _cpu_percent(metric, "target")
        if percent is None:
            others.append(_old_metric(metric, "target"))
        else:
            own.setdefault("targetCPUUtilizationPercentage", percent)
    current = status.get("currentMetrics") or ()
    for metric in current:
        percent = _cpu_percent(metric, "current")
        if percent is not None:
            shown["currentCPUUtilizationPercentage"] = percent
    notes = {
        METRICS: others,
        CURRENT: [_old_metric(metric, "current") for metric in current],
        BEHAVIOR: _old_behavior(spec.get("behavior")),
        CONDITIONS: status.get("conditions"),
    }
    bare = without_notes(obj)
    texts = {key: orjson.dumps(value).decode() for key, value in notes.items() if value}
    if texts:
        meta = bare["metadata"]
        bare["metadata"] = {**meta, "annotations": {**(meta.get("annotations") or {}), **texts}}
    return {**bare, "spec": own, "status": shown}


def _taken(source: Mapping[str, Any], fields: tuple[str, ...]) -> Object:
    return {field: source[field] for field in fields if field in source}


def _cpu_percent(metric: Mapping[str, Any], part: str) -> int | None:
    source = metric.get("resource") or {}
    if metric.get("type") != "Resource" or source.get("name") != "cpu":
        return None
    percent: int | None = (source.get(part) or {}).get("averageUtilization")
    return percent


def _old_metric(metric: Mapping[str, Any], part: str) -> Object:
    """A metric of v2 as v1's annotation has it; `part` is target or current."""
    found: Object = {"type": metric.get("type", "")}
    for kind in _SOURCES:
        if metric.get(kind) is not None:
            old = _OLD[kind](metric[kind], metric[kind].get(part) or {}, part)
            found[kind] = {name: value for name, value in old.items() if value is not None}
    return found


def _old_object(source: Mapping[str, Any], amount: Mapping[str, Any], part: str) -> Object:
    metric = source.get("metric") or {}
    return {
        "target": source.get("describedObject"),
        "metricName": metric.get("name", ""),
        f"{part}Value": amount.get("value") or "0",
        "selector": metric.get("selector"),
        "averageValue": amount.get("averageValue"),
    }


def _old_pods(source: Mapping[str, Any], amount: Mapping[str, Any], part: str) -> Object:
    metric = source.get("metric") or {}
    average = amount.get("averageValue") or "0"
    return {"metricName": metric.get("name", ""), f"{part}AverageValue": average, "selector": metric.get("selector")}


def _old_resource(source: Mapping[str, Any], amount: Mapping[str, Any], part: str) -> Object:
    average = amount.get("averageValue")
    return {
        "name": source.get("name", ""),
        f"{part}AverageUtilization": amount.get("averageUtilization"),
        f"{part}AverageValue": average if part == "target" else average or "0",
        "container": source.get("container"),
    }


def _old_external(source: Mapping[str, Any], amount: Mapping[str, Any], part: str) -> Object:
    metric, value = source.get("metric") or {}, amount.get("value")
    return {
        "metricName": metric.get("name", ""),
        "metricSelector": metric.get("selector"),
        f"{part}Value": value if part == "target" else value or "0",
        f"{part}AverageValue": amount.get("averageValue"),
    }


_OLD: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], str], Object]] = {
    "object": _old_object,
    "pods": _old_pods,
    "resource": _old_resource,
    "containerResource": _old_resource,
    "external": _old_external,
}


def _old_behavior(behavior: Mapping[str, Any] | None) -> Object | None:
    """Upstream writes its own structure there, whose fields have no JSON names and are all there."""
    if behavior is None:
        return None
    return {_capital(direction): _old_rules(behavior.get(direction)) for direction in ("scaleUp", "scaleDown")}


def _old_rules(rules: Mapping[str, Any] | None) -> Object | None:
    if rules is None:
        return None
    fields = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
    found = {_capital(field): rules.get(field) for field in fields}
    if found["Policies"] is not None:
        found["Policies"] = [{_capital(key): value for key, value in policy.items()} for policy in found["Policies"]]
    return found


def _capital(field: str) -> str:
    return field[0].upper() + field[1:]


# --- v1 as v2


def write(obj: Object) -> Object:
    """A v1 form as v2. Annotations that cannot be read count for nothing."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    own, shown = _taken(spec, _COMMON), _taken(status, _COMMON_STATUS)
    metrics = _told(notes.get(METRICS), lambda told: ("spec", "metrics", _new_metrics(told, "target"))) or []
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None:
        metrics.append(cpu(percent))
    own["metrics"] = metrics or [cpu(CPU_DEFAULT)]
    behavior = _told(notes.get(BEHAVIOR), lambda told: ("spec", "behavior", _lower(told)))
    if behavior is not None:
        own["behavior"] = behavior
    current = _told(notes.get(CURRENT), lambda told: ("status", "currentMetrics", _new_metrics(told, "current")))
    used = status.get("currentCPUUtilizationPercentage")
    if current is None and used is not None:
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}]
    shown["currentMetrics"] = current
    conditions = _told(notes.get(CONDITIONS), lambda told: ("status", "conditions", told))
    if conditions is not None:
        shown["conditions"] = conditions
    return {**without_notes(obj), "spec": own, "status": shown}


def _told(text: str | None, place: Callable[[Any], tuple[str, str, Any]]) -> Any:
    """What an annotation says, as canonical v2; None where it says nothing that fits."""
    if text is None:
        return None
    try:
        part, field, value = place(orjson.loads(text))
        found = canonicalize({part: {field: value}}, _V2).object
    except (ValueError, TypeError, AttributeError, BadRequest):
        return None
    return (found.get(part) or {}).get(field)


def _lower(value: Any) -> Any:
    """Go reads field names in any case."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: _lower(item) for key, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value


def _new_metrics(told: Any, part: str) -> list[Object] | None:
    return None if told is None else [_new_metric(metric, part) for metric in told]


def _new_metric(old: Mapping[str, Any], part: str) -> Object:
    found: Object = {"type": old.get("type")}
    for kind in _SOURCES:
        source = old.get(kind)
        if source is None:
            continue
        amount = {
            "value": source.get(f"{part}Value"),
            "averageValue": source.get("averageValue") or source.get(f"{part}AverageValue"),
            "averageUtilization": source.get(f"{part}AverageUtilization"),
        }
        new: Object = {part: amount}
        if kind in ("resource", "containerResource"):
            new |= {"name": source.get("name"), "container": source.get("container")}
        else:
            selector = source.get("selector") or source.get("metricSelector")
            new["metric"] = {"name": source.get("metricName"), "selector": selector}
        if kind == "object":
            new["describedObject"] = source.get("target")
            if amount["averageValue"] is not None and str(amount["value"]) in ("0", "None"):
                amount["value"] = None  # v1 cannot leave it out
        if part == "target":
            amount["type"] = _target_type(kind, amount)
        found[kind] = new
    return found


def _target_type(kind: str, amount: Mapping[str, Any]) -> str:
    if kind in ("resource", "containerResource"):
        return "AverageValue" if amount["averageUtilization"] is None else "Utilization"
    if kind == "external":
        return "AverageValue" if amount["value"] is None else "Value"
    return "Value" if kind == "object" and amount["averageValue"] is None else "AverageValue"
