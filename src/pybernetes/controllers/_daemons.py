"""DaemonSets, the pure part: which Nodes should run a Pod, which Pods come and go, what the status says. daemonset.py acts.

A Pod belongs to the Node that its affinity names; the scheduler binds it there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from pybernetes.api.types import apps_v1, core_v1
from pybernetes.controllers._history import POD_LABEL
from pybernetes.controllers._pod_writes import pod_of
from pybernetes.controllers._replicas import until_available
from pybernetes.rules import taints
from pybernetes.rules.affinity import fits, required_terms
from pybernetes.rules.readiness import is_finished, is_ready, is_terminating
from pybernetes.rules.workloads import scaled

DaemonSet = apps_v1.DaemonSet
Node = core_v1.Node
Pod = core_v1.Pod

NAME_FIELD = "metadata.name"
GENERATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"

_ENDURED = (
    (taints.NOT_READY, taints.NO_EXECUTE),
    (taints.UNREACHABLE, taints.NO_EXECUTE),
    (taints.DISK_PRESSURE, taints.NO_SCHEDULE),
    (taints.MEMORY_PRESSURE, taints.NO_SCHEDULE),
    (taints.PID_PRESSURE, taints.NO_SCHEDULE),
    (taints.UNSCHEDULABLE, taints.NO_SCHEDULE),
)
"""What every daemon tolerates; those on the host's network also that there is none."""


def tolerations(spec: core_v1.PodSpec) -> tuple[core_v1.Toleration, ...]:
    """The template's, and those that every daemon has."""
    endured = [*_ENDURED, *([(taints.NETWORK_UNAVAILABLE, taints.NO_SCHEDULE)] if spec.hostNetwork else [])]
    added = [core_v1.Toleration(key=key, operator="Exists", effect=effect) for key, effect in endured]
    # One that the template has for a time is without end, where it stands.
    own = [forever if (forever := replace(t, tolerationSeconds=None)) in added else t for t in spec.tolerations]
    return (*own, *(toleration for toleration in added if toleration not in own))


def should_run(ds: DaemonSet, node: Node) -> tuple[bool, bool]:
    """Whether a Pod should be made there, and whether one that is there may stay."""
    spec, name = ds.spec.template.spec, node.metadata.name
    if spec.nodeName not in ("", name) or not fits(Pod(spec=spec), node.metadata.labels, name):
        return False, False
    held = tolerations(spec)
    if taints.untolerated(node.spec.taints, held) is None:
        return True, True
    return False, taints.untolerated(node.spec.taints, held, {taints.NO_EXECUTE}) is None


def node_of(pod: Pod) -> str:
    """The Node that it runs on or is meant for; empty where nothing says so."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    required = required_terms(pod)
    for term in required.nodeSelectorTerms if required else ():
        for wanted in term.matchFields:
            if wanted.key == NAME_FIELD and wanted.operator == "In" and len(wanted.values) == 1:
                return wanted.values[0]
    return ""


def new_pod(ds: DaemonSet, node: str, revision: str) -> Pod:
    """The Pod for a Node, of the newest template, whose hash is `revision`."""
    template = ds.spec.template
    labels = {**template.metadata.labels, POD_LABEL: revision}
    generation = ds.metadata.annotations.get(GENERATION, "")
    if generation.isascii() and generation.isdigit():
        labels[GENERATION_LABEL] = str(int(generation))
    pod = pod_of(DaemonSet, ds)
    affinity = _pinned(template.spec.affinity or core_v1.Affinity(), node)
    return replace(
        pod,
        metadata=replace(pod.metadata, labels=labels),
        spec=replace(template.spec, tolerations=tolerations(template.spec), affinity=affinity),
    )


def _pinned(affinity: core_v1.Affinity, node: str) -> core_v1.Affinity:
    """To the Node by name, instead of what the template required: should_run() has asked for that."""
    wanted = core_v1.NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=(node,))
    required = core_v1.NodeSelector(nodeSelectorTerms=(core_v1.NodeSelectorTerm(matchFields=(wanted,)),))
    own = affinity.nodeAffinity or core_v1.NodeAffinity()
    return replace(affinity, nodeAffinity=replace(own, requiredDuringSchedulingIgnoredDuringExecution=required))


def limits(ds: DaemonSet, wanted: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers, both rounded up; never both zero."""
    rolling = ds.spec.updateStrategy.rollingUpdate
    if ds.spec.updateStrategy.type == "OnDelete" or rolling is None:
        return 0, 0
    surge = scaled(rolling.maxSurge, wanted, round_up=True)
    missing = scaled(rolling.maxUnavailable, wanted, round_up=True, default=1)
    return (surge, missing) if surge or missing else (0, 1)


@dataclass(slots=True)
class Steps:
    """Pods that come and go."""

    create: list[str] = field(default_factory=list)
    """Names of Nodes."""
    delete: list[Pod] = field(default_factory=list)
    ended: list[Pod] = field(default_factory=list)
    """Pods that have ended: they go, too, the failed ones with back-off."""


class Fleet:
    """The Pods of a DaemonSet by their Nodes, as they were seen at one moment."""

    def __init__(self, ds: DaemonSet, nodes: Iterable[Node], pods: Iterable[Pod], revision: str, now: float) -> None:
        self._ds, self._revision, self._now = ds, revision, now
        self.nodes: Mapping[str, tuple[bool, bool]] = {n.metadata.name: should_run(ds, n) for n in nodes}
        self.desired = [name for name, (run, _) in sorted(self.nodes.items()) if run]
        self.pods: dict[str, list[Pod]] = {}
        for pod in sorted(pods, key=_age):
            if node_of(pod) and not (is_finished(pod) and is_terminating(pod)):
                self.pods.setdefault(node_of(pod), []).append(pod)
        self.surge, self.unavailable = limits(ds, len(self.desired))

    def is_available(self, pod: Pod) -> bool:
        """Ready for minReadySeconds."""
        return until_available(pod, self._ds.spec.minReadySeconds, self._now) == 0

    def is_new(self, pod: Pod) -> bool:
        """Whether it is of the newest template."""
        return pod.metadata.labels.get(POD_LABEL) == self._revision

    def placed(self) -> Steps:
        """What makes it one Pod a Node; while an update surges, an old and a new one."""
        steps = Steps()
        for name in sorted(self.nodes):
            self._place(name, steps)
        for name, pods in sorted(self.pods.items()):
            if name not in self.nodes:  # nobody else would ever bind or remove them
                steps.delete += [pod for pod in pods if not pod.spec.nodeName and not is_terminating(pod)]
        return steps

    def _place(self, name: str, steps: Steps) -> None:
        run, stay = self.nodes[name]
        there = [pod for pod in self.pods.get(name, ()) if not is_terminating(pod)]
        if not stay:
            steps.delete += there
            return
        running = [pod for pod in there if not is_finished(pod)]
        steps.ended += [pod for pod in there if is_finished(pod)]
        if run and (not there if self.surge else name not in self.pods):
            steps.create.append(name)
        elif len(running) > 1:
            steps.delete += self._surplus(running) if self.surge else running[1:]

    def _surplus(self, running: Sequence[Pod]) -> list[Pod]:
        """All but the oldest of the old and the oldest of the new; the old one, too, when it is not needed any more."""
        new = [pod for pod in running if self.is_new(pod)]
        old = [pod for pod in running if not self.is_new(pod)]
        surplus = [*new[1:], *old[1:]]
        if new and old and (not is_ready(old[0]) or self.is_available(new[0])):
            surplus.append(old[0])
        return surplus

    def updated(self) -> Steps:
        """The next step of a rolling update, when nothing else is to be done."""
        pairs: dict[str, tuple[Pod | None, Pod | None] | None] = {}
        for name in sorted({*self.desired, *self.pods}):
            there = [pod for pod in self.pods.get(name, ()) if not is_terminating(pod)]
            new = [pod for pod in there if self.is_new(pod)]
            old = [pod for pod in there if not self.is_new(pod)]
            crowded = len(new) > 1 or len(old) > 1
            pairs[name] = None if crowded else (new[0] if new else None, old[0] if old else None)
        return self._surged(pairs) if self.surge else self._replaced(pairs)

    def _replaced(self, pairs: Mapping[str, tuple[Pod | None, Pod | None] | None]) -> Steps:
        """Old Pods that are not available go at once, others as far as maxUnavailable allows."""
        missing, sick, well = 0, [], []
        for pair in pairs.values():
            new, old = pair or (None, None)
            if (new is None) == (old is None):
                missing += 1  # none, or too many: placed() sees to it
            elif new is not None:
                missing += not self.is_available(new)
            elif old is not None and self.is_available(old):
                well.append(old)
            elif old is not None:
                missing += 1
                sick.append(old)
        return Steps(delete=sick + well[: max(0, self.unavailable - missing)])

    def _surged(self, pairs: Mapping[str, tuple[Pod | None, Pod | None] | None]) -> Steps:
        """New Pods beside old ones, maxSurge at once; an old one goes when its new one is available."""
        steps = Steps()
        surging, available = 0, 0
        candidates: list[str] = []
        leaving: list[Pod] = []
        for name, pair in pairs.items():
            new, old = pair or (None, None)
            kept = old or new
            available += kept is not None and self.is_available(kept)
            surging += pair is None or (old is not None and new is not None and not self.is_available(new))
            if old is None:
                continue
            run = self.nodes.get(name, (False, False))[0]
            if new is not None:
                steps.delete += [old] if self.is_available(new) else []
            elif self.is_available(old):
                candidates += [name] if run else []
                leaving += [] if run else [old]
            elif run:
                steps.create.append(name)
            else:
                steps.delete.append(old)
        # A Node that should not run one any more gives it up when there are enough elsewhere.
        steps.delete += leaving[: max(0, available - len(self.desired))]
        steps.create += candidates[: max(0, self.surge - surging)]
        return steps

    def status(self) -> apps_v1.DaemonSetStatus:
        """Counts of what was seen: the oldest Pod of each Node counts."""
        first = [self.pods[name][0] for name in self.desired if name in self.pods]
        ready = [pod for pod in first if is_ready(pod)]
        available = sum(self.is_available(pod) for pod in ready)
        return replace(
            self._ds.status,
            desiredNumberScheduled=len(self.desired),
            currentNumberScheduled=len(first),
            numberMisscheduled=sum(name in self.pods for name, (run, _) in self.nodes.items() if not run),
            numberReady=len(ready),
            updatedNumberScheduled=sum(self.is_new(pod) for pod in first),
            numberAvailable=available,
            numberUnavailable=len(self.desired) - available,
        )


def _age(pod: Pod) -> tuple[bool, str, str]:
    """Bound ones first, then the oldest."""
    return not pod.spec.nodeName, pod.metadata.creationTimestamp or "", pod.metadata.name
