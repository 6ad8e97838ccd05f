"""NodeName: a Pod that names its Node fits nowhere else. (Such Pods are normally bound already and never get here.)"""

from collections.abc import Iterable

from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected


class _NodeName(Plugin):
    name = "NodeName"
    order = 20
    unblocked_by = frozenset({Happening.NODE_ADDED})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        wanted = cycle.pod.spec.nodeName
        if not wanted:
            return
        others = cycle.snapshot.present.copy()
        if wanted in cycle.snapshot.rows:
            others[cycle.snapshot.rows[wanted]] = False
        yield Rejected("node(s) didn't match the requested node name", others, final=True)


PLUGIN = _NodeName()
