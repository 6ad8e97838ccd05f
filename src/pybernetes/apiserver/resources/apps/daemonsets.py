"""DaemonSet: a Pod of a template on every fitting node."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api.errors import BadRequest, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, labels_text, selector_text, spec, status
from pybernetes.apiserver.validation.fields import FieldErrors, non_negative, set_missing
from pybernetes.apiserver.validation.meta import label_selector
from pybernetes.apiserver.validation.pod.spec import validate_template
from pybernetes.apiserver.validation.workloads import (
    amount_of,
    at_most_all,
    int_or_percent,
    not_everything,
    runs_for_ever,
    validate_collisions,
    validate_fixed_selector,
    validate_match,
    validate_status_counts,
    warn_own_template,
)
from pybernetes.rules.poddefaults import default_template

GENERATION = "deprecated.daemonset.template.generation"
"""Annotation that counts the changes of the template: a field of long ago, which clients cannot write."""
_COUNTS = (
    *("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration"),
    *("updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount"),
)


def _default(obj: Object) -> None:
    own = obj["spec"] = obj.get("spec") or {}
    if own.get("template") is not None:
        default_template(own["template"])
    strategy = own["updateStrategy"] = own.get("updateStrategy") or {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        set_missing(rolling, maxUnavailable=1, maxSurge=0)
    set_missing(own, revisionHistoryLimit=10)


def _prepare(obj: Object, old: Object | None) -> None:
    if old is None:
        count = max(_template_generation(obj), 1)
    else:
        changed = spec(obj).get("template") != spec(old).get("template")
        count = _template_generation(old) + changed
    obj["metadata"]["annotations"] = {**(obj["metadata"].get("annotations") or {}), GENERATION: str(count)}


def _prepare_status(obj: Object, old: Object) -> None:
    count = str(_template_generation(old))
    obj["metadata"]["annotations"] = {**(obj["metadata"].get("annotations") or {}), GENERATION: count}


def _template_generation(obj: Object) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(GENERATION, "0")
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(digits) > 19 or not -(2**63) <= int(text) < 2**63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def _validate(obj: Object) -> FieldErrors:
    own = spec(obj)
    selector = own.get("selector")
    if selector is not None:
        yield from label_selector(selector, "spec.selector")
    yield from validate_match(own)
    yield from not_everything(selector, "daemonset")
    template = own.get("template") or {}
    yield from validate_template(template, "spec.template")
    yield from runs_for_ever(template, "DaemonSet")
    yield from non_negative("spec.minReadySeconds", own.get("minReadySeconds"))
    yield from _strategy(own.get("updateStrategy") or {})
    yield from non_negative("spec.revisionHistoryLimit", own.get("revisionHistoryLimit"))


def _strategy(strategy: Mapping[str, Any]) -> FieldErrors:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        # Upstream shows its own structure, whose fields have no JSON names.
        shown = None
        if rolling is not None:
            shown = {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}
        shown = {"Type": kind or "", "RollingUpdate": shown}
        yield not_supported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete"))
        return
    if rolling is None:
        yield required(path)
        return
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    for check in (int_or_percent, at_most_all):
        yield from check(f"{path}.maxUnavailable", unavailable)
        yield from check(f"{path}.maxSurge", surge)
    if amount_of(unavailable) and amount_of(surge):
        yield invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    if not amount_of(unavailable) and not amount_of(surge):
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _validate_status(obj: Object, old: Object) -> FieldErrors:
    yield from validate_status_counts(status(obj), _COUNTS)
    yield from validate_collisions(obj, old)


def _node_selector(obj: Object) -> str:
    pod = (spec(obj).get("template") or {}).get("spec") or {}
    return labels_text(pod.get("nodeSelector"))


def _count(name: str, field: str, description: str) -> Column:
    return Column(name, lambda obj: status(obj).get(field, 0), "integer", description=description)


RESOURCE = Resource(
    group="apps",
    plural="daemonsets",
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=validate_fixed_selector,
    validate_status=_validate_status,
    warn=warn_own_template,
    columns=(
        _count("Desired", "desiredNumberScheduled", "Nodes that should run the Pod."),
        _count("Current", "currentNumberScheduled", "Nodes that should run the Pod and do."),
        _count("Ready", "numberReady", "Nodes whose Pod is ready."),
        _count("Up-to-date", "updatedNumberScheduled", "Nodes whose Pod is of the newest template."),
        _count("Available", "numberAvailable", "Nodes whose Pod has been ready for long enough."),
        Column("Node Selector", _node_selector, description="Which nodes are meant."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", lambda obj: selector_text(spec(obj).get("selector")), description="Its pods.", priority=1),
    ),
)
