"""SchedulingGates: a Pod with gates waits outside the queue until they are removed (KEP-3521)."""

from pybernetes.api.types.core_v1 import Pod
from pybernetes.scheduler.framework import Plugin


class _SchedulingGates(Plugin):
    name = "SchedulingGates"
    order = 0

    def pre_enqueue(self, pod: Pod) -> str | None:
        gates = ", ".join(gate.name for gate in pod.spec.schedulingGates)
        return f"waiting for scheduling gates: [{gates}]" if gates else None


PLUGIN = _SchedulingGates()
