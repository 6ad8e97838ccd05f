"""Rules of ReplicaSets, ReplicationControllers and Deployments: never too many Pods, never too few by their own act."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from tools.soak.worlds.ledger import Attempt, Ledger, Life, Obj, Rule, Write, controller_of
from tools.soak.worlds.pods import is_active, is_ended, is_recreate, labels_of, limits, replicas_of, selects

OF_REPLICAS = ("replicaset-controller", "replicationcontroller-controller")
DEPLOYMENT = "deployment-controller"
AUTOSCALER = "horizontal-pod-autoscaler-controller"
DESIRED = "deployment.kubernetes.io/desired-replicas"


def _is_one_of(owner: Life, pod: Obj) -> bool:
    return controller_of(pod) == owner.uid and is_active(pod) and selects(owner.obj, labels_of(pod))


def pods_within_replicas(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod is made only when fewer are there, as far as its maker can know, than any spec it can know wants."""
    by = write.by
    if write.verb != "create" or by.part not in OF_REPLICAS or by.late:
        return
    owner = ledger.lives.get(controller_of(write.life.obj))
    if owner is None:
        yield "a Pod was made for an owner that never was"
        return
    specs = ledger.recent(owner)
    most = max((replicas_of(spec) for spec in specs), default=0)
    there = [p for p in ledger.owned(owner.uid, "Pod") if ledger.must_hold(p, by, lambda pod: _is_one_of(owner, pod))]
    if len(there) > most:
        yield f"{len(there)} Pods of {owner}, which wants {most}: {', '.join(p.name for p in there)}"


def surplus_alone_goes(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod is removed only when more may be there than any spec that its remover can know wants."""
    by = write.by
    if not write.asks_deletion or by.part not in OF_REPLICAS or by.late:
        return
    owner = ledger.lives.get(controller_of(write.life.obj))
    if owner is None or owner.gone is not None:
        return
    least = min(replicas_of(spec) for spec in ledger.recent(owner))
    there = [p for p in ledger.owned(owner.uid, "Pod") if ledger.may_hold(p, by, lambda pod: _is_one_of(owner, pod))]
    if len(there) <= least:
        yield f"removed, though {owner} wants {least} and has {len(there)} at most"


def _sets(ledger: Ledger, deployment: Life) -> list[Life]:
    return [
        rs for rs in ledger.owned(deployment.uid, "ReplicaSet")
        if rs.gone is None and controller_of(rs.obj) == deployment.uid
    ]  # fmt: skip


def _known_size(ledger: Ledger, rs: Life, by: Attempt) -> int:
    size = replicas_of(rs.obj)
    if ledger.must_hold(rs, by, lambda obj: replicas_of(obj) == size):
        return size
    return min(replicas_of(obj) for obj in ledger.recent(rs))


def within_surge(ledger: Ledger, write: Write) -> Iterator[str]:
    """The sizes of a Deployment's ReplicaSets together never grow beyond replicas and maxSurge."""
    by = write.by
    if by.part != DEPLOYMENT or by.late or write.new is None:
        return
    before = replicas_of(write.old) if write.old is not None else 0
    deployment = ledger.lives.get(controller_of(write.new))
    if replicas_of(write.new) <= before or deployment is None:
        return
    specs = ledger.recent(deployment)
    most = max((limits(spec)[0] for spec in specs), default=0)
    sizes = {rs.name: _known_size(ledger, rs, by) for rs in _sets(ledger, deployment)}
    if sum(sizes.values()) > most:
        yield f"grew from {before}: {sizes} together are more than {most}"
    begins = before == 0 and (write.old is None or _desired(write.old) == _desired(write.new))
    if begins and all(is_recreate(spec) for spec in specs):  # a change of spec.replicas waits for nobody
        yield from _alone(ledger, write, deployment)


def _runs(owner: Life, pod: Obj) -> bool:
    return controller_of(pod) == owner.uid and not is_ended(pod)


def _alone(ledger: Ledger, write: Write, deployment: Life) -> Iterator[str]:
    """Recreate: nothing of an old ReplicaSet runs any more."""
    for rs in _sets(ledger, deployment):
        if rs is write.life:
            continue
        for pod in ledger.owned(rs.uid, "Pod"):
            if ledger.must_hold(pod, write.by, partial(_runs, rs)):
                yield f"grew while {pod} of {rs.name} is not gone"


def enough_available(ledger: Ledger, write: Write) -> Iterator[str]:
    """No step of a rolling update takes away available Pods beyond replicas less maxUnavailable."""
    by = write.by
    if by.part != DEPLOYMENT or by.late or write.new is None or write.old is None:
        return
    before, after = replicas_of(write.old), replicas_of(write.new)
    deployment = ledger.lives.get(controller_of(write.new))
    if after >= before or deployment is None or deployment.gone is not None:
        return
    if _desired(write.old) != _desired(write.new):
        return  # spec.replicas has changed: everybody gets a share of that, whoever is available
    specs = ledger.recent(deployment)
    if any(is_recreate(spec) or spec["spec"].get("paused") for spec in specs):
        return
    least = min(limits(spec)[1] for spec in specs)
    left = dropped = 0
    for rs in _sets(ledger, deployment):
        available = max(int(obj.get("status", {}).get("availableReplicas", 0)) for obj in ledger.recent(rs))
        size = max(replicas_of(obj) for obj in ledger.recent(rs)) if rs is not write.life else after
        left += min(size, available)
        if rs is write.life:
            fewest = min(int(obj.get("status", {}).get("availableReplicas", 0)) for obj in ledger.recent(rs))
            dropped = min(before, fewest) - min(after, fewest)
    if dropped > 0 and left < least:
        yield f"shrank from {before} to {after}: {left} available Pods are left of at least {least}"


def _desired(rs: Obj) -> str:
    return str((rs["metadata"].get("annotations") or {}).get(DESIRED, ""))


def within_bounds(ledger: Ledger, write: Write) -> Iterator[str]:
    """An autoscaler scales within bounds that it can know to be its own, and nothing that somebody put at zero."""
    by, old, new = write.by, write.old, write.new
    if by.part != AUTOSCALER or by.late or old is None or new is None or replicas_of(old) == replicas_of(new):
        return
    wanted = replicas_of(new)
    its = [
        spec["spec"]
        for life in ledger.lives.values()
        if life.kind == "HorizontalPodAutoscaler" and life.namespace == write.life.namespace
        for spec in ledger.recent(life)
        if spec["spec"]["scaleTargetRef"]["name"] == write.life.name
    ]
    if not any(spec["minReplicas"] <= wanted <= spec["maxReplicas"] for spec in its):
        yield f"scaled from {replicas_of(old)} to {wanted}, which no autoscaler of it allows"
    if replicas_of(old) == 0:
        yield f"scaled from zero to {wanted}, and it was not the autoscaler that went there"


RULES: Mapping[str, Iterable[Rule]] = {
    "Deployment": (within_bounds,),
    "Pod": (pods_within_replicas, surplus_alone_goes),
    "ReplicaSet": (within_surge, enough_available),
}
