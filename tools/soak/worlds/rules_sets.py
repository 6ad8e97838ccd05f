"""Rules of StatefulSets and DaemonSets: one Pod at a place, in order, and no Pod goes that is as it should be."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from pybernetes.rules.workloads import scaled
from tools.soak.worlds.actions import image_of
from tools.soak.worlds.ledger import LAG, Attempt, Ledger, Life, Obj, Rule, Write, controller_of
from tools.soak.worlds.pods import is_active, is_available, is_ended, is_ready, labels_of, replicas_of, selects

STATEFUL = "statefulset-controller"
DAEMONS = "daemonset-controller"


# --- StatefulSets


def _ordinals(s: Obj) -> range:
    start = (s["spec"].get("ordinals") or {}).get("start", 0)
    return range(start, start + replicas_of(s))


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])


def _is_ordered(s: Obj) -> bool:
    return bool(s["spec"].get("podManagementPolicy") != "Parallel")


def _member(ledger: Ledger, owner: Life, ordinal: int) -> list[Life]:
    name = f"{owner.name}-{ordinal}"
    return [pod for pod in ledger.owned(owner.uid, "Pod") if pod.name == name]


def _well(ledger: Ledger, owner: Life, ordinal: int, by: Attempt) -> bool:
    return any(ledger.may_hold(pod, by, is_ready) for pod in _member(ledger, owner, ordinal))


def made_in_order(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod is made for an ordinal that is wanted; in an ordered set all before it may be believed ready."""
    by = write.by
    if write.verb != "create" or by.part != STATEFUL or by.late:
        return
    owner = ledger.lives[controller_of(write.life.obj)]
    specs, ordinal = ledger.recent(owner), _ordinal(write.life.name)
    if not any(ordinal in _ordinals(spec) for spec in specs):
        yield f"{owner} wants no Pod of this ordinal"
    if not all(_is_ordered(spec) for spec in specs):
        return
    for before in range(max(_ordinals(spec).start for spec in specs), ordinal):
        if not _well(ledger, owner, before, by):
            yield f"made before {owner.name}-{before} was ready"


def _outdated(specs: Iterable[Obj], pod: Obj, ordinal: int) -> bool:
    for spec in specs:
        update = spec["spec"].get("updateStrategy") or {}
        partition = (update.get("rollingUpdate") or {}).get("partition") or 0
        rolls = update.get("type") != "OnDelete" and ordinal - _ordinals(spec).start >= partition
        if rolls and (image_of(spec) != image_of(pod) or _said(spec) != _said(pod)):
            return True
    return False


def _said(obj: Obj) -> dict[str, str]:
    meta = obj["spec"]["template"].get("metadata", {}) if "template" in obj["spec"] else obj["metadata"]
    return {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith("simulated.")}


def only_outdated_go(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod of a StatefulSet is removed when it has ended, is one too many, or is of another template."""
    by, pod = write.by, write.old
    if not write.asks_deletion or by.part != STATEFUL or pod is None or is_ended(pod):
        return
    owner = ledger.lives.get(controller_of(pod))
    if owner is None:
        return
    specs, ordinal = ledger.recent(owner), _ordinal(write.life.name)
    surplus = any(ordinal not in _ordinals(spec) for spec in specs)
    if not surplus and not _outdated(specs, pod, ordinal):
        yield f"removed, though {owner} wants it as it is"
    if by.late or owner.gone is not None or not all(_is_ordered(spec) for spec in specs):
        return
    if all(ordinal not in _ordinals(spec) for spec in specs):
        yield from _highest_first(ledger, write, owner, specs)
    elif not surplus and _was_well(ledger, specs, pod) and len({replicas_of(spec) for spec in specs}) == 1:
        missing = [n for n in _ordinals(owner.obj) if n != ordinal and not _well(ledger, owner, n, by)]
        if missing:
            yield f"updated while the Pods {missing} of {owner} are not ready"


def _highest_first(ledger: Ledger, write: Write, owner: Life, specs: list[Obj]) -> Iterator[str]:
    for pod in ledger.owned(owner.uid, "Pod"):
        ordinal = _ordinal(pod.name)
        if ordinal <= _ordinal(write.life.name) or any(ordinal in _ordinals(spec) for spec in specs):
            continue
        if ledger.must_hold(pod, write.by, lambda obj: controller_of(obj) == owner.uid):
            yield f"removed before {pod.name} was gone"


def _was_well(ledger: Ledger, specs: list[Obj], pod: Obj) -> bool:
    """Whether it was available by every spec: one that is not may be removed at any time."""
    return all(is_available(pod, spec["spec"].get("minReadySeconds", 0), ledger.now() - LAG) for spec in specs)


# --- DaemonSets


def _node_of(pod: Obj) -> str:
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    wanted = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (wanted.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or [{}]
    fields = terms[0].get("matchFields")
    return str(fields[0]["values"][0]) if fields else ""  # adopted, and not scheduled yet


def _is_at(owner: Life, node: str, pod: Obj) -> bool:
    return controller_of(pod) == owner.uid and is_active(pod) and _node_of(pod) == node


def _is_well_at(owner: Life, node: str, pod: Obj) -> bool:
    return _is_at(owner, node, pod) and is_ready(pod)


def _surges(ds: Obj) -> bool:
    update = ds["spec"].get("updateStrategy") or {}
    return update.get("type") != "OnDelete" and (update.get("rollingUpdate") or {}).get("maxSurge", 0) not in (0, "0%")


def one_daemon_a_node(ledger: Ledger, write: Write) -> Iterator[str]:
    """A Pod is made where none is; while an update surges, where one is."""
    by = write.by
    if write.verb != "create" or by.part != DAEMONS or by.late:
        return
    owner = ledger.lives[controller_of(write.life.obj)]
    node = _node_of(write.life.obj)

    def is_counted(pod: Obj) -> bool:
        return _is_at(owner, node, pod) and selects(owner.obj, labels_of(pod))

    there = [p for p in ledger.owned(owner.uid, "Pod") if ledger.must_hold(p, by, is_counted)]
    most = 2 if any(_surges(spec) for spec in ledger.recent(owner)) else 1
    if len(there) > most:
        yield f"{len(there)} Pods of {owner} on {node}"


_ENDURED = {
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
}
"""Taints that every daemon tolerates. A silent node has others besides: for a while it is none of those that are wanted."""


def _wanted_on(ds: Obj, node: Obj) -> bool:
    labels = node["metadata"].get("labels") or {}
    selector = ds["spec"]["template"]["spec"].get("nodeSelector") or {}
    held = [(taint["key"], taint["effect"]) for taint in node["spec"].get("taints") or ()]
    return selector.items() <= labels.items() and not any(taint not in _ENDURED for taint in held)


def _nodes(ledger: Ledger, name: str = "") -> list[Life]:
    return [one for one in ledger.lives.values() if one.kind == "Node" and name in ("", one.name)]


def _off(ledger: Ledger, specs: list[Obj], name: str) -> bool:
    """Whether the node may be believed to want no Pod, or to be gone."""
    lives = _nodes(ledger, name)
    if not any(one.gone is None for one in lives) or lives[-1].versions[0].at > ledger.now() - 30:
        return True
    seen = [node for one in lives for node in ledger.recent(one)]
    return any(not _wanted_on(spec, node) for spec in specs for node in seen)


def only_outdated_daemons_go(ledger: Ledger, write: Write) -> Iterator[str]:
    """A daemon is removed when it has ended, is misplaced, one too many, or of another template; few at once."""
    by, pod = write.by, write.old
    if not write.asks_deletion or by.part != DAEMONS or pod is None or is_ended(pod):
        return
    owner = ledger.lives.get(controller_of(pod))
    if owner is None or owner.gone is not None or controller_of(write.life.versions[0].obj) != owner.uid:
        return  # one that was adopted has no revision of it
    specs, node = ledger.recent(owner), _node_of(pod)
    if _off(ledger, specs, node):
        return
    there = [p for p in ledger.owned(owner.uid, "Pod") if ledger.may_hold(p, by, lambda pod: _is_at(owner, node, pod))]
    if len(there) > 1:
        return
    changed = [spec for spec in specs if image_of(spec) != image_of(pod) or _said(spec) != _said(pod)]
    selector = {str(spec["spec"]["template"]["spec"].get("nodeSelector")) for spec in specs}
    if not changed and len(selector) == 1 and str(pod["spec"].get("nodeSelector")) in selector:
        yield f"removed, though {owner} wants it as it is"
    elif not by.late and _was_well(ledger, specs, pod):
        yield from _few_at_once(ledger, write, owner, specs)


def _few_at_once(ledger: Ledger, write: Write, owner: Life, specs: list[Obj]) -> Iterator[str]:
    if any(_surges(spec) or (spec["spec"].get("updateStrategy") or {}).get("type") == "OnDelete" for spec in specs):
        return
    names = {one.name for one in _nodes(ledger) if one.gone is None}
    wanted = [name for name in sorted(names) if not _off(ledger, specs, name)]
    most = max(
        scaled((s["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("maxUnavailable"), len(names), round_up=True,
               default=1)
        for s in specs
    )  # fmt: skip
    missing = []
    for name in wanted:
        here = [
            p for p in ledger.owned(owner.uid, "Pod")
            if p is not write.life and ledger.may_hold(p, write.by, partial(_is_well_at, owner, name))
        ]  # fmt: skip
        if not here:
            missing.append(name)
    if len(missing) > most:
        yield f"removed, though {owner} has no ready Pod on {missing}, and {most} may be missing"


RULES: Mapping[str, Iterable[Rule]] = {
    "Pod": (made_in_order, only_outdated_go, one_daemon_a_node, only_outdated_daemons_go),
}
