"""What of a Pod may change once it is there: images, a shorter deadline, more tolerations, fewer scheduling gates."""

from collections.abc import Mapping
from typing import Any

import orjson

from pybernetes.api.errors import field_forbidden, invalid_value
from pybernetes.api.objects import Object
from pybernetes.apiserver.validation.fields import FieldErrors, each

_FIELDS = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(obj: Object, old: Object) -> FieldErrors:
    """Called with (new, old), both with defaults."""
    new, before = obj.get("spec") or {}, old.get("spec") or {}
    for kind in ("containers", "initContainers"):
        if len(new.get(kind) or ()) != len(before.get(kind) or ()):
            yield field_forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    yield from _deadline(new.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    yield from _tolerations(new, before)
    yield from _gates(new, before)
    yield from _rest(new, before)


def _deadline(new: int | None, before: int | None) -> FieldErrors:
    at = "spec.activeDeadlineSeconds"
    if before is None:
        return
    if new is None:
        yield invalid_value(at, None, "must not update from a positive integer to nil value")
    elif new > before:
        yield invalid_value(at, new, "must be less than or equal to previous value")


def _tolerations(new: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    def bare(toleration: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: value for name, value in toleration.items() if name != "tolerationSeconds" and value}

    now = [bare(toleration) for toleration in new.get("tolerations") or ()]
    for toleration in before.get("tolerations") or ():
        if bare(toleration) not in now:
            yield field_forbidden(
                "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
            )
            return


def _gates(new: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for at, gate in each(new, "schedulingGates", "spec"):
        if gate.get("name") not in known:
            name = gate.get("name")
            yield field_forbidden(at, f"only deletion is allowed, but found new scheduling gate '{name}'")


def _rest(new: Mapping[str, Any], before: Mapping[str, Any]) -> FieldErrors:
    gated = bool(before.get("schedulingGates"))
    left, right = _frozen(new, before, gated), _frozen(before, before, gated)
    if left == right:
        return
    lines = []
    for field in sorted(set(left) | set(right)):
        if left.get(field) != right.get(field):
            lines += [f"- {field}: {_text(right.get(field))}", f"+ {field}: {_text(left.get(field))}"]
    yield field_forbidden("spec", "\n".join([_FIELDS, *lines]) + "\n")


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _frozen(spec: Mapping[str, Any], before: Mapping[str, Any], gated: bool) -> dict[str, Any]:
    """The spec without what may change; empty and absent are the same."""
    kept = dict(_pruned(spec))
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        kept.pop(field, None)
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        kept["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    for kind in ("containers", "initContainers"):
        if kind in kept:
            kept[kind] = [{k: v for k, v in container.items() if k != "image"} for container in kept[kind]]
    if gated:
        _loosen_gated(kept, _pruned(before))
    return kept


def _loosen_gated(kept: dict[str, Any], before: Mapping[str, Any]) -> None:
    """A gated Pod may add to its nodeSelector and narrow its node affinity (KEP-3838)."""
    old = before.get("nodeSelector") or {}
    new = kept.get("nodeSelector") or {}
    if all(new.get(key) == value for key, value in old.items()):
        kept["nodeSelector"] = old
    affinity, old_affinity = dict(kept.get("affinity") or {}), before.get("affinity") or {}
    if _narrows(affinity.get("nodeAffinity") or {}, old_affinity.get("nodeAffinity") or {}):
        affinity["nodeAffinity"] = old_affinity.get("nodeAffinity") or {}
    kept["affinity"] = _pruned(affinity)


def _narrows(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    hard = "requiredDuringSchedulingIgnoredDuringExecution"
    now = (new.get(hard) or {}).get("nodeSelectorTerms") or []
    then = (old.get(hard) or {}).get("nodeSelectorTerms") or []
    if not then:
        return True
    if len(now) != len(then):
        return False
    return all(
        all(rule in (fresh.get(kind) or []) for rule in stale.get(kind) or [])
        for fresh, stale in zip(now, then, strict=True)
        for kind in ("matchExpressions", "matchFields")
    )


def _pruned(value: Any) -> Any:
    if isinstance(value, Mapping):
        pruned = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in pruned.items() if item not in (None, {}, [], "")}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value
