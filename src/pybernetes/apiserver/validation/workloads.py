"""What kinds that keep replicas of a template share: selectors, templates, counts, numbers that may be percentages."""

from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.api import names, selectors
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors, check, immutable, non_negative
from pybernetes.apiserver.validation.meta import label_selector
from pybernetes.apiserver.validation.pod.spec import validate_template
from pybernetes.apiserver.validation.pod.warnings import warn_template
from pybernetes.rules.poddefaults import default_template

_MISMATCH = "`selector` does not match template `labels`"
_RARE_NAME = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is"
    " recommended: "
)
_REPLICA_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas")


def default_replicas(obj: Object) -> Object:
    """One replica, and the template's defaults; returns spec."""
    spec: Object = obj.get("spec") or {}
    obj["spec"] = spec
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("template") is not None:
        default_template(spec["template"])
    return spec


# --- selector and template


def validate_counts(spec: Mapping[str, Any], *fields: str) -> FieldErrors:
    """spec's numbers."""
    for field in ("replicas", "minReadySeconds", *fields):
        yield from non_negative(f"spec.{field}", spec.get(field))


def validate_selector(spec: Mapping[str, Any], kind: str = "deployment") -> FieldErrors:
    """spec.selector, a LabelSelector that must select something particular."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    yield from label_selector(selector, "spec.selector")
    yield from not_everything(selector, kind)


def not_everything(selector: Mapping[str, Any] | None, kind: str) -> FieldErrors:
    """A selector that is there must name something."""
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}")


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool | None:
    """Whether a LabelSelector matches; an absent one matches nothing. None: it cannot be read."""
    if selector is None:
        return False
    try:
        return selectors.of_label_selector(selector).matches(labels or {})
    except ValueError:
        return None


def template_labels(template: Mapping[str, Any] | None) -> Mapping[str, str] | None:
    """metadata.labels of a template."""
    labels: Mapping[str, str] | None = ((template or {}).get("metadata") or {}).get("labels")
    return labels


def validate_match(spec: Mapping[str, Any], path: str = "spec") -> FieldErrors:
    """The template's labels are what the selector selects."""
    labels = template_labels(spec.get("template"))
    if selects(spec.get("selector"), labels) is False:
        yield invalid_value(f"{path}.template.metadata.labels", labels, _MISMATCH)


def validate_selected_template(spec: Mapping[str, Any], unreadable: str = "invalid label selector") -> FieldErrors:
    """The template of a ReplicaSet or Deployment; not looked at where the selector cannot be read."""
    if selects(spec.get("selector"), template_labels(spec.get("template"))) is None:
        yield invalid_value("spec.selector", spec.get("selector"), unreadable)
        return
    yield from validate_match(spec)
    template = spec.get("template") or {}
    yield from validate_template(template, "spec.template")
    yield from runs_for_ever(template, "ReplicaSet")


def validate_replica_template(spec: Mapping[str, Any], kind: str) -> FieldErrors:
    """The template of a kind whose selector is a plain map. `kind` words the refusals."""
    template = spec.get("template")
    if template is None:
        yield required("spec.template")
        return
    labels = template_labels(template) or {}
    if any(labels.get(key) != value for key, value in (spec.get("selector") or {}).items()):
        yield invalid_value("spec.template.metadata.labels", template_labels(template), _MISMATCH)
    yield from validate_template(template, "spec.template")
    yield from runs_for_ever(template, kind)


def runs_for_ever(template: Mapping[str, Any], kind: str) -> FieldErrors:
    """A template of Pods that are always restarted and have no deadline."""
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        yield not_supported("spec.template.spec.restartPolicy", pod.get("restartPolicy") or "", ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        yield field_forbidden(
            "spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported"
        )


def validate_fixed_selector(obj: Object, old: Object) -> FieldErrors:
    """spec.selector of an update."""
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    yield from immutable("spec.selector", spec.get("selector"), before.get("selector"))


def warn_workload(obj: Object, old: Object | None) -> Iterable[str]:
    """Warnings about a kind whose Pods are called after it."""
    yield from warn_pod_names(obj, old)
    yield from warn_own_template(obj, old)


def warn_pod_names(obj: Object, old: Object | None) -> Iterable[str]:
    """Names of new objects after which Pods are called, and which are no host names."""
    name = obj["metadata"].get("name") or ""
    messages = names.dns1123_label(name) if old is None else []
    if messages:
        yield f"{_RARE_NAME}[{' '.join(messages)}]"


def warn_own_template(obj: Object, old: Object | None) -> Iterable[str]:
    """Warnings about spec.template, where it is new."""
    template = (obj.get("spec") or {}).get("template") or {}
    if old is None or template != (old.get("spec") or {}).get("template"):
        yield from warn_template(template, "spec.template")


# --- numbers that may be percentages


def int_or_percent(field: str, value: int | str | None) -> FieldErrors:
    """Not negative, or a percentage."""
    if isinstance(value, str):
        yield from check(field, value, names.percent(value))
    else:
        yield from non_negative(field, value)


def at_most_all(field: str, value: int | str | None) -> FieldErrors:
    """No percentage above 100."""
    if is_percent(value) and amount_of(value) > 100:
        yield invalid_value(field, value, "must not be greater than 100%")


def is_percent(value: int | str | None) -> bool:
    """`25%`."""
    return isinstance(value, str) and not names.percent(value)


def amount_of(value: int | str | None) -> int:
    """The number, of a percentage its digits; what is neither counts as none."""
    if isinstance(value, int):
        return value
    digits = (value or "").removesuffix("%")[:18]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


# --- status


def validate_status_counts(status: Mapping[str, Any], fields: Iterable[str]) -> FieldErrors:
    """Numbers of a status."""
    for field in fields:
        yield from non_negative(f"status.{field}", status.get(field))


def validate_parts(
    status: Mapping[str, Any], fields: Iterable[str], whole: str = "replicas", shown: str = "status.replicas"
) -> FieldErrors:
    """Numbers of a status that are parts of another one."""
    for field in fields:
        count = status.get(field) or 0
        if count > (status.get(whole) or 0):
            yield invalid_value(f"status.{field}", count, f"cannot be greater than {shown}")


def validate_collisions(obj: Object, old: Object) -> FieldErrors:
    """status.collisionCount only grows: it is part of the names of what comes next."""
    count = (obj.get("status") or {}).get("collisionCount")
    before = (old.get("status") or {}).get("collisionCount")
    if before is not None and (count is None or count < before):
        yield invalid_value("status.collisionCount", count or 0, "cannot be decremented")


def validate_replica_status(obj: Object, old: Object) -> FieldErrors:
    """status of ReplicaSet and ReplicationController: counts that can be true."""
    status = obj.get("status") or {}
    yield from validate_status_counts(status, (*_REPLICA_COUNTS, "observedGeneration"))
    yield from validate_parts(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
    yield from validate_parts(status, ("availableReplicas",), "readyReplicas", "readyReplicas")
