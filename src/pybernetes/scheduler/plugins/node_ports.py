"""NodePorts: two Pods on a Node cannot have the same host port."""

from collections.abc import Iterable

import numpy as np

from pybernetes.rules.requests import ports_clash
from pybernetes.scheduler.framework import ClusterEvent, Cycle, Happening, Plugin, Rejected
from pybernetes.scheduler.snapshot import PodInfo


class _NodePorts(Plugin):
    name = "NodePorts"
    order = 50
    unblocked_by = frozenset({Happening.NODE_ADDED, Happening.POD_FREED})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        if not cycle.info.ports:
            return
        taken = np.zeros(cycle.snapshot.size, np.bool_)
        for wanted in cycle.info.ports:
            _, protocol, port = wanted
            for used_ip, row in cycle.snapshot.nodes_using(protocol, port):
                taken[row] |= ports_clash([wanted], [(used_ip, protocol, port)])
        yield Rejected("node(s) didn't have free ports for the requested pod ports", taken)

    def hint(self, event: ClusterEvent, info: PodInfo) -> bool:
        if event.what != Happening.POD_FREED or event.pod is None:
            return True
        freed = {port.hostPort for container in event.pod.spec.containers for port in container.ports}
        return any(port in freed for _, _, port in info.ports)


PLUGIN = _NodePorts()
