"""What of a Pod may change once it is there: images, a shorter deadline, more tolerations, fewer scheduling gates."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pybernetes.api.errors import field_forbidden, invalid_value, required
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors, each
from pybernetes.apiserver.validation.pod.annotations import validate_annotation_updates

_FIELDS = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_HARD = "requiredDuringSchedulingIgnoredDuringExecution"
_LONGEST = 2**31 - 1
_FREE = ("activeDeadlineSeconds", "tolerations", "schedulingGates")


def validate_pod_update(obj: Object, old: Object) -> FieldErrors:
    """Called with (new, old), both with defaults."""
    new, before = obj.get("spec") or {}, old.get("spec") or {}
    yield from validate_annotation_updates(obj.get("metadata") or {}, old.get("metadata") or {})
    for kind in ("containers", "initContainers"):
        if len(new.get(kind) or ()) != len(before.get(kind) or ()):
            yield field_forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
        for at, container in each(new, kind, "spec"):
            image = container.get("image") or ""
            if not image:
                yield required(f"{at}.image")
            elif image != image.strip():
                yield invalid_value(f"{at}.image", image, "must not have leading or trailing whitespace")
    wrong = [*_deadline(new.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))]
    yield from wrong
    if wrong and new.get("activeDeadlineSeconds") is not None:
        return
    yield from _tolerations(new, before)
    yield from _gates(new, before)
    if new != before:
        yield from _rest(new, before)


def _deadline(new: int | None, before: int | None) -> FieldErrors:
    at = "spec.activeDeadlineSeconds"
    if new is None:
        if before is not None:
            yield invalid_value(at, None, "must not update from a positive integer to nil value")
    elif not 0 <= new <= _LONGEST:
        yield invalid_value(at, new, f"must be between 0 and {_LONGEST}, inclusive")
    elif before is not None and new > before:
        yield invalid_value(at, new, "must be less than or equal to previous value")


def _tolerations(new: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    def bare(toleration: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: value for name, value in toleration.items() if name != "tolerationSeconds" and value}

    now = [bare(toleration) for toleration in new.get("tolerations") or ()]
    for toleration in before.get("tolerations") or ():
        if bare(toleration) not in now:
            why = "existing toleration can not be modified except its tolerationSeconds"
            yield field_forbidden("spec.tolerations", why)
            return


def _gates(new: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for at, gate in each(new, "schedulingGates", "spec"):
        name = gate.get("name") or ""
        if name not in known:
            why = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield field_forbidden(f"{at}.name", why)


def _rest(new: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    left, right = _frozen(new, before), _frozen(before, before)
    if before.get("schedulingGates"):
        yield from _loosen_gated(left, right)
    if left != right:
        yield field_forbidden("spec", f"{_FIELDS}\n{difference('core.PodSpec', right, left)}")


def difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Two values as Go's cmp tells them apart, down to the fields that differ."""
    lines, same = [], 0
    for field in dict.fromkeys((*old, *new)):
        there, here = old.get(field), new.get(field)
        if there == here:
            same += 1
            continue
        if same:
            lines.append(f"  \t... // {same} identical fields")
            same = 0
        shown = field[:1].upper() + field[1:]
        if there is not None:
            lines.append(f"- \t{shown}: {_text(there)},")
        if here is not None:
            lines.append(f"+ \t{shown}: {_text(here)},")
    if same:
        lines.append(f"  \t... // {same} identical fields")
    return "\n".join([f"  {name}{{", *lines, "  }", ""])


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _frozen(spec: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The spec without what may change; empty and absent are the same."""
    kept: dict[str, Any] = {field: value for field, value in pruned(spec).items() if field not in _FREE}
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        kept["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    for kind in ("containers", "initContainers"):
        if kind in kept:
            kept[kind] = [{k: v for k, v in container.items() if k != "image"} for container in kept[kind]]
    return kept


def _loosen_gated(new: dict[str, Any], old: dict[str, Any]) -> FieldErrors:
    """A gated Pod may add to its nodeSelector and narrow its node affinity (KEP-3838): judged here, then equal."""
    before, now = old.get("nodeSelector") or {}, new.get("nodeSelector") or {}
    if any(now.get(key) != value for key, value in before.items()):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid_value("spec.nodeSelector", now, why)
    new["nodeSelector"] = before
    affinity, old_affinity = dict(new.get("affinity") or {}), old.get("affinity") or {}
    yield from _narrowed(affinity.get("nodeAffinity") or {}, old_affinity.get("nodeAffinity") or {})
    affinity["nodeAffinity"] = old_affinity.get("nodeAffinity") or {}
    new["affinity"] = pruned(affinity)
    for spec in (new, old):
        for field in ("nodeSelector", "affinity"):
            if not spec.get(field):
                spec.pop(field, None)


def _narrowed(new: Mapping[str, Any], old: Mapping[str, Any]) -> FieldErrors:
    at = f"spec.affinity.nodeAffinity.{_HARD}.nodeSelectorTerms"
    now: Sequence[Mapping[str, Any]] = (new.get(_HARD) or {}).get("nodeSelectorTerms") or []
    then: Sequence[Mapping[str, Any]] = (old.get(_HARD) or {}).get("nodeSelectorTerms") or []
    if then and len(now) != len(then):
        yield invalid_value(at, now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, stale in enumerate(then):
        if not _only_adds(now[index], stale):
            yield invalid_value(f"{at}[{index}]", now[index], "only additions are allowed (no mutations or deletions)")


def _only_adds(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    kinds = ("matchExpressions", "matchFields")
    if not any(old.get(kind) for kind in kinds) and any(new.get(kind) for kind in kinds):
        return False  # an empty term matches nothing: anything in it would match more
    return all((new.get(kind) or [])[: len(old.get(kind) or [])] == (old.get(kind) or []) for kind in kinds)


def pruned(value: Any) -> Any:
    """A value without what is empty: how Go compares objects."""
    if isinstance(value, Mapping):
        shrunk = {key: pruned(item) for key, item in value.items()}
        return {key: item for key, item in shrunk.items() if item not in (None, {}, [], "")}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value
