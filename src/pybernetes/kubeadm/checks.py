"""Preflight checks: what a machine must be before anything is changed on it. Every failure says how to mend it.

The kernel's settings are judged by /proc/sys alone; modprobe is tried only where a setting is absent.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from msgspec import Struct

from pybernetes.kubeadm import runtime
from pybernetes.kubeadm.config import MANIFESTS, Checks, ExternalEtcd, Node, Paths
from pybernetes.kubeadm.errors import KubeadmError
from pybernetes.wire.tls import Identity, client_context

BRIDGE = "/proc/sys/net/bridge/bridge-nf-call-iptables"
IP_FORWARD = "/proc/sys/net/ipv4/ip_forward"
IPV6_FORWARDING = "/proc/sys/net/ipv6/conf/default/forwarding"
KUBELET_PORT, SCHEDULER_PORT, CONTROLLER_MANAGER_PORT = 10250, 10259, 10257
PROGRAMS = ("ip", "mount", "nsenter", "nft")
"""What people and scripts need to look after a node; their absence is a warning."""
MINIMUM_MEMORY_MB = 1700
_ETCD_SECONDS = 5.0
_ETCD_LEAST = (3, 4)

Say: TypeAlias = Callable[[str], None]


class Finding(Struct, frozen=True):
    """What a check found: `errors` stop the command, `warnings` are printed."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Check(Struct, frozen=True):
    """A named question about the machine."""

    name: str
    look: Callable[[], Finding]


FINE = Finding()


def run_checks(checks: Iterable[Check], strictness: Checks, warn: Say) -> None:
    """Asks all, prints warnings, raises KubeadmError with all errors that are not ignored."""
    ignored = {name.lower() for name in strictness.ignored}
    fatal: list[str] = []
    for check in checks:
        finding = check.look()
        soft = "all" in ignored or check.name.lower() in ignored
        for text in (*finding.warnings, *(finding.errors if soft else ())):
            warn(f"\t[WARNING {check.name}]: {text}")
        if not soft:
            fatal += [f"\t[ERROR {check.name}]: {text}\n" for text in finding.errors]
    if fatal:
        raise KubeadmError(
            f"[preflight] Some fatal errors occurred:\n{''.join(fatal)}"
            "[preflight] If you know what you are doing, you can make a check non-fatal with "
            "`--ignore-preflight-errors=...`"
        )


def init_checks(paths: Paths, node: Node, bind_port: int, more: Sequence[Check] = ()) -> list[Check]:
    """Of `kubeadm init`; `more` come last, since they may take long."""
    return [root_check(), *control_plane_checks(paths, bind_port), *_common(paths, node), *more]


def control_plane_checks(paths: Paths, bind_port: int) -> list[Check]:
    """What a control plane needs beside what every node does."""
    manifests = [f"{MANIFESTS}/{name}.yaml" for name in _CONTROL_PLANE]
    return [
        Check("NumCPU", _cpus),
        Check("Mem", lambda: _memory(paths)),
        *(port_check(port) for port in (bind_port, SCHEDULER_PORT, CONTROLLER_MANAGER_PORT)),
        *(file_check(paths, path, "kubeadm reset -f") for path in manifests),
    ]


def etcd_checks(paths: Paths, etcd: ExternalEtcd | None) -> list[Check]:
    """Of etcd.external: its files are on this machine, and every server answers to them."""
    if etcd is None:
        return []
    files = [path for path in (etcd.ca_file, etcd.cert_file, etcd.key_file) if path]

    def files_there() -> Finding:
        missing = [path for path in files if not paths.at(path).is_file()]
        return Finding(tuple(f"{path} doesn't exist: copy it here from where etcd's PKI is" for path in missing))

    def servers_answer() -> Finding:
        if not all(paths.at(path).is_file() for path in files):
            return FINE  # that is the other check's
        return Finding(tuple(fault for endpoint in etcd.endpoints if (fault := _ask_etcd(paths, etcd, endpoint))))

    return [Check("ExternalEtcdClientCertificates", files_there), Check("ExternalEtcdVersion", servers_answer)]


def _ask_etcd(paths: Paths, etcd: ExternalEtcd, endpoint: str) -> str:
    """What is wrong with a server, or nothing."""
    try:
        identity = Identity(paths.at(etcd.cert_file), paths.at(etcd.key_file)) if etcd.cert_file else None
        tls = client_context(ca=paths.at(etcd.ca_file) if etcd.ca_file else None, identity=identity)
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=tls))  # the API server knows no proxy either
        with opener.open(f"{endpoint.rstrip('/')}/version", timeout=_ETCD_SECONDS) as answer:
            version = str(json.load(answer)["etcdserver"])
        if tuple(int(part) for part in version.split(".")[:2]) < _ETCD_LEAST:
            return f"this version of kubeadm only supports external etcd version >= 3.4.0. Current version: {version}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", error)
        return f"{endpoint}/version: {reason}: is this server of etcd running, and do caFile, certFile and keyFile fit?"
    return ""


def image_check(endpoint: str, names: Sequence[str]) -> Check:
    """The images of the control plane are there, or can be pulled."""

    def look() -> Finding:
        try:
            runtime.check(endpoint)
        except runtime.RuntimeFailedError:
            return FINE  # that is another check's
        errors = []
        for name in names:
            try:
                runtime.ensure_image(endpoint, name)
            except runtime.RuntimeFailedError as error:
                mend = "`pybernetes image build --control-plane` makes it, `ctr -n k8s.io images import` takes it"
                errors.append(f"failed to pull image {name}: {error}: {mend}")
        return Finding(tuple(errors))

    return Check("ImagePull", look)


def join_checks(paths: Paths, node: Node, *, control_plane: bool) -> list[Check]:
    """Of `kubeadm join`. The authority's files may have been copied to a machine that shall be a control plane."""
    files = ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/bootstrap-kubelet.conf"]
    files += [] if control_plane else ["/etc/kubernetes/pki/ca.crt"]
    return [root_check(), *(file_check(paths, path, "kubeadm reset -f") for path in files), *_common(paths, node)]


_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


def _common(paths: Paths, node: Node) -> list[Check]:
    ip_version_6 = ":" in node.address
    forward = IPV6_FORWARDING if ip_version_6 else IP_FORWARD
    option = forward.removeprefix("/proc/sys/").replace("/", ".")
    return [
        Check("CRI", lambda: _runtime(node.cri_socket)),
        Check("Swap", lambda: _swap(paths)),
        *(Check(f"FileExisting-{name}", _program(name)) for name in PROGRAMS),
        Check("Hostname", lambda: _host_name(node.name)),
        port_check(KUBELET_PORT),
        sysctl_check(paths, BRIDGE, "modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1"),
        sysctl_check(paths, forward, f"sysctl -w {option}=1"),
    ]


def root_check() -> Check:
    """Only root may."""

    def look() -> Finding:
        return FINE if os.geteuid() == 0 else Finding(("user is not running as root: run it with sudo",))

    return Check("IsPrivilegedUser", look)


def port_check(port: int) -> Check:
    """Nobody listens on a TCP port."""

    def look() -> Finding:
        with socket.socket() as sock:
            # as Go's listeners: a port in TIME_WAIT is free
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("", port))
            except OSError:
                mend = f"`ss -ltnp sport = :{port}` shows by whom; `kubeadm reset` stops an earlier cluster"
                return Finding((f"Port {port} is in use: {mend}",))
        return FINE

    return Check(f"Port-{port}", look)


def file_check(paths: Paths, path: str, mend: str) -> Check:
    """A file is not there yet."""

    def look() -> Finding:
        if paths.at(path).exists():
            return Finding((f"{path} already exists: this machine was set up before, `{mend}` undoes it",))
        return FINE

    return Check(f"FileAvailable-{path.replace('/', '-')}", look)


def sysctl_check(paths: Paths, path: str, mend: str) -> Check:
    """A kernel setting is 1."""

    def look() -> Finding:
        file = paths.at(path)
        if not file.exists() and path == BRIDGE:
            _modprobe("br_netfilter")
        try:
            content = file.read_text().strip()
        except OSError:
            return Finding((f"{path} does not exist: `{mend}`",))
        return FINE if content == "1" else Finding((f"{path} contents are not set to 1: `{mend}`",))

    return Check(f"FileContent-{path.replace('/', '-')}", look)


def _modprobe(module: str) -> None:
    program = shutil.which("modprobe", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is not None:
        # Its failure shows in /proc/sys, and that is what counts: the module may be built in.
        subprocess.run([program, module], check=False, capture_output=True, timeout=30)


def _runtime(endpoint: str) -> Finding:
    try:
        runtime.check(endpoint)
    except runtime.RuntimeFailedError as error:
        mend = "start it (`systemctl start containerd`), or name another socket with --cri-socket"
        return Finding((f"container runtime is not running: {error}: {mend}",))
    return FINE


def _swap(paths: Paths) -> Finding:
    try:
        devices = paths.at("/proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return FINE
    if not devices:
        return FINE
    return Finding(warnings=("swap is on: turn it off with `swapoff -a`, or set the kubelet's memorySwap",))


def _program(name: str) -> Callable[[], Finding]:
    def look() -> Finding:
        if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return FINE
        return Finding(warnings=(f"{name} not found in system path",))

    return look


def _host_name(name: str) -> Finding:
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return Finding(warnings=(f'hostname "{name}" could not be reached',))
    return FINE


def _cpus() -> Finding:
    count = os.cpu_count() or 1
    if count >= 2:
        return FINE
    return Finding((f"the number of available CPUs {count} is less than the required 2",))


def _memory(paths: Paths) -> Finding:
    try:
        line = paths.at("/proc/meminfo").read_text().splitlines()[0]
    except (OSError, IndexError):
        return FINE
    megabytes = int(line.split()[1]) // 1024
    if megabytes >= MINIMUM_MEMORY_MB:
        return FINE
    return Finding((f"the system RAM ({megabytes} MB) is less than the minimum {MINIMUM_MEMORY_MB} MB",))
