"""Configuration of kubeadm: what flags and kubeadm.k8s.io/v1beta4 files say, checked. workflow.py hands it to the phases."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from pybernetes import KUBERNETES_VERSION
from pybernetes.api.names import dns1123_subdomain
from pybernetes.kubeadm.errors import InvalidConfigError
from pybernetes.kubeadm.tokens import Token
from pybernetes.wire.http import join_host_port

CRI_SOCKET = "unix:///var/run/containerd/containerd.sock"
DNS_DOMAIN = "cluster.local"
SERVICE_CIDR = "10.96.0.0/12"
CONTROL_PLANE_TAINT = "node-role.kubernetes.io/control-plane"
CERTIFICATE_KEY_BYTES = 32


class Node(Struct, frozen=True, kw_only=True):
    """This machine as a node."""

    name: str
    address: str
    """Its own address in the cluster's network; empty leaves the choice to the kubelet."""
    cri_socket: str = CRI_SOCKET
    extra_args: tuple[tuple[str, str], ...] = ()
    """More flags of the kubelet: (name, value)."""


class Checks(Struct, frozen=True, kw_only=True):
    """How strict the command is with itself."""

    ignored: frozenset[str] = frozenset()
    """Names of preflight checks, lower case, whose errors are warnings; `all` is every check."""
    skipped_phases: frozenset[str] = frozenset()


class Networking(Struct, frozen=True, kw_only=True):
    """The cluster's address ranges and domain."""

    pod_cidr: str = ""
    service_cidr: str = SERVICE_CIDR
    dns_domain: str = DNS_DOMAIN

    @property
    def api_service_address(self) -> str:
        """The address of the `kubernetes` Service: the first of the range."""
        return str(ipaddress.ip_network(self.service_cidr.split(",")[0])[1])

    @property
    def dns_address(self) -> str:
        """The address of cluster DNS: the tenth of the range."""
        return str(ipaddress.ip_network(self.service_cidr.split(",")[0])[10])


class HostPathMount(Struct, frozen=True):
    """One of extraVolumes: a path of the machine inside a control plane component."""

    name: str
    host_path: str
    mount_path: str
    read_only: bool = False
    path_type: str = ""


class ExternalEtcd(Struct, frozen=True):
    """etcd servers that somebody else runs; files are paths on the master."""

    endpoints: tuple[str, ...]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class InitConfig(Struct, frozen=True, kw_only=True):
    """`kubeadm init`."""

    node: Node
    networking: Networking
    token: Token
    token_ttl: float = 24 * 3600.0
    """Seconds; 0 never expires."""
    bind_port: int = 6443
    control_plane_endpoint: str = ""
    """host[:port] that all clients use: a name or a load balancer; empty is this machine's address."""
    cert_extra_sans: tuple[str, ...] = ()
    checks: Checks = Checks()
    skip_token_print: bool = False
    upload_certs: bool = False
    """Keep what control planes share in a Secret, for those that join with the key."""
    certificate_key: str = ""
    """AES key of that Secret, hexadecimal; empty: one is made."""
    skip_certificate_key_print: bool = False
    dry_run: bool = False
    version: str = KUBERNETES_VERSION
    control_plane_timeout: float = 240.0
    """Seconds to wait for the API server, and for this machine's node."""
    extra_args: Mapping[str, tuple[tuple[str, str], ...]] = {}
    """Flags by component ("kube-apiserver"), in the place of kubeadm's own of the same name; one may come repeatedly."""
    extra_volumes: Mapping[str, tuple[HostPathMount, ...]] = {}
    """More of the machine's paths by component."""
    kubelet: Mapping[str, Any] = {}
    """Fields of KubeletConfiguration, over kubeadm's own."""
    etcd: ExternalEtcd | None = None
    """None: the API server keeps its store in a file."""

    @property
    def local_endpoint(self) -> str:
        """URL of the API server on this machine."""
        return f"https://{join_host_port(self.node.address, self.bind_port)}"

    @property
    def endpoint(self) -> str:
        """host:port under which the cluster is known."""
        if not self.control_plane_endpoint:
            return join_host_port(self.node.address, self.bind_port)
        host, port = split_host(self.control_plane_endpoint)
        return join_host_port(host, port or self.bind_port)


class JoinControlPlane(Struct, frozen=True, kw_only=True):
    """What `kubeadm join --control-plane` adds: an API server on this machine, on the address of its node."""

    bind_port: int = 6443
    certificate_key: str = ""
    """Opens the Secret that `init --upload-certs` left; empty: the files are on this machine already."""


class JoinConfig(Struct, frozen=True, kw_only=True):
    """`kubeadm join`."""

    node: Node
    endpoint: str
    token: Token
    ca_hashes: tuple[str, ...] = ()
    checks: Checks = Checks()
    dry_run: bool = False
    discovery_timeout: float = 60.0
    """Seconds to find the API server."""
    signature_timeout: float = 15.0
    """Seconds for a token made just now to be signed into cluster-info."""
    bootstrap_timeout: float = 240.0
    """Seconds for the kubelet to get its certificate."""
    control_plane: JoinControlPlane | None = None
    """None: a worker."""


class Paths:
    """Where files are; `root` is put before all of them (`--rootfs`), but never into what they say."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def at(self, path: str) -> Path:
        """The place of a path of the machine."""
        return self.root / path.lstrip("/")


PKI = "/etc/kubernetes/pki"
MANIFESTS = "/etc/kubernetes/manifests"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
SUPER_ADMIN_CONF = "/etc/kubernetes/super-admin.conf"
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
BOOTSTRAP_CONF = "/etc/kubernetes/bootstrap-kubelet.conf"
CONTROLLER_MANAGER_CONF = "/etc/kubernetes/controller-manager.conf"
SCHEDULER_CONF = "/etc/kubernetes/scheduler.conf"
KUBELET_DIR = "/var/lib/kubelet"
KUBELET_CONFIG = f"{KUBELET_DIR}/config.yaml"
KUBELET_FLAGS = f"{KUBELET_DIR}/kubeadm-flags.env"
STORE_DIR = "/var/lib/pybernetes/apiserver"
STORE_PATH = f"{STORE_DIR}/store.db"
SERVICES = "/etc/pybernetes/services"
"""Unit files that a node's supervisor keeps running; where it exists, there is one."""


def check_init(config: InitConfig) -> None:
    """Raises InvalidConfigError with every fault."""
    faults = [
        *_node_faults(config.node),
        *_endpoint_faults("localAPIEndpoint", config.node.address, config.bind_port),
        *_key_faults("certificateKey", config.certificate_key),
    ]
    for name, value in (("podSubnet", config.networking.pod_cidr), ("serviceSubnet", config.networking.service_cidr)):
        if value or name == "serviceSubnet":
            faults += _cidr_faults(f"networking.{name}", value)
    for name in config.cert_extra_sans:
        if not _is_address(name) and dns1123_subdomain(name.removeprefix("*.")):
            faults.append(f'apiServer.certSANs: Invalid value: "{name}": altname is not a valid IP address or DNS name')
    if config.token_ttl < 0:
        faults.append("token TTL must not be negative")
    if config.etcd is not None:
        faults += _etcd_faults(config.etcd)
    _raise(faults)


def _endpoint_faults(field: str, text: str, port: int) -> list[str]:
    faults = []
    try:
        address = ipaddress.ip_address(text)
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            raise ValueError
    except ValueError:
        faults.append(f'{field}.advertiseAddress: Invalid value: "{text}": ip address is not valid')
    if not 0 < port < 65536:
        faults.append(f'{field}.bindPort: Invalid value: "{port}": port number is not valid')
    return faults


def _key_faults(field: str, text: str) -> list[str]:
    try:
        size = len(bytes.fromhex(text))
    except ValueError as error:
        return [f'{field}: Invalid value: "{text}": certificate key decoding error: {error}']
    if size not in (0, CERTIFICATE_KEY_BYTES):
        return [
            f'{field}: Invalid value: "{text}": invalid certificate key size {size}, the key must be an AES key of size '
            f"{CERTIFICATE_KEY_BYTES}"
        ]
    return []


def _etcd_faults(etcd: ExternalEtcd) -> list[str]:
    place, faults = "etcd.external", []
    if not etcd.endpoints:
        faults.append(f'{place}.endpoints: Invalid value: "": at least one endpoint must be defined')
    secure = bool(etcd.ca_file or etcd.cert_file or etcd.key_file)
    for endpoint in etcd.endpoints:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            faults.append(f'{place}.endpoints: Invalid value: "{endpoint}": URL must be http(s)://host:port')
        elif secure and parts.scheme != "https":
            faults.append(f'{place}.endpoints: Invalid value: "{endpoint}": the URL must be using the HTTPS scheme')
    if bool(etcd.cert_file) != bool(etcd.key_file):
        faults.append(f"{place}: certFile and keyFile must be given together")
    for name, path in (("caFile", etcd.ca_file), ("certFile", etcd.cert_file), ("keyFile", etcd.key_file)):
        if path and not path.startswith("/"):
            faults.append(f'{place}.{name}: Invalid value: "{path}": not an absolute path')
    return faults


def check_join(config: JoinConfig, *, unsafe: bool) -> None:
    """Raises InvalidConfigError with every fault. `unsafe`: the user takes the risk of an unpinned authority."""
    faults = _node_faults(config.node)
    host, port = split_host(config.endpoint)
    if not host or port is None:
        text = "missing port in address" if host else "an endpoint host:port must be set"
        faults.append(f'discovery.bootstrapToken.apiServerEndpoint: Invalid value: "{config.endpoint}": {text}')
    if not config.ca_hashes and not unsafe:
        faults.append(
            'discovery.bootstrapToken.caCertHashes: Invalid value: "": using token-based discovery without caCertHashes '
            "can be unsafe. Pass --discovery-token-ca-cert-hash (`kubeadm token create --print-join-command` on the "
            "control-plane node prints it) or --discovery-token-unsafe-skip-ca-verification"
        )
    for value in config.ca_hashes:
        kind, _, digest = value.partition(":")
        if kind.lower() != "sha256" or len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
            text = f'invalid hash {value}: expected "sha256:" and 64 hexadecimal digits'
            faults.append(f"discovery.bootstrapToken.caCertHashes: Invalid value: {text}")
    if config.control_plane is not None:
        faults += _endpoint_faults("controlPlane.localAPIEndpoint", config.node.address, config.control_plane.bind_port)
        faults += _key_faults("controlPlane.certificateKey", config.control_plane.certificate_key)
    _raise(faults)


def _node_faults(node: Node) -> list[str]:
    return [f'nodeRegistration.name: Invalid value: "{node.name}": {fault}' for fault in dns1123_subdomain(node.name)]


def _cidr_faults(field: str, value: str) -> list[str]:
    faults = []
    for part in value.split(","):
        try:
            network = ipaddress.ip_network(part)
            if network.num_addresses < 16:
                raise ValueError("subnet is too small: at least 16 addresses are needed")
        except ValueError as error:
            faults.append(f'{field}: Invalid value: "{part}": couldn\'t parse subnet: {error}')
    return faults


def _raise(faults: list[str]) -> None:
    if faults:
        raise InvalidConfigError(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def split_host(endpoint: str) -> tuple[str, int | None]:
    """Host and port of `host[:port]`; port None where there is none that can be one."""
    host, colon, port = endpoint.rpartition(":")
    if not colon or endpoint.endswith("]") or (":" in host and not host.startswith("[")):
        return endpoint.strip("[]"), None
    number = int(port) if port.isascii() and port.isdigit() and 0 < int(port) < 65536 else None
    return host.strip("[]"), number
