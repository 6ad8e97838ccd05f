"""NoFriday: keeps Pods away from Nodes labelled `no-friday`; looks at one Node at a time, as a user's plugin may."""

from pybernetes.scheduler.framework import Cycle, NodeView, Plugin


class _NoFriday(Plugin):
    name = "NoFriday"

    def filter_node(self, cycle: Cycle, view: NodeView) -> str | None:
        return "node(s) have Friday off" if "no-friday" in view.node.metadata.labels else None


PLUGIN = _NoFriday()
