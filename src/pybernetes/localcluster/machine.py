"""The inside of a node: its mounts, its control groups, its identity. Run once by init.py in the node's new namespaces.

The node's root is a small tmpfs that shows the machine's programs (/usr, /bin, ...), with a disk of its own where a
machine keeps its state: /etc and /opt are overlays on the node's disk, /var is the disk, /run and /tmp are memory.
"""

import fcntl
import hashlib
import os
import socket
import struct
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from pybernetes.kernel import cgroups, mounts
from pybernetes.localcluster.errors import LocalClusterError
from pybernetes.localcluster.spec import LOG_DIR, MANIFESTS_DIR, SERVICES_DIR, NodeSpec

_OWN = {"proc", "sys", "dev", "run", "etc", "var", "tmp", "opt", "lost+found", "old_root"}
_OVERLAYS = ("etc", "opt")
_VAR = ("cache", "lib/kubelet", "lib/cni", "lib/etcd", "lib/containerd", "lib/pybernetes", "log/pods",
        "log/containers", "log/pybernetes", "spool")  # fmt: skip
_RUN = ("lock", "netns", "containerd", "pybernetes")
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
}


def build(spec: NodeSpec) -> None:
    """Turns the new mount namespace into the node. Raises OSError or LocalClusterError."""
    hierarchies = cgroups.hierarchies()
    state = Path(spec.state_dir)
    root = state / "root"
    mounts.propagate("/", mounts.PRIVATE)
    root.mkdir(parents=True, exist_ok=True)
    mounts.mount("tmpfs", root, "tmpfs", options="mode=755,size=16m")
    _show_programs(root)
    for name in _OVERLAYS:
        _overlay(Path("/") / name, root / name, state / "overlay" / name)
    _own_folders(root, state)
    _hidden_prefixes(root)
    _kernel_folders(root, hierarchies)
    mounts.pivot_root(root)
    mounts.propagate("/", mounts.SHARED)  # or mountPropagation does not work
    _identity(spec)
    _sysctls()
    _loopback_up()
    for path, text in spec.files.items():
        write(Path(path), text)


def write(path: Path, text: str) -> None:
    """Writes a file and its folders, by rename, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not path.is_symlink() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.rename(path)


def _show_programs(root: Path) -> None:
    for entry in Path("/").iterdir():
        target = root / entry.name
        if entry.name in _OWN:
            continue
        if entry.is_symlink():
            target.symlink_to(os.readlink(entry))
        elif entry.is_dir():
            target.mkdir()
            mounts.bind(entry, target, recursive=True)


def _overlay(lower: Path, target: Path, disk: Path) -> None:
    for folder in (disk / "upper", disk / "work", target):
        folder.mkdir(parents=True, exist_ok=True)
    lower.mkdir(exist_ok=True)
    options = f"lowerdir={lower},upperdir={disk / 'upper'},workdir={disk / 'work'},index=off"
    try:
        mounts.mount("overlay", target, "overlay", options=options)
    except OSError as error:
        raise LocalClusterError(
            f"cannot mount an overlay on {disk}: {error.strerror}; keep the cluster's state on a disk (ext4, xfs)"
        ) from error


def _own_folders(root: Path, state: Path) -> None:
    var = state / "var"
    for name in _VAR:
        (var / name).mkdir(parents=True, exist_ok=True)
    (var / "tmp").mkdir(exist_ok=True)
    (var / "tmp").chmod(0o1777)
    for name, goal in (("run", "/run"), ("lock", "/run/lock")):
        if not (var / name).is_symlink():
            (var / name).symlink_to(goal)
    for name in ("var", "run", "tmp"):
        (root / name).mkdir()
    mounts.bind(var, root / "var")
    mounts.mount("tmpfs", root / "run", "tmpfs", options="mode=755")
    mounts.mount("tmpfs", root / "tmp", "tmpfs", options="mode=1777")
    for name in _RUN:
        (root / "run" / name).mkdir()


def _hidden_prefixes(root: Path) -> None:
    """Python and this package stay visible where they live below a folder that the node has for itself."""
    package = Path(__file__).resolve().parents[2]
    for path in {Path(sys.prefix), Path(sys.base_prefix), package}:
        target = root / path.relative_to("/")
        if path.parts[1] in ("var", "tmp", "run") and not target.exists():
            target.mkdir(parents=True)
            mounts.bind(path, target, recursive=True)


def _kernel_folders(root: Path, hierarchies: tuple[cgroups.Hierarchy, ...]) -> None:
    for name in ("dev", "proc", "sys"):
        (root / name).mkdir()
    mounts.bind("/dev", root / "dev", recursive=True)
    mounts.mount("tmpfs", root / "dev/shm", "tmpfs", options="mode=1777")
    if (root / "dev/mqueue").is_dir():
        mounts.mount("mqueue", root / "dev/mqueue", "mqueue")
    mounts.mount("proc", root / "proc", "proc")
    mounts.mount("sysfs", root / "sys", "sysfs")
    if (root / "sys/fs/bpf").is_dir():
        mounts.mount("bpf", root / "sys/fs/bpf", "bpf")
    _cgroup_mounts(root, hierarchies)


def _cgroup_mounts(root: Path, hierarchies: tuple[cgroups.Hierarchy, ...]) -> None:
    top = root / "sys/fs/cgroup"
    if any(h.root == Path("/sys/fs/cgroup") for h in hierarchies):
        mounts.mount("cgroup2", top, "cgroup2")
        return
    mounts.mount("tmpfs", top, "tmpfs", options="mode=755")
    for hierarchy in hierarchies:
        target = root / hierarchy.root.relative_to("/")
        target.mkdir()
        if hierarchy.version == 2:
            mounts.mount("cgroup2", target, "cgroup2")
            continue
        mounts.mount("cgroup", target, "cgroup", options=hierarchy.mount_options)
        for name in hierarchy.controllers:
            if "," in target.name and not (top / name).exists():
                (top / name).symlink_to(target.name)


def _identity(spec: NodeSpec) -> None:
    socket.sethostname(spec.name)
    hosts = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"{spec.address} {spec.name}"]
    hosts += [f"{address} {name}" for name, address in spec.hosts.items() if name != spec.name]
    write(Path("/etc/hosts"), "\n".join(hosts) + "\n")
    write(Path("/etc/hostname"), spec.name + "\n")
    write(Path("/etc/resolv.conf"), "# no resolver: the node has no way out\n")
    machine_id = hashlib.sha256(f"{spec.cluster}/{spec.name}".encode()).hexdigest()[:32]
    write(Path("/etc/machine-id"), machine_id + "\n")
    for folder in ("/etc/cni/net.d", "/etc/containerd", MANIFESTS_DIR, SERVICES_DIR, "/opt/cni/bin", LOG_DIR):
        Path(folder).mkdir(parents=True, exist_ok=True)
    # A power-on is a reboot for everything that compares boot ids (the kubelet's Node.status.nodeInfo.bootID)
    Path("/run/boot_id").write_text(f"{uuid.uuid4()}\n")
    mounts.bind("/run/boot_id", "/proc/sys/kernel/random/boot_id")


def _sysctls() -> None:
    for name, value in _SYSCTLS.items():
        with suppress(FileNotFoundError):  # a kernel without br_netfilter: kubeadm's preflight says so
            (Path("/proc/sys") / name).write_text(value)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS
