"""The arithmetic of Deployments: how many replicas each ReplicaSet gets, which template is which. deployment.py acts on it.

Pure; numbers and words are upstream's (deployment/util). Replica counts are those of specs unless said otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from pybernetes.api.names import SUBDOMAIN_LENGTH
from pybernetes.api.types import apps_v1, core_v1
from pybernetes.rules.workloads import surge_and_unavailable

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ROLLBACK = "deprecated.deployment.rollback.to"
"""Of a Deployment: the revision to go back to, 0 for the last one. Left of extensions/v1beta1, which had a field for it."""
OWN_ANNOTATIONS = frozenset({LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAX, ROLLBACK})
"""Annotations that a ReplicaSet does not take over from its Deployment."""

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
HISTORY_MOST = 2000
"""Length of the revision history annotation."""

ReplicaSet = apps_v1.ReplicaSet
Deployment = apps_v1.Deployment


def replicas_of(obj: ReplicaSet | Deployment) -> int:
    """spec.replicas; absent is 1."""
    return 1 if obj.spec.replicas is None else obj.spec.replicas


def total(sets: Iterable[ReplicaSet]) -> int:
    """Replicas asked of all."""
    return sum(replicas_of(rs) for rs in sets)


def oldest_first(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """By creation, then name."""
    return sorted(sets, key=lambda rs: (rs.metadata.creationTimestamp or "", rs.metadata.name))


def is_recreate(d: Deployment) -> bool:
    """Strategy Recreate."""
    return d.spec.strategy.type == "Recreate"


def surge(d: Deployment) -> int:
    """Pods above spec.replicas while rolling."""
    return _limits(d)[0]


def unavailable(d: Deployment) -> int:
    """Pods that may be missing while rolling, never more than there are."""
    return min(_limits(d)[1], replicas_of(d))


def _limits(d: Deployment) -> tuple[int, int]:
    rolling = d.spec.strategy.rollingUpdate
    if is_recreate(d):
        return 0, 0
    return surge_and_unavailable(
        rolling.maxSurge if rolling else None, rolling.maxUnavailable if rolling else None, replicas_of(d)
    )


def set_name(deployment: str, tag: str) -> str:
    """Of the ReplicaSet with that hash: of a name that is too long the end is missing."""
    room = SUBDOMAIN_LENGTH - len(tag) - 1
    return f"{deployment[:room] if room > 0 else deployment}-{tag}"


def template_hash(template: core_v1.PodTemplateSpec, collisions: int | None) -> str:
    """FNV-32a of the template in letters that make no words. Equal templates are found by comparing, not by hash."""
    value = 0x811C9DC5
    text = msgspec.json.encode(without_hash(template), order="sorted")
    for byte in text + (b"" if collisions is None else collisions.to_bytes(8, "little")):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(value))


def without_hash(template: core_v1.PodTemplateSpec) -> core_v1.PodTemplateSpec:
    """The template as the Deployment has it."""
    labels = {name: value for name, value in template.metadata.labels.items() if name != HASH_LABEL}
    return replace(template, metadata=replace(template.metadata, labels=labels))


def split(d: Deployment, sets: Iterable[ReplicaSet]) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The ReplicaSet of the current template (the oldest, should there be two), and all others."""
    wanted = without_hash(d.spec.template)
    ordered = oldest_first(sets)
    new = next((rs for rs in ordered if without_hash(rs.spec.template) == wanted), None)
    return new, [rs for rs in ordered if new is None or rs.metadata.uid != new.metadata.uid]


def revision(obj: ReplicaSet | Deployment) -> int:
    """The revision annotation; 0 for none or a bad one."""
    return _number(obj.metadata.annotations.get(REVISION), 63) or 0


def _number(text: str | None, bits: int = 31) -> int | None:
    """Of an annotation, not below 0; None for what is none."""
    if not text or not text.isascii() or not text.isdigit():
        return None
    return value if (value := int(text)) < 2**bits else None


def new_annotations(d: Deployment, rs: Mapping[str, str], wanted: int, *, exists: bool) -> dict[str, str]:
    """A ReplicaSet's annotations: the Deployment's, and its revision, which only rises, with those it had before."""
    found = dict(rs)
    found |= {name: value for name, value in d.metadata.annotations.items() if name not in OWN_ANNOTATIONS}
    old = _number(found.get(REVISION), 63)
    if (old or 0) < wanted:
        found[REVISION] = str(wanted)
        if exists and old is not None:
            history = [*filter(None, found.get(REVISION_HISTORY, "").split(",")), str(old)]
            while len(",".join(history)) > HISTORY_MOST:
                history.pop(0)
            found[REVISION_HISTORY] = ",".join(history)
    return found


def rollback_to(d: Deployment) -> int | None:
    """The revision that the annotation asks to go back to."""
    return _number(d.metadata.annotations.get(ROLLBACK), 63)


def last_revision(sets: Iterable[ReplicaSet]) -> int:
    """The highest but one; 0 where there is none."""
    return ([0, 0, *sorted(map(revision, sets))])[-2]


def rolled_back(d: Deployment, rs: ReplicaSet | None) -> Deployment:
    """The Deployment with template and annotations of that ReplicaSet, and no more asked to go back."""
    meta, spec = d.metadata, d.spec
    notes: Mapping[str, str] = meta.annotations
    if rs is not None:
        spec = replace(spec, template=without_hash(rs.spec.template))
        notes = {name: value for name, value in rs.metadata.annotations.items() if name not in OWN_ANNOTATIONS}
        notes = {name: value for name, value in meta.annotations.items() if name in OWN_ANNOTATIONS} | notes
    kept = {name: value for name, value in notes.items() if name != ROLLBACK}
    return replace(d, metadata=replace(meta, annotations=kept), spec=spec)


def sized(d: Deployment, rs: ReplicaSet, replicas: int) -> ReplicaSet:
    """The ReplicaSet at that size, with the annotations that proportional scaling reads."""
    marks = {DESIRED: str(replicas_of(d)), MAX: str(replicas_of(d) + surge(d))}
    meta = replace(rs.metadata, annotations={**rs.metadata.annotations, **marks})
    return replace(rs, metadata=meta, spec=replace(rs.spec, replicas=replicas))


def new_size(d: Deployment, sets: Sequence[ReplicaSet], now: int) -> int:
    """The next size of the new ReplicaSet, which has `now`."""
    if is_recreate(d):
        return replicas_of(d)
    room = replicas_of(d) + surge(d) - total(sets)
    return now if room <= 0 else now + min(room, replicas_of(d) - now)


def old_sizes(d: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Sizes of old ReplicaSets that shrink now, by name: unhealthy Pods first, then as availability allows."""
    everything = [*old, new]
    least = replicas_of(d) - unavailable(d)
    missing_new = replicas_of(new) - new.status.availableReplicas
    most = total(everything) - least - missing_new
    if total(old) == 0 or most <= 0:
        return {}
    sizes = {rs.metadata.name: replicas_of(rs) for rs in old}
    removed = 0
    for rs in oldest_first(old):
        name = rs.metadata.name
        sick = min(most - removed, sizes[name] - rs.status.availableReplicas)
        if sick > 0:
            sizes[name] -= sick
            removed += sick
    # A ReplicaSet that was made smaller a moment ago still counts the Pods that go: they are not there to be spared.
    spare = sum(min(rs.status.availableReplicas, replicas_of(rs)) for rs in everything) - least
    for rs in oldest_first(old):
        step = min(spare, sizes[rs.metadata.name])
        if step > 0:
            sizes[rs.metadata.name] -= step
            spare -= step
    return {rs.metadata.name: sizes[rs.metadata.name] for rs in old if sizes[rs.metadata.name] != replicas_of(rs)}


def proportional_sizes(d: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Sizes by name after a change of spec.replicas, or while paused: every active ReplicaSet gets its share."""
    everything = [*old, *([new] if new else [])]
    active = [rs for rs in everything if replicas_of(rs) > 0]
    if len(active) <= 1:
        latest = active[0] if active else new or (oldest_first(old)[-1] if old else None)
        if latest is None or replicas_of(latest) == replicas_of(d):
            return {}
        return {latest.metadata.name: replicas_of(d)}
    if new is not None and _saturated(d, new):
        return {rs.metadata.name: 0 for rs in old if replicas_of(rs) > 0}
    if is_recreate(d):
        return {}
    allowed = replicas_of(d) + surge(d) if replicas_of(d) > 0 else 0
    to_add = allowed - total(active)
    newest = list(reversed(oldest_first(active))) if to_add > 0 else oldest_first(active)
    # The larger first; among equals the newer when adding, the older when removing.
    ordered = sorted(newest, key=lambda rs: -replicas_of(rs))
    sizes: dict[str, int] = {}
    added = 0
    for rs in ordered:
        share = _share(d, rs, to_add, added) if to_add else 0
        sizes[rs.metadata.name] = replicas_of(rs) + share
        added += share
    if to_add:
        first = ordered[0].metadata.name
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _saturated(d: Deployment, rs: ReplicaSet) -> bool:
    wanted = replicas_of(d)
    return (
        _number(rs.metadata.annotations.get(DESIRED)) == wanted
        and replicas_of(rs) == wanted
        and rs.status.availableReplicas == wanted
    )


def _share(d: Deployment, rs: ReplicaSet, to_add: int, added: int) -> int:
    if to_add == added:
        return 0
    if replicas_of(d) == 0:
        return max(-replicas_of(rs), to_add - added)
    before = _number(rs.metadata.annotations.get(MAX)) or d.status.replicas
    if before == 0:
        return 0
    # Go rounds halves away from zero; all numbers here are positive.
    fraction = int(replicas_of(rs) * (replicas_of(d) + surge(d)) / before + 0.5) - replicas_of(rs)
    return min(fraction, to_add - added) if to_add > 0 else max(fraction, to_add - added)


def is_complete(d: Deployment, status: apps_v1.DeploymentStatus) -> bool:
    """Everything is of the new template, available, and seen."""
    wanted = replicas_of(d)
    return (
        status.updatedReplicas == status.replicas == status.availableReplicas == wanted
        and status.observedGeneration >= d.metadata.generation
    )


def is_scaling(d: Deployment, sets: Iterable[ReplicaSet]) -> bool:
    """spec.replicas changed since the ReplicaSets were last sized."""
    marks = [_number(rs.metadata.annotations.get(DESIRED)) for rs in sets if replicas_of(rs) > 0]
    return any(mark is not None and mark != replicas_of(d) for mark in marks)
