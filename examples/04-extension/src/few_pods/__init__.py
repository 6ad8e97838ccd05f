"""FewPods: a Node labelled `example.com/pods-per-app: "2"` takes at most two Pods with the same label `app`."""

from pybernetes.scheduler.framework import Cycle, NodeView, Plugin

LABEL = "example.com/pods-per-app"


class FewPods(Plugin):
    """Looks at one Node at a time; filter() and score() with numpy look at all Nodes at once."""

    name = "FewPods"

    def filter_node(self, cycle: Cycle, view: NodeView) -> str | None:
        """Why this Node is refused, in the words that `kubectl describe pod` shows, or None."""
        most = view.node.metadata.labels.get(LABEL, "")
        app = cycle.pod.metadata.labels.get("app")
        if not most.isdigit() or app is None:
            return None
        there = sum(pod.metadata.labels.get("app") == app for pod in view.pods)
        return "node(s) had enough pods of the app" if there >= int(most) else None


PLUGIN = FewPods()
