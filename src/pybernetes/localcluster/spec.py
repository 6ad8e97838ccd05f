"""What a node of the local cluster is made of, handed from sandbox.py to the node's first process (init.py)."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

STATE_DIR = Path("/var/lib/pybernetes/clusters")
"""Where local clusters keep their disks unless told otherwise."""

SERVICES_DIR = "/etc/pybernetes/services"
"""In a node: one unit file a service."""

MANIFESTS_DIR = "/etc/kubernetes/manifests"
"""In a node: static Pod manifests, the kubelet's staticPodPath."""

LISTEN_DIR = "/run/pybernetes/listen"
"""In a node: a unix socket for each listening socket of the machine that is handed on (doors.py)."""

LOG_DIR = "/var/log/pybernetes"
"""In a node: the output of every service, <name>.log."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One machine: its name, its address on the switch and the folder that is its disk."""

    cluster: str
    name: str
    address: str
    prefix: int = 24
    state_dir: str
    files: Mapping[str, str] = {}
    """Path in the node -> text, written at every power-on."""
    hosts: Mapping[str, str] = {}
    """More lines of /etc/hosts: name -> address."""
    memory_bytes: int = 0
    """Capacity; 0 is all of the machine's."""
    listen: Mapping[str, int] = {}
    """Name -> number of the listening socket that init inherits and hands on under LISTEN_DIR/<name>.sock."""

    @property
    def cgroup(self) -> str:
        """The node's control group on the machine; inside the node it is /."""
        return f"{cluster_label(self.cluster)}/{self.name}"


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit file /etc/pybernetes/services/<name>.json: a command that the node keeps running."""

    command: tuple[str, ...]
    env: Mapping[str, str] = {}
    condition_path: str = ""
    """Runs only while this file exists, and is restarted when it changes (as a kubeadm that restarts the kubelet)."""
    flags_file: str = ""
    """A file of NAME="--flag --flag" lines, as kubeadm-flags.env; its words are added to the command."""


def cluster_label(cluster: str) -> str:
    """The name that everything of a cluster carries on the machine: control group, network namespace."""
    return f"pyb-{cluster}"
