"""NodeUnschedulable: no new Pods on cordoned Nodes, unless they tolerate that."""

from collections.abc import Hashable, Iterable

from pybernetes.api.types.core_v1 import Pod, Taint
from pybernetes.rules.taints import NO_SCHEDULE, UNSCHEDULABLE, tolerates
from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected

_CORDONED = Taint(key=UNSCHEDULABLE, effect=NO_SCHEDULE)


class _NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    order = 10
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.NODE_TAINTS})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        if not _tolerated(cycle.pod):
            yield Rejected("node(s) were unschedulable", cycle.snapshot.unschedulable.copy(), final=True)

    def shape(self, cycle: Cycle) -> Hashable:
        return _tolerated(cycle.pod)


def _tolerated(pod: Pod) -> bool:
    return any(tolerates(toleration, _CORDONED) for toleration in pod.spec.tolerations)


PLUGIN = _NodeUnschedulable()
