"""What one node's kubelet knows of itself. cmd/kubelet.py makes it from flags and the configuration."""

from pathlib import Path

from msgspec import Struct

from pybernetes.api.types import core_v1
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.images.plugins import Providers


class Settings(Struct, frozen=True):
    """Names, addresses and folders of a node. Folders as upstream's defaults."""

    node_name: str
    node_ips: tuple[str, ...]
    config: Configuration = Configuration()
    """The whole effective configuration."""
    root: Path = Path("/var/lib/kubelet")
    standalone: bool = False
    """There is no API server: static Pods alone."""
    memory: int = 0
    """Bytes of the node."""
    cpus: int = 1
    max_parallel_starts: int = 10
    credential_providers: Providers | None = None
    """--image-credential-provider-config: plugins that say who pulls."""
    external_cloud: bool = False
    """--cloud-provider=external: a cloud's controller finishes the Node and gives it its addresses."""

    @property
    def node_reference(self) -> core_v1.ObjectReference:
        """What events about the node name; as upstream, its uid there is its name."""
        return core_v1.ObjectReference(kind="Node", name=self.node_name, uid=self.node_name)

    @property
    def logs(self) -> Path:
        """podLogsDir."""
        return Path(self.config.pod_logs_dir)

    @property
    def container_logs(self) -> Path:
        """/var/log/containers, beside podLogsDir."""
        return self.logs.with_name("containers")

    @property
    def cgroup_root(self) -> str:
        """cgroupRoot; `/` where none is said."""
        return self.config.cgroup_root or "/"

    @property
    def resolv_conf(self) -> Path:
        """resolvConf; an empty one means that Pods look up nothing."""
        return Path(self.config.resolv_conf or "/dev/null")
