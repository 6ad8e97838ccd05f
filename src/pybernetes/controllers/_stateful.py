"""StatefulSets, the pure part: names and storage of Pods, what to do next, what the status says. statefulset.py acts.

Ordered: one thing at a time, and only while all Pods before it are available. Parallel: all at once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from pybernetes.api.types import apps_v1, core_v1, meta_v1
from pybernetes.controllers._claim import names_kind, reference_to
from pybernetes.controllers._history import POD_LABEL
from pybernetes.controllers._replicas import until_available
from pybernetes.rules.readiness import is_finished, is_ready, is_terminating
from pybernetes.rules.workloads import scaled

StatefulSet = apps_v1.StatefulSet
Pod = core_v1.Pod
PersistentVolumeClaim = core_v1.PersistentVolumeClaim

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-(0|[1-9][0-9]{0,8})", re.ASCII)


def replicas_of(s: StatefulSet) -> int:
    """spec.replicas; absent is 1."""
    return 1 if s.spec.replicas is None else s.spec.replicas


def ordinals(s: StatefulSet) -> range:
    """The numbers of the Pods that there should be."""
    start = s.spec.ordinals.start if s.spec.ordinals else 0
    return range(start, start + replicas_of(s))


def ordinal_of(pod: Pod) -> int:
    """The number in the Pod's name; -1 for a name without one."""
    found = _NAME.fullmatch(pod.metadata.name)
    return int(found[2]) if found else -1


def is_member(s: StatefulSet, pod: Pod) -> bool:
    """Whether the Pod's name is one that the StatefulSet gives."""
    found = _NAME.fullmatch(pod.metadata.name)
    return found is not None and found[1] == s.metadata.name


def is_ordered(s: StatefulSet) -> bool:
    """podManagementPolicy OrderedReady, the default."""
    return s.spec.podManagementPolicy != "Parallel"


def is_rolling(s: StatefulSet) -> bool:
    """updateStrategy RollingUpdate, the default."""
    return s.spec.updateStrategy.type != "OnDelete"


def revision_of(pod: Pod) -> str:
    """The name of the revision that it was made from."""
    return pod.metadata.labels.get(POD_LABEL, "")


def is_available(s: StatefulSet, pod: Pod, now: float) -> bool:
    """Ready for minReadySeconds, and to stay."""
    return not is_terminating(pod) and until_available(pod, s.spec.minReadySeconds, now) == 0


@dataclass(slots=True)
class Steps:
    """What to do, in this order."""

    supply: list[Pod] = field(default_factory=list)
    """Pods that have not started: their claims must be there."""
    check: list[Pod] = field(default_factory=list)
    """Pods whose identity, storage and owners of claims must be right."""
    create: list[int] = field(default_factory=list)
    """Ordinals."""
    condemned: list[Pod] = field(default_factory=list)
    """Pods to go, or on their way: the owners of their claims must be right before."""
    delete: list[Pod] = field(default_factory=list)


def next_steps(s: StatefulSet, pods: Sequence[Pod], update: str, now: float) -> Steps:
    """`update` names the revision of the template as it is. Pods are those that are claimed, also those that end."""
    steps, ordered, wanted = Steps(), is_ordered(s), ordinals(s)
    found = {ordinal_of(pod): pod for pod in pods}
    for ordinal in wanted:
        if not _look_at(s, ordinal, found.get(ordinal), steps, now) and ordered:
            return steps
    steps.condemned = sorted((p for o, p in found.items() if o not in wanted), key=ordinal_of, reverse=True)
    sick = next((pod for pod in reversed(steps.condemned) if not is_available(s, pod, now)), None)
    for pod in steps.condemned:
        # The lowest that is not available may go: it is what the others wait for.
        blocked = is_terminating(pod) or (not is_available(s, pod, now) and pod is not sick)
        if ordered and blocked:
            return steps
        if not is_terminating(pod):
            steps.delete.append(pod)
            if ordered:
                return steps
    if is_rolling(s):
        steps.delete += _outdated(s, [found.get(ordinal) for ordinal in wanted], update, now)
    return steps


def _look_at(s: StatefulSet, ordinal: int, pod: Pod | None, steps: Steps, now: float) -> bool:
    """Whether all is well with it, so that the next may be looked at."""
    if pod is None:
        steps.create.append(ordinal)
        return False
    if is_finished(pod):
        # However it ended: a machine that restarts makes Succeeded of some. Its successor comes when it is gone.
        if not is_terminating(pod):
            steps.delete.append(pod)
        return False
    if pod.status.phase == "Pending":
        steps.supply.append(pod)
    well = is_available(s, pod, now)
    if well or not is_ordered(s):
        steps.check.append(pod)
    return well


def most_unavailable(s: StatefulSet) -> int:
    """maxUnavailable of a rolling update, in Pods."""
    rolling = s.spec.updateStrategy.rollingUpdate or apps_v1.RollingUpdateStatefulSetStrategy()
    return max(1, scaled(rolling.maxUnavailable, replicas_of(s), round_up=False, default=1))


def _outdated(s: StatefulSet, replicas: Sequence[Pod | None], update: str, now: float) -> list[Pod]:
    """Pods of another template that go now: from the highest ordinal down to the partition, maxUnavailable at once.

    In a Parallel set those that are not available cost nothing more, and go first.
    """
    rolling = s.spec.updateStrategy.rollingUpdate or apps_v1.RollingUpdateStatefulSetStrategy()
    budget = max(0, most_unavailable(s) - sum(pod is None or not is_available(s, pod, now) for pod in replicas))
    candidates = [pod for pod in reversed(replicas[rolling.partition or 0 :]) if pod is not None]
    old = [p for p in candidates if revision_of(p) != update and not is_terminating(p) and not is_finished(p)]
    if is_ordered(s):
        return old[:budget]
    sick = [pod for pod in old if not is_available(s, pod, now)]
    return sick + [pod for pod in old if is_available(s, pod, now)][:budget]


def keeps_current(s: StatefulSet, ordinal: int) -> bool:
    """Whether a Pod of this ordinal is made of the current revision, not of the update."""
    if not is_rolling(s):
        return False
    rolling = s.spec.updateStrategy.rollingUpdate
    return ordinal - ordinals(s).start < (rolling.partition or 0 if rolling else s.status.currentReplicas)


def new_pod(s: StatefulSet, ordinal: int, revision: str, template: core_v1.PodTemplateSpec) -> Pod:
    """The Pod of that ordinal."""
    meta = template.metadata
    name = f"{s.metadata.name}-{ordinal}"
    pod = Pod(
        metadata=meta_v1.ObjectMeta(
            name=name,
            generateName=f"{s.metadata.name}-",
            namespace=s.metadata.namespace,
            labels={**meta.labels, POD_LABEL: revision},
            annotations=meta.annotations,
            finalizers=meta.finalizers,
            ownerReferences=(reference_to(StatefulSet, s.metadata),),
        ),
        spec=replace(template.spec, hostname=name, subdomain=s.spec.serviceName),
    )
    return mended(s, pod)


def mended(s: StatefulSet, pod: Pod) -> Pod:
    """The Pod with the labels and volumes that its ordinal asks for; an equal one, if it has them."""
    ordinal = ordinal_of(pod)
    labels = dict(pod.metadata.labels)
    if labels.get(NAME_LABEL) != pod.metadata.name:
        labels |= {NAME_LABEL: pod.metadata.name, INDEX_LABEL: str(ordinal)}
    wanted = {template: claim.metadata.name for template, claim in claims_of(s, ordinal).items()}
    there = {v.name: v.persistentVolumeClaim.claimName for v in pod.spec.volumes if v.persistentVolumeClaim}
    volumes = pod.spec.volumes
    if not wanted.items() <= there.items():
        ours = tuple(
            core_v1.Volume(
                name=template, persistentVolumeClaim=core_v1.PersistentVolumeClaimVolumeSource(claimName=claim)
            )
            for template, claim in wanted.items()
        )
        volumes = ours + tuple(volume for volume in volumes if volume.name not in wanted)
    if volumes is pod.spec.volumes and labels == pod.metadata.labels:
        return pod
    return replace(pod, metadata=replace(pod.metadata, labels=labels), spec=replace(pod.spec, volumes=volumes))


def claims_of(s: StatefulSet, ordinal: int) -> dict[str, PersistentVolumeClaim]:
    """The claims of one Pod, by the names of their templates."""
    labels = s.spec.selector.matchLabels if s.spec.selector else {}
    claims = {}
    for template in s.spec.volumeClaimTemplates:
        meta = replace(
            template.metadata,
            name=f"{template.metadata.name}-{s.metadata.name}-{ordinal}",
            namespace=s.metadata.namespace,
            labels={**template.metadata.labels, **labels},
        )
        claims[template.metadata.name] = PersistentVolumeClaim(metadata=meta, spec=template.spec)
    return claims


def is_stale(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    """Whether the claim belongs to an earlier Pod of that name, and goes with it."""
    refs = claim.metadata.ownerReferences
    return any(_is_to(ref, Pod, pod.metadata) and ref.uid != pod.metadata.uid for ref in refs)


def owners_of_claim(claim: PersistentVolumeClaim, s: StatefulSet, pod: Pod) -> tuple[meta_v1.OwnerReference, ...]:
    """The claim's owners as persistentVolumeClaimRetentionPolicy asks: with what the claim shall go.

    Claims that belong to an earlier StatefulSet or Pod of the name are left as they are, and those that another
    controller has are left to it.
    """
    refs = claim.metadata.ownerReferences
    ours = [ref for ref in refs if _is_to(ref, StatefulSet, s.metadata) or _is_to(ref, Pod, pod.metadata)]
    if any(ref.uid not in (s.metadata.uid, pod.metadata.uid) for ref in ours):
        return refs
    others = tuple(ref for ref in refs if ref not in ours)
    policy = s.spec.persistentVolumeClaimRetentionPolicy
    on_scaling = policy is not None and policy.whenScaled == "Delete"
    on_deletion = policy is not None and policy.whenDeleted == "Delete"
    if (on_scaling or on_deletion) and any(ref.controller for ref in others):
        return others
    if on_scaling and ordinal_of(pod) not in ordinals(s):
        wanted = reference_to(Pod, pod.metadata)
    elif on_deletion:
        wanted = reference_to(StatefulSet, s.metadata)
    else:
        return others
    kept = tuple(ref for ref in refs if ref in others or (ref.uid == wanted.uid and ref.controller))
    return kept if any(ref.uid == wanted.uid for ref in kept) else (*kept, wanted)


def _is_to(ref: meta_v1.OwnerReference, kind: type[StatefulSet] | type[Pod], meta: meta_v1.ObjectMeta) -> bool:
    return names_kind(ref, kind) and ref.name == meta.name


def status_of(s: StatefulSet, pods: Sequence[Pod], current: str, update: str, now: float) -> apps_v1.StatefulSetStatus:
    """Counts of what was seen. When all Pods are of the update, it becomes the current revision."""
    staying = [pod for pod in pods if not is_terminating(pod)]
    ready = [pod for pod in pods if pod.status.phase == "Running" and is_ready(pod)]
    status = replace(
        s.status,
        replicas=len(pods),
        readyReplicas=len(ready),
        availableReplicas=sum(until_available(pod, s.spec.minReadySeconds, now) == 0 for pod in ready),
        currentReplicas=sum(revision_of(pod) == current for pod in staying),
        updatedReplicas=sum(revision_of(pod) == update for pod in staying),
        currentRevision=current,
        updateRevision=update,
    )
    if is_rolling(s) and status.updatedReplicas == status.readyReplicas == status.replicas == replicas_of(s):
        status = replace(status, currentRevision=update, currentReplicas=status.updatedReplicas)
    return status
