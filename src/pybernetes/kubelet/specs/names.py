"""Names of a Pod on its node: labels in the runtime, its log folder. sandbox.py and container.py use them."""

from pathlib import Path

from pybernetes.api.types import core_v1
from pybernetes.kubelet.cri import model as m
from pybernetes.kubelet.settings import Settings


def pod_ref(pod: core_v1.Pod) -> m.PodRef:
    """The Pod's names."""
    return m.PodRef(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)


def full_name(pod: core_v1.Pod) -> str:
    """`web_default(<uid>)`, as messages about Pods have it."""
    meta = pod.metadata
    return f"{meta.name}_{meta.namespace}({meta.uid})"


def labels(pod: core_v1.Pod) -> dict[str, str]:
    """By which the runtime's sandboxes and containers are found again."""
    meta = pod.metadata
    return {m.POD_NAME: meta.name, m.POD_NAMESPACE: meta.namespace, m.POD_UID: meta.uid}


def log_folder(settings: Settings, pod: core_v1.Pod) -> Path:
    """/var/log/pods/<namespace>_<name>_<uid>."""
    meta = pod.metadata
    return settings.logs / f"{meta.namespace}_{meta.name}_{meta.uid}"
