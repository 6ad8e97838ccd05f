"""spec of HorizontalPodAutoscalers, in the form of autoscaling/v2."""

from collections.abc import Callable, Mapping
from typing import Any

from pybernetes.api import names
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.apiserver.validation.amounts import container_resource_name, quantity
from pybernetes.apiserver.validation.fields import NON_NEGATIVE, FieldErrors, check, each, non_negative, reference_name

_WINDOW_LIMIT, _PERIOD_LIMIT = 3600, 1800
"""Seconds."""
_SELECTIONS = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
"""In the order in which upstream looks for them."""
_TARGETS = ("Utilization", "Value", "AverageValue")
_POSITIVE = "must be positive"


def validate_autoscaler(spec: Mapping[str, Any]) -> FieldErrors:
    """All faults of a spec that has its defaults."""
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    yield from non_negative("spec.minReplicas", low)
    if high < 1:
        yield invalid_value("spec.maxReplicas", high, "must be greater than 0")
    if low is not None and high < low:
        yield invalid_value("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    # The one kind of the core group that can be scaled.
    yield from _reference(target, "spec.scaleTargetRef", core=target.get("kind") == "ReplicationController")
    for at, metric in each(spec, "metrics", "spec"):
        yield from _metric(metric, at)
    if low == 0 and not any(metric.get("type") in ("Object", "External") for metric in spec.get("metrics") or ()):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield field_forbidden("spec.metrics", text)
    behavior = spec.get("behavior") or {}
    for direction in ("scaleUp", "scaleDown"):
        if behavior.get(direction) is not None:
            yield from _rules(behavior[direction], f"spec.behavior.{direction}")


def _reference(reference: Mapping[str, Any], path: str, *, core: bool) -> FieldErrors:
    yield from reference_name(f"{path}.kind", reference.get("kind"))
    yield from reference_name(f"{path}.name", reference.get("name"))
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif not core and not version.rpartition("/")[0]:
        yield invalid_value(f"{path}.apiVersion", version, "apiVersion must specify API group")


# --- metrics


def _metric(metric: Mapping[str, Any], path: str) -> FieldErrors:
    kind = metric.get("type") or ""
    known = sorted(_SOURCES)
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    if kind not in _SOURCES:
        yield not_supported(f"{path}.type", kind, known)
    present = [field for field in _SOURCES.values() if metric.get(field) is not None]
    if present:
        yield from _CHECKS[present[0]](metric[present[0]], f"{path}.{present[0]}")
    wanted = _SOURCES.get(kind)
    if wanted is None:
        yield not_supported(f"{path}.type", kind, known)
    elif wanted not in present:
        yield required(f"{path}.{wanted}", "must populate information for the given metric source")
    if len(present) > 1:
        for field in present:
            if field != wanted:
                yield field_forbidden(f"{path}.{field}", "must populate the given metric source only")


def _object(source: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _reference(source.get("describedObject") or {}, f"{path}.describedObject", core=True)
    yield from _identifier(source, path)
    target = source.get("target") or {}
    yield from _target(target, f"{path}.target")
    if target.get("value") is None and target.get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external(source: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _identifier(source, path)
    target = source.get("target") or {}
    yield from _target(target, f"{path}.target")
    forms = {"value": "a target value for metric", "averageValue": "a per-pod target"}
    yield from _exactly_one(target, forms, f"{path}.target")


def _exactly_one(target: Mapping[str, Any], forms: Mapping[str, str], path: str) -> FieldErrors:
    """A target in one of two forms: field to what users call it."""
    (first, one), (second, other) = forms.items()
    given = [target.get(field) is not None for field in forms]
    if not any(given):
        yield required(f"{path}.{second}", f"must set either {one} or {other}")
    if all(given):
        yield field_forbidden(f"{path}.{first}", f"may not set both {one} and {other}")


def _pods(source: Mapping[str, Any], path: str) -> FieldErrors:
    yield from _identifier(source, path)
    target = source.get("target") or {}
    yield from _target(target, f"{path}.target")
    if target.get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _resource(source: Mapping[str, Any], path: str) -> FieldErrors:
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    yield from _usage(source, path)


def _container_resource(source: Mapping[str, Any], path: str) -> FieldErrors:
    name, container = source.get("name"), source.get("container")
    if not name:
        yield required(f"{path}.name", "must specify a resource name")
    else:
        yield from container_resource_name(name, f"{path}.name")
    if not container:
        yield required(f"{path}.container", "must specify a container")
    else:
        yield from check(f"{path}.container", container, names.dns1123_label(container))
    yield from _usage(source, path)


def _usage(source: Mapping[str, Any], path: str) -> FieldErrors:
    target = source.get("target") or {}
    yield from _target(target, f"{path}.target")
    forms = {"averageValue": "a target raw value", "averageUtilization": "a target utilization"}
    yield from _exactly_one(target, forms, f"{path}.target")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], str], FieldErrors]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def _identifier(source: Mapping[str, Any], path: str) -> FieldErrors:
    name = (source.get("metric") or {}).get("name")
    if not name:
        yield required(f"{path}.metric.name", "must specify a metric name")
    else:
        yield from check(f"{path}.metric.name", name, names.path_segment(name))


def _target(target: Mapping[str, Any], path: str) -> FieldErrors:
    kind = target.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in _TARGETS:
        yield invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        amount = quantity(target.get(field))
        if amount is not None and amount.nanos <= 0:
            yield invalid_value(f"{path}.{field}", target[field], _POSITIVE)
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield invalid_value(f"{path}.averageUtilization", utilization, "must be greater than 0")


# --- behavior


def _rules(rules: Mapping[str, Any], path: str) -> FieldErrors:
    window = rules.get("stabilizationWindowSeconds") or 0
    if window < 0:
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window > _WINDOW_LIMIT:
        text = f"must be less than or equal to {_WINDOW_LIMIT}"
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, text)
    selection = rules.get("selectPolicy")
    if selection is not None and selection not in _SELECTIONS:
        yield not_supported(f"{path}.selectPolicy", selection, _SELECTIONS)
    if not rules.get("policies"):
        yield required(f"{path}.policies", "must specify at least one Policy")
    for at, policy in each(rules, "policies", path):
        yield from _policy(policy, at)
    tolerance = quantity(rules.get("tolerance"))
    if tolerance is not None and tolerance.nanos < 0:
        yield invalid_value(f"{path}.tolerance", rules["tolerance"], NON_NEGATIVE)


def _policy(policy: Mapping[str, Any], path: str) -> FieldErrors:
    kind, value, period = policy.get("type") or "", policy.get("value") or 0, policy.get("periodSeconds") or 0
    if kind not in _POLICIES:
        yield not_supported(f"{path}.type", kind, _POLICIES)
    if value <= 0:
        yield invalid_value(f"{path}.value", value, "must be greater than zero")
    if period <= 0:
        yield invalid_value(f"{path}.periodSeconds", period, "must be greater than zero")
    if period > _PERIOD_LIMIT:
        yield invalid_value(f"{path}.periodSeconds", period, f"must be less than or equal to {_PERIOD_LIMIT}")
