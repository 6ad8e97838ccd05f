"""Job: Pods of a template until so many have succeeded."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from pybernetes.aio.clock import parse_time
from pybernetes.api import names
from pybernetes.api.errors import invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.resource import Column, Resource, since
from pybernetes.apiserver.resources._columns import AGE, CONTAINERS, IMAGES, selector_text, spec, status
from pybernetes.apiserver.resources.batch._warnings import warn_job_spec
from pybernetes.apiserver.validation.conditions import is_true
from pybernetes.apiserver.validation.fields import FieldErrors, immutable, set_missing
from pybernetes.apiserver.validation.job import INDEXED, validate_job_spec
from pybernetes.apiserver.validation.job_status import validate_job_status
from pybernetes.apiserver.validation.meta import label_selector
from pybernetes.apiserver.validation.workloads import (
    selects,
    template_labels,
    validate_match,
    warn_pod_names,
)
from pybernetes.rules.ages import age
from pybernetes.rules.poddefaults import default_template

_BACKOFFS = 6
_NO_LIMIT = 2**31 - 1
_PREFIX = "batch.kubernetes.io/"
_UID, _NAME = "controller-uid", "job-name"
_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")
_STATES = ("Complete", "Failed")
_LATER_STATES = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _default(obj: Object) -> None:
    own = obj["spec"] = obj.get("spec") or {}
    if own.get("completions") is None and own.get("parallelism") is None:
        own["completions"] = 1
    by_index = own.get("backoffLimitPerIndex") is not None
    policy = own.get("podFailurePolicy")
    set_missing(
        own,
        parallelism=1,
        backoffLimit=_NO_LIMIT if by_index else _BACKOFFS,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed" if policy is None else "Failed",
        manualSelector=False,
    )
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    if own.get("template") is not None:
        default_template(own["template"])
        _share_labels(obj)


def _share_labels(obj: Object) -> None:
    """A Job without labels has those of its template. They are the same: what the template gets later, the Job gets too."""
    labels = template_labels(spec(obj)["template"])
    meta = obj.setdefault("metadata", {})
    if labels and not meta.get("labels"):
        meta["labels"] = labels


def _prepare(obj: Object, old: Object | None) -> None:
    own = obj["spec"]
    if old is None or spec(old).get("scheduling") is None:
        own.pop("scheduling", None)  # behind a gate that is off
    if old is None and not own["manualSelector"]:
        _generate_selector(obj)
    if obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = {**obj["metadata"]["labels"]}


def _generate_selector(obj: Object) -> None:
    own, meta = obj["spec"], obj["metadata"]
    template = own["template"] = own.get("template") or {}
    labels = template.setdefault("metadata", {}).get("labels")
    if labels is None:
        labels = template["metadata"]["labels"] = {}
    for prefix in ("", _PREFIX):
        labels.setdefault(prefix + _NAME, meta.get("name", ""))
        labels.setdefault(prefix + _UID, meta.get("uid", ""))
    ordered = dict(sorted(labels.items()))  # as messages show them
    labels.clear()
    labels |= ordered
    selector = own["selector"] = own.get("selector") or {}
    matched = selector["matchLabels"] = selector.get("matchLabels") or {}
    matched.setdefault(_PREFIX + _UID, meta.get("uid", ""))
    _share_labels(obj)


# --- validation


def _validate(obj: Object) -> FieldErrors:
    own, name = spec(obj), obj["metadata"].get("name") or ""
    if not own.get("manualSelector") and own.get("selector") is not None:
        yield from _generated(obj)
    yield from validate_job_spec(own, "spec")
    if own.get("selector") is None:
        yield required("spec.selector")
    else:
        yield from label_selector(own["selector"], "spec.selector")
    yield from validate_match(own)
    completions = own.get("completions") or 0
    last = f"{name}-{completions - 1}"
    if own.get("completionMode") == INDEXED and completions > 0 and names.dns1123_label(last):
        yield invalid_value("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")


def _generated(obj: Object) -> FieldErrors:
    """Labels and selector of a Job that has not chosen its own."""
    wanted = {_UID: obj["metadata"].get("uid") or "", _NAME: obj["metadata"].get("name") or ""}
    wanted |= {_PREFIX + label: value for label, value in wanted.items()}
    labels = template_labels(spec(obj).get("template"))
    for label, value in wanted.items():
        path = f"spec.template.metadata.labels[{label}]"
        if label not in (labels or {}):
            yield required(path, f"must be '{value}'")
        elif labels and labels[label] != value:
            yield invalid_value(path, labels, f"must be '{value}'")
    selector = spec(obj)["selector"]
    if selects(selector, wanted) is False:
        yield invalid_value("spec.selector", selector, "`selector` not auto-generated")


def _validate_update(obj: Object, old: Object) -> FieldErrors:
    own, before = spec(obj), spec(old)
    yield from _completions(own, before)
    yield from immutable("spec.selector", own.get("selector"), before.get("selector"))
    yield from immutable("spec.template", own.get("template"), _allowed_template(obj, old))
    for field in _FIXED:
        yield from immutable(f"spec.{field}", own.get(field), before.get(field))


def _completions(own: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    count = own.get("completions")
    if own.get("completionMode") != INDEXED:
        if count != before.get("completions"):
            yield invalid_value("spec.completions", count, "field is immutable")
    elif count not in (None, before.get("completions"), own.get("parallelism")):
        yield invalid_value("spec.completions", count, "can only be modified in tandem with spec.parallelism")


def _allowed_template(obj: Object, old: Object) -> Any:
    """The old template, with what may change taken from the new one: where and with what the Pods of a suspended Job run."""
    new, before = spec(obj).get("template"), spec(old).get("template")
    idle = not status(old).get("active") and (not status(old).get("startTime") or is_true(old, "Suspended"))
    if not (spec(old).get("suspend") and idle and new and before):
        return before
    allowed = copy.deepcopy(before)
    _take(allowed.setdefault("metadata", {}), new.get("metadata") or {}, ("labels", "annotations"))
    pod, wanted = allowed.setdefault("spec", {}), new.get("spec") or {}
    _take(pod, wanted, _DIRECTIVES)
    affinity = {**(pod.get("affinity") or {})}
    _take(affinity, wanted.get("affinity") or {}, ("nodeAffinity",))
    if affinity or wanted.get("affinity") is not None:
        pod["affinity"] = affinity
    else:
        pod.pop("affinity", None)
    for kind in ("containers", "initContainers"):
        ours, theirs = pod.get(kind) or (), wanted.get(kind) or ()
        if len(ours) == len(theirs):
            for container, other in zip(ours, theirs, strict=True):
                _take(container, other, ("resources",))
    return allowed


def _take(place: Object, source: Mapping[str, Any], fields: Iterable[str]) -> None:
    for field in fields:
        if field in source:
            place[field] = source[field]
        else:
            place.pop(field, None)


def _warn(obj: Object, old: Object | None) -> Iterable[str]:
    yield from warn_pod_names(obj, old)
    yield from warn_job_spec(spec(obj), None if old is None else spec(old), "spec")


# --- table


def _state(obj: Object) -> str:
    for kind in _STATES:
        if is_true(obj, kind):
            return kind
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((kind for kind in _LATER_STATES if is_true(obj, kind)), "Running")


def _completed(obj: Object) -> str:
    wanted, done = spec(obj).get("completions"), status(obj).get("succeeded", 0)
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = spec(obj).get("parallelism", 0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(obj: Object) -> object:
    started, ended = status(obj).get("startTime"), status(obj).get("completionTime")
    if not started:
        return ""
    return age(parse_time(ended) - parse_time(started)) if ended else since(started)


RESOURCE = Resource(
    group="batch",
    plural="jobs",
    default=_default,
    prepare=_prepare,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=validate_job_status,
    warn=_warn,
    columns=(
        Column("Status", _state, description="How far it has come."),
        Column("Completions", _completed, description="Pods that succeeded, of those wanted."),
        Column("Duration", _duration, description="From its start to its end."),
        AGE,
        CONTAINERS,
        IMAGES,
        Column("Selector", lambda obj: selector_text(spec(obj).get("selector")), description="Its pods.", priority=1),
    ),
    selectable_fields={"status.successful": lambda obj: str(status(obj).get("succeeded", 0))},
)
