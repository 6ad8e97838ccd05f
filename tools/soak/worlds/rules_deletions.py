"""Rules of deletions: nobody removes what is not his, the collector nothing that has an owner; and of quotas and storms."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from tools.soak.worlds.ledger import REQUEST, Ledger, Life, Obj, Rule, Write, controller_of
from tools.soak.worlds.pods import is_ended, is_going, is_ready, labels_of, selects

OWNERS: Mapping[str, str] = {
    "replicaset-controller": "ReplicaSet",
    "replicationcontroller-controller": "ReplicationController",
    "statefulset-controller": "StatefulSet",
    "daemonset-controller": "DaemonSet",
    "job-controller": "Job",
    "deployment-controller": "Deployment",
    "cronjob-controller": "CronJob",
}
"""What the victims of each controller belong to."""
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
STORM = 120
"""Writes of one object by one controller in a minute that are too many, whatever happens."""
ENDLESS = 20_000
"""Writes of all together that no world needs: some go round in a circle."""
MINUTE = 60.0


def only_ones_own(ledger: Ledger, write: Write) -> Iterator[str]:
    """A workload's controller removes what an owner of its kind has, by uid."""
    wanted = OWNERS.get(write.by.part)
    if wanted is None or not write.asks_deletion or write.old is None:
        return
    # A request that comes late demands the uid alone, as upstream's do not even: its victim may have been let go meanwhile.
    states = [version.obj for version in write.life.versions] if write.by.late else [write.old]
    owners = [ledger.lives.get(controller_of(obj)) for obj in states]
    if not any(owner is not None and owner.kind == wanted for owner in owners):
        yield f"removed by the {write.by.part}, and belongs to {owners[-1]}"


def _waits(owner: Obj) -> bool:
    return is_going(owner) and FOREGROUND in owner["metadata"].get("finalizers", ())


def _waited(ledger: Ledger, owner: Life) -> bool:
    """Whether it waits for its dependents, or did when the collector may have looked."""
    since = ledger.now() - REQUEST
    ends = [*(version.at for version in owner.versions[1:]), ledger.now()]
    return any(_waits(version.obj) for version, end in zip(owner.versions, ends, strict=True) if end >= since)


def _is_owner(owner: Life, ref: Obj, namespace: str) -> bool:
    return owner.name == ref["name"] and owner.kind == ref["kind"] and owner.namespace in ("", namespace)


def nothing_that_is_owned(ledger: Ledger, write: Write) -> Iterator[str]:
    """The collector removes only what has owners, none of whom is there and stays."""
    if write.by.part != "garbage-collector-controller" or not write.asks_deletion or write.old is None:
        return
    refs = write.old["metadata"].get("ownerReferences") or ()
    if not refs:
        yield "collected, and has no owner"
    for ref in refs:
        owner = ledger.lives.get(ref["uid"])
        if owner is not None and owner.gone is None and _is_owner(owner, ref, write.life.namespace):
            if not _waited(ledger, owner):
                does = "lets it go" if ORPHAN in owner.obj["metadata"].get("finalizers", ()) else "is there"
                yield f"collected, though its owner {owner} {does}"
        elif owner is None and ref["kind"] == "Unknown":
            yield "collected, and nobody knows the kind of its owner"


def for_a_reason(ledger: Ledger, write: Write) -> Iterator[str]:
    """What else removes objects has a reason that it can know of."""
    by, old = write.by.part, write.old
    if not write.asks_deletion or old is None:
        return
    if by == "namespace-controller" and write.life.namespace:
        space = [n for n in ledger.lives.values() if n.kind == "Namespace" and n.name == write.life.namespace]
        if not any(is_going(space.obj) for space in space):
            yield "removed with its namespace, which is not being deleted"
    elif by == "pod-garbage-collector-controller":
        node = ledger.find("Node", "", old["spec"].get("nodeName", ""))
        if not is_ended(old) and not is_going(old) and node is not None and node.versions[0].at < ledger.now() - 30:
            yield f"removed as an orphan, and its node {node.name} is there"
    elif by == "taint-eviction-controller":
        nodes = [n for n in ledger.lives.values() if n.kind == "Node" and n.name == old["spec"].get("nodeName", "")]
        seen = [node for one in nodes for node in ledger.recent(one)]
        if not any(taint["effect"] == "NoExecute" for node in seen for taint in node["spec"].get("taints") or ()):
            yield "evicted from a node without a taint"


def within_quota(ledger: Ledger, write: Write) -> Iterator[str]:
    """No Pod is let in beyond what a quota allows."""
    if write.verb != "create":
        return
    for quota in ledger.living("ResourceQuota"):
        if quota.namespace != write.life.namespace:
            continue
        versions = [v.obj for v in quota.versions if v.at > ledger.now() - MINUTE] or [quota.obj]
        told = [obj.get("status", {}).get("hard", {}).get("pods") for obj in versions]
        if None in told:
            continue  # not counted yet: it lets nobody in, but for what is on its way
        most = max(int(text) for text in told)
        there = [p for p in ledger.all("Pod", quota.namespace) if not is_ended(p) and not is_going(p)]
        if len(there) > most:
            yield f"{len(there)} Pods, and {quota} allows {most}"


def within_budget(ledger: Ledger, write: Write) -> Iterator[str]:
    """An eviction of a healthy Pod leaves as many as its budget wants, as far as the budget can know."""
    pod = write.old
    if write.by.part != "drain" or not write.asks_deletion or pod is None or not is_ready(pod):
        return
    for budget in ledger.living("PodDisruptionBudget"):
        if budget.namespace != write.life.namespace or not selects(budget.obj, labels_of(pod)):
            continue
        states = [obj.get("status", {}) for obj in ledger.recent(budget)]
        least = min(int(status.get("desiredHealthy", 0)) for status in states)
        left = [
            other for other in ledger.lives.values()
            if other.kind == "Pod" and other is not write.life and other.namespace == budget.namespace
            and (other.asked is None or other.asked.by.part != "drain")
            and any(is_ready(obj) and selects(budget.obj, labels_of(obj)) for obj in ledger.recent(other))
        ]  # fmt: skip
        if len(left) < least:
            yield f"evicted, though {budget} wants {least} healthy Pods and has {len(left)} others at most"


class Storms:
    """Notices who writes one object again and again."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._writes = 0

    def __call__(self, ledger: Ledger, write: Write) -> Iterator[str]:
        """No controller writes one object more than STORM times a minute; and no world goes on for ever."""
        self._writes += 1
        if self._writes == ENDLESS:
            yield f"write number {ENDLESS}"
        if write.by.generation == 0:
            return
        times = self._times.setdefault((write.by.part, write.life.uid), deque())
        times.append(ledger.now())
        while times[0] < ledger.now() - MINUTE:
            times.popleft()
        if len(times) > STORM:
            yield f"{len(times)} writes by {write.by.part} in a minute"


RULES: Mapping[str, Iterable[Rule]] = {
    "": (only_ones_own, nothing_that_is_owned, for_a_reason),
    "Pod": (within_quota, within_budget),
}
