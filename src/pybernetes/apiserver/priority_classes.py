"""The PriorityClasses of the system itself: bootstrap.py makes them, Pods that the cluster stands on name them."""

from pybernetes.api.objects import GroupResource, Object

SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
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
