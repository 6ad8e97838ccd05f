"""Static Pods (files of a node, not of the API) and their mirrors in the API: how to tell them.

The kubelet makes them: kubelet/manifests.py, kubelet/mirrors.py.
"""

from pybernetes.api.types.core_v1 import Pod

CONFIG_HASH = "kubernetes.io/config.hash"
"""Annotation of a static Pod and of its mirror: what the manifest says, as a hash."""
CONFIG_SOURCE = "kubernetes.io/config.source"
"""Where a kubelet has a Pod from: `api`, `file` or `http`."""
CONFIG_SEEN = "kubernetes.io/config.seen"
"""When the kubelet first saw the manifest."""
CONFIG_MIRROR = "kubernetes.io/config.mirror"
"""Annotation of a mirror: the hash of the static Pod that it shows."""
FILE, HTTP = "file", "http"

SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""Priorities that need no PriorityClass object to be known."""


def is_mirror(pod: Pod) -> bool:
    """Whether a Pod of the API only shows one that a node has from a file."""
    return CONFIG_MIRROR in pod.metadata.annotations


def is_static(pod: Pod) -> bool:
    """Whether a kubelet has the Pod from a file or a URL."""
    return not is_mirror(pod) and pod.metadata.annotations.get(CONFIG_SOURCE) in (FILE, HTTP)


def mirrors(mirror: Pod, static: Pod) -> bool:
    """Whether `mirror` shows just this static Pod, and not an older manifest of its name."""
    return is_mirror(mirror) and mirror.metadata.annotations[CONFIG_MIRROR] == static.metadata.annotations[CONFIG_HASH]
