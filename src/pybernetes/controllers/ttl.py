"""TTL controller: tells kubelets on each Node how long they may keep what they read, by the size of the cluster.

The annotation is advice for kubelets that ask instead of watching. The sizes overlap: a cluster at a limit does not
change its mind with every Node.
"""

from msgspec.structs import replace

from pybernetes.api.objects import Key
from pybernetes.api.types import core_v1
from pybernetes.controllers.runtime import EVENTS, Context, Controller, Done, Outcome, Watch, allow

ANNOTATION = "node.alpha.kubernetes.io/ttl"
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31, 300))
"""Fewest and most Nodes, and seconds."""


class _Size:
    """Which step the cluster is at."""

    def __init__(self) -> None:
        self.step = 0

    def moves(self, nodes: int) -> bool:
        """Whether so many Nodes lead to another step."""
        before = self.step
        while nodes > STEPS[self.step][1]:
            self.step += 1
        while nodes < STEPS[self.step][0]:
            self.step -= 1
        return self.step != before


def _matters(old: core_v1.Node, new: core_v1.Node) -> bool:
    return old.metadata.annotations.get(ANNOTATION) != new.metadata.annotations.get(ANNOTATION)


async def reconcile(key: Key, ctx: Context) -> Outcome:
    """One Node; all of them where it made the cluster larger or smaller."""
    nodes, size = ctx.cache(core_v1.Node), ctx.state(_Size)
    if size.moves(len(nodes)):
        for other in nodes.keys():  # noqa: SIM118 - a cache gives objects
            ctx.queue.add(other)
    node = nodes.get(key)
    if node is None:
        return Done()
    wanted = str(STEPS[size.step][2])
    if node.metadata.annotations.get(ANNOTATION) != wanted:
        meta = replace(node.metadata, annotations={**node.metadata.annotations, ANNOTATION: wanted})
        await ctx.api(core_v1.Node).patch(node, replace(node, metadata=meta))
    return Done()


CONTROLLER = Controller(
    name="ttl-controller",
    watches=(Watch(kind=core_v1.Node, changed=_matters),),
    reconcile=reconcile,
    rules=(allow("list watch patch update", "nodes"), EVENTS),
)
