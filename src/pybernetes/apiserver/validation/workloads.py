"""What kinds that keep replicas of a template share: ReplicationController, ReplicaSet, Deployment."""

from collections.abc import Mapping
from typing import Any

from pybernetes.api import selectors
from pybernetes.api.errors import field_forbidden, invalid_value, not_supported, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors, non_negative
from pybernetes.apiserver.validation.meta import label_selector
from pybernetes.apiserver.validation.pod.defaults import default_template
from pybernetes.apiserver.validation.pod.spec import validate_template

_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas")


def default_replicas(obj: Object) -> Object:
    """One replica, and the template's defaults; returns spec."""
    spec: Object = obj.get("spec") or {}
    obj["spec"] = spec
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("template") is not None:
        default_template(spec["template"])
    return spec


def validate_counts(spec: Mapping[str, Any], *fields: str) -> FieldErrors:
    """spec's numbers."""
    for field in ("replicas", "minReadySeconds", *fields):
        yield from non_negative(f"spec.{field}", spec.get(field))


def validate_selector(spec: Mapping[str, Any]) -> FieldErrors:
    """spec.selector, a LabelSelector that must select something particular."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    yield from label_selector(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", selector, "empty selector is invalid for deployment")


def validate_replica_template(spec: Mapping[str, Any], kind: str) -> FieldErrors:
    """spec.template: matched by the selector, and made to run for ever. `kind` words the refusals."""
    template = spec.get("template")
    if template is None:
        yield required("spec.template")
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not _matches(spec.get("selector"), labels):
        yield invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from validate_template(template, "spec.template")
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") not in (None, "Always"):
        yield not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        yield field_forbidden(
            "spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported"
        )


def _matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Also True for a selector that is faulty or missing: that is told elsewhere."""
    if not selector:
        return True
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return all(labels.get(key) == value for key, value in selector.items())
    try:
        return selectors.of_label_selector(selector).matches(labels)
    except ValueError:
        return True


def validate_replica_status(obj: Object, old: Object) -> FieldErrors:
    """status of all three: counts that can be true."""
    status = obj.get("status") or {}
    for field in _COUNTS:
        yield from non_negative(f"status.{field}", status.get(field))
    replicas = status.get("replicas") or 0
    for field in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"):
        count = status.get(field) or 0
        if count > replicas:
            yield invalid_value(f"status.{field}", count, "cannot be greater than status.replicas")
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        yield invalid_value("status.availableReplicas", available, "cannot be greater than readyReplicas")
