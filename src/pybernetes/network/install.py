"""Turning on the pod network on a node: the CNI programs and the agent's static Pod. Called inside the node.

The CNI configuration itself is written by the agent once it can attach Pods.
"""

import json
import platform
from importlib.resources import files
from pathlib import Path

from pybernetes import KUBERNETES_VERSION

NETWORK_NAME = "pod-network"
CNI_CONFIG = Path("/etc/cni/net.d/10-pod-network.conflist")
CNI_BIN = Path("/opt/cni/bin")
PLUGIN = "pybernetes"
MANIFEST = Path("/etc/kubernetes/manifests/pod-network.yaml")
KUBECONFIG = "/etc/kubernetes/kubelet.conf"

IMAGE = f"pybernetes/node:{KUBERNETES_VERSION}"
_NETNS = "HostToContainer"
_MOUNTS = (
    ("kubeconfig", KUBECONFIG, "File", ({"mountPath": KUBECONFIG, "readOnly": True},)),
    ("pki", "/var/lib/kubelet/pki", "Directory", ({"mountPath": "/var/lib/kubelet/pki", "readOnly": True},)),
    ("run", "/run/pybernetes", "DirectoryOrCreate", ({"mountPath": "/run/pybernetes"},)),
    # Network namespaces of Pods that come later must be seen, under both names that runtimes give the folder
    (
        "netns",
        "/run/netns",
        "DirectoryOrCreate",
        tuple({"mountPath": path, "mountPropagation": _NETNS} for path in ("/run/netns", "/var/run/netns")),
    ),
    ("cni-config", str(CNI_CONFIG.parent), "DirectoryOrCreate", ({"mountPath": str(CNI_CONFIG.parent)},)),
    ("cni-state", "/var/lib/cni", "DirectoryOrCreate", ({"mountPath": "/var/lib/cni"},)),
)
"""Name, path of the machine, type and places in the container."""

CNI_CONFIG_TEXT = (
    json.dumps(
        {
            "cniVersion": "0.4.0",
            "name": NETWORK_NAME,
            "plugins": [{"type": PLUGIN, "capabilities": {"portMappings": True}}],
        },
        indent=2,
    )
    + "\n"
)


class InstallError(RuntimeError):
    """The pod network cannot be installed on this machine; one line for the user."""


def install(root: Path = Path("/")) -> list[Path]:
    """Writes the programs and the manifest; what was written. Running it again changes nothing. Raises InstallError.

    `root` is the node's file system: `/` inside the node, or the path at which it is seen from outside.
    """
    if platform.machine() != "x86_64":
        raise InstallError(f"the CNI program is built for x86_64 only, not for {platform.machine()}")
    program = (files("pybernetes.network") / "native" / "cni").read_bytes()
    written = []
    for name in (PLUGIN, "loopback"):  # containerd asks for a program `loopback` for every sandbox
        target = root / CNI_BIN.relative_to("/") / name
        if write_file(target, program, 0o755):
            written.append(target)
    target = root / MANIFEST.relative_to("/")
    if write_file(target, manifest()):
        written.append(target)
    return written


def manifest() -> str:
    """The agent's static Pod."""
    command = ["pybernetes", "network", "agent", f"--kubeconfig={KUBECONFIG}", "--node-name=$(NODE_NAME)"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NETWORK_NAME,
            "namespace": "kube-system",
            "labels": {"k8s-app": NETWORK_NAME, "tier": "node"},
        },
        "spec": {
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "containers": [
                {
                    "name": "agent",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                    "securityContext": {"privileged": True},
                    "volumeMounts": [{"name": name, **mount} for name, _, _, mounts in _MOUNTS for mount in mounts],
                }
            ],
            "volumes": [{"name": name, "hostPath": {"path": path, "type": kind}} for name, path, kind, _ in _MOUNTS],
        },
    }
    return json.dumps(pod, indent=2) + "\n"  # JSON is YAML


def write_file(target: Path, content: str | bytes, mode: int = 0o644) -> bool:
    """Writes by rename, and only what differs; whether it did."""
    data = content.encode() if isinstance(content, str) else content
    if target.is_file() and target.read_bytes() == data and target.stat().st_mode & 0o777 == mode:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.rename(target)
    return True
