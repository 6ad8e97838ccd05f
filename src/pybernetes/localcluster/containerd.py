"""containerd on a node: its configuration, registry mirrors and first images. Fits Debian 12's containerd 1.6."""

import asyncio
import platform
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.image import ImageConfig, Layer, write_archive
from pybernetes.localcluster.sandbox import NodeSandbox
from pybernetes.localcluster.services import unit_text
from pybernetes.localcluster.spec import LOG_DIR, SERVICES_DIR, Unit

SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
CONFIG = "/etc/containerd/config.toml"
_CERTS = "/etc/containerd/certs.d"

# restrict_oom_score_adj: a machine may forbid negative scores. Streams on loopback: the kubelet in the same namespace
# proxies them. Unprivileged ports and ping: what every current runtime gives its containers.
_CONFIG_TEXT = f"""\
version = 2
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  max_container_log_line_size = -1

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{_CERTS}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def node_files(mirrors: Mapping[str, str] | None = None) -> dict[str, str]:
    """The files of a node that runs containerd. `mirrors`: registry host ("docker.io") -> URL that stands in for it."""
    found = {CONFIG: _CONFIG_TEXT, f"{SERVICES_DIR}/containerd.json": unit_text(Unit(command=("containerd",)))}
    for host, url in (mirrors or {}).items():
        # `server` is the mirror too: the real registry is out of reach, and asking it would hide the mirror's answer
        found[f"{_CERTS}/{host}/hosts.toml"] = (
            f'server = "{url}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'
        )
    return found


async def wait_ready(sandbox: NodeSandbox, timeout: float = 30.0) -> None:
    """Waits until containerd answers over CRI. Raises LocalClusterError with the last line of its log."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not await asyncio.to_thread(_answers, sandbox.path(SOCKET)):
        if asyncio.get_running_loop().time() > deadline:
            last = last_log_line(sandbox, "containerd")
            raise LocalClusterError(f"containerd on node {sandbox.name} does not answer: {last}")
        await asyncio.sleep(0.05)


async def import_image(sandbox: NodeSandbox, archive: Path) -> None:
    """Gives a node's containerd the images of an OCI archive of this machine."""
    ctr = ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import", "-"]
    (await sandbox.exec(ctr, stdin=await asyncio.to_thread(archive.read_bytes))).check()


async def prepare(sandbox: NodeSandbox) -> None:
    """Waits for containerd and gives it the pause image where it lacks it."""
    await wait_ready(sandbox)
    listed = await sandbox.exec(["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "ls", "-q"])
    if PAUSE_IMAGE not in listed.check().split():
        archive = Path(sandbox.spec.state_dir) / "pause.tar"
        write_pause_archive(archive)
        await import_image(sandbox, archive)


def write_pause_archive(target: Path) -> None:
    """The image of Pod sandboxes: one static file (native/pause.c)."""
    if platform.machine() != "x86_64":
        raise LocalClusterError(f"no pause image for {platform.machine()}: only x86_64 is built so far")
    layer = Layer()
    layer.file("pause", (files("pybernetes.localcluster") / "native" / "pause").read_bytes(), 0o755)
    write_archive(target, PAUSE_IMAGE, [layer.tar()], ImageConfig(entrypoint=("/pause",)))


def last_log_line(sandbox: NodeSandbox, service: str) -> str:
    """What a service of a node said last, for an error line."""
    try:
        lines = sandbox.path(f"{LOG_DIR}/{service}.log").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "it has no log"
    return lines[-1] if lines else "it said nothing"


def _answers(path: Path) -> bool:
    """Whether CRI does: containerd opens its socket a moment before it has read its own state."""
    import grpc

    with grpc.insecure_channel(f"unix://{path}") as channel:
        version = channel.unary_unary("/runtime.v1.RuntimeService/Version", bytes, bytes)  # an empty request is enough
        try:
            version(b"", timeout=2.0)
        except grpc.RpcError:
            return False
    return True
