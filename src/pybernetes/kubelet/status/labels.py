"""Labels of a Node: the well-known ones that a kubelet sets, and which it may be told to set (--node-labels)."""

import platform

from pybernetes.kubelet.settings import Settings

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LABEL_SPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
LABELS = (
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)
"""Those that registration keeps as this kubelet says, whatever the Node there was had."""


def architecture() -> str:
    """As Go and container images name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def labels(settings: Settings) -> dict[str, str]:
    """The well-known labels that a kubelet sets."""
    arch = architecture()
    return {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": settings.node_name,
        "kubernetes.io/os": "linux",
    }


def may_label(key: str) -> bool:
    """Whether --node-labels may name it: kubernetes.io and k8s.io belong to others."""
    space, slash, _ = key.rpartition("/")
    if not slash or not any(space == own or space.endswith(f".{own}") for own in ("kubernetes.io", "k8s.io")):
        return True
    return key in LABELS or any(space == own or space.endswith(f".{own}") for own in LABEL_SPACES)
