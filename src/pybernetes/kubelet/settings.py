"""What one node's kubelet knows of itself. cmd/kubelet.py makes it from flags and the configuration file."""

from pathlib import Path

from msgspec import Struct


class Settings(Struct, frozen=True):
    """Names, addresses and folders of a node. Folders as upstream's defaults."""

    node_name: str
    node_ips: tuple[str, ...]
    root: Path = Path("/var/lib/kubelet")
    logs: Path = Path("/var/log/pods")
    container_logs: Path = Path("/var/log/containers")
    cgroup_root: str = "/"
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    max_pods: int = 110
    memory: int = 0
    """Bytes of the node."""
    cpus: int = 1
    port: int = 10250
    serialize_image_pulls: bool = False
    max_parallel_starts: int = 10
