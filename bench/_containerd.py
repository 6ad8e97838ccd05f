"""A containerd of its own in a folder, in the machine's own namespaces: for benchmarks and for the kubelet's node tests.

Only Pods of the host's network can run on it (it has no CNI), which is all that a kubelet needs to be tried.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from pybernetes.kernel import mounts
from pybernetes.kernel.cgroups import Cgroup
from pybernetes.kernel.processes import ProcessRef, kill_and_wait
from pybernetes.localcluster.containerd import PAUSE_IMAGE, write_pause_archive
from pybernetes.localcluster.image import ImageConfig, busybox_layer, write_archive

IMAGE = "docker.io/library/busybox:test"
_PATIENCE = 20.0

_CONFIG = """\
version = 2
oom_score = 0
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{folder}/c.sock"
[ttrpc]
  address = "{folder}/t.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  max_container_log_line_size = -1
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def missing() -> str:
    """What this machine lacks; empty where nothing."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [name for name in ("containerd", "runc", "ctr", "busybox") if shutil.which(name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


class OwnContainerd:
    """start(), and close() when done: it leaves nothing. `cgroup` is the parent that Pods must be given."""

    def __init__(self, folder: Path, cgroup: str) -> None:
        self.folder = folder
        self.cgroup = Cgroup(cgroup)
        self.endpoint = f"unix://{folder}/c.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers; the first time it gets its images, too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.toml"
        config.write_text(_CONFIG.format(folder=self.folder, pause=PAUSE_IMAGE))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["containerd", "--config", config], stdout=log, stderr=log, start_new_session=True
            )
        began = time.monotonic()
        while not self._answers():
            if time.monotonic() - began > _PATIENCE:
                raise TimeoutError(f"containerd does not answer; see {self.folder}/log")
            time.sleep(0.05)
        imported = self.folder / "imported"
        if not imported.exists():
            write_pause_archive(self.folder / "pause.tar")
            entry = ImageConfig(cmd=("sleep", "1000"))
            write_archive(self.folder / "busybox.tar", IMAGE, [busybox_layer()], entry)
            for name in ("pause.tar", "busybox.tar"):
                self.ctr("images", "import", str(self.folder / name))
            imported.touch()

    def ctr(self, *words: str) -> str:
        """Runs ctr on it."""
        command = ["ctr", "--address", f"{self.folder}/c.sock", "-n", "k8s.io", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except subprocess.SubprocessError:
            return False
        return True

    def kill(self) -> None:
        """kill -9 of containerd alone: shims and containers go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def power_cut(self) -> None:
        """Everything dies at once, and what lay in memory is gone."""
        self.kill()
        for pid in self._shims():
            with contextlib.suppress(ProcessLookupError):
                kill_and_wait(ProcessRef.of(pid), 10)
        self.cgroup.kill()
        state = self.folder / "state"
        mounts.unmount_below(state)
        shutil.rmtree(state, ignore_errors=True)

    def _shims(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    line = (entry / "cmdline").read_bytes()
                    if b"containerd-shim" in line and f"{self.folder}/c.sock".encode() in line:
                        found.append(int(entry.name))
        return found

    def close(self) -> None:
        """Ends everything and removes the folder."""
        self.power_cut()
        self.cgroup.remove()
        mounts.unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
