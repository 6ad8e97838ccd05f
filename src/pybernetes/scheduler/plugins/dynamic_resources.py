"""DynamicResources: no Node has the devices of a Pod's ResourceClaims, for nobody allocates them yet (KEP-4381).

Such a Pod waits with the reason that it has where no driver offers devices, and does not run without what it asks for.
"""

from collections.abc import Hashable, Iterable

from pybernetes.scheduler.framework import Cycle, Happening, Plugin, Rejected


class _DynamicResources(Plugin):
    name = "DynamicResources"
    order = 110
    unblocked_by = frozenset({Happening.NODE_ADDED})

    def filter(self, cycle: Cycle) -> Iterable[Rejected]:
        if cycle.pod.spec.resourceClaims:
            yield Rejected("cannot allocate all claims", cycle.snapshot.present.copy(), final=True)

    def shape(self, cycle: Cycle) -> Hashable:
        return bool(cycle.pod.spec.resourceClaims)


PLUGIN = _DynamicResources()
