"""The PriorityClasses of the system itself: bootstrap.py makes them, Pods that the cluster stands on name them."""

from pybernetes.api.objects import GroupResource, Object
from pybernetes.rules.staticpods import SYSTEM_CLASSES

SYSTEM_PREFIX = "system-"
_ABOUT = {
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to another"
    " node if necessary.",
}
RESOURCE = GroupResource("scheduling.k8s.io", "priorityclasses")


def system_classes() -> list[Object]:
    """Both, as they are created."""
    return [
        {"metadata": {"name": name}, "value": value, "description": _ABOUT[name]}
        for name, value in SYSTEM_CLASSES.items()
    ]
