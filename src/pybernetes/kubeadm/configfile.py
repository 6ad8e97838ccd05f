"""kubeadm's configuration file (kubeadm.k8s.io/v1beta4): read strictly, turned into the values that flags would have.

cmd/kubeadm.py puts them where the flags are, so that file and flags go one way from there on.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Struct

from pybernetes import KUBERNETES_VERSION
from pybernetes.kubeadm import config as c
from pybernetes.kubeadm import manifests
from pybernetes.kubeadm.errors import InvalidConfigError

GROUP = "kubeadm.k8s.io"
KUBELET_GROUP = "kubelet.config.k8s.io"
VERSIONS = ("v1beta4", "v1beta3")

T = TypeVar("T", bound=Struct)


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A field that nothing here heeds is an error, not a wish that goes unheard."""


class Argument(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of extraArgs as v1beta4 writes them; v1beta3 has a map of name to value."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    value: str


class HostPathMount(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of extraVolumes."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    host_path: Annotated[str, msgspec.Meta(min_length=1)]
    mount_path: Annotated[str, msgspec.Meta(min_length=1)]
    read_only: bool = False
    path_type: str = ""


Arguments = list[Argument] | dict[Annotated[str, msgspec.Meta(min_length=1)], str]


class NodeRegistration(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """nodeRegistration."""

    name: str | None = None
    cri_socket: str | None = None
    ignore_preflight_errors: list[str] | None = None
    kubelet_extra_args: Arguments = []


class LocalApiEndpoint(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """localAPIEndpoint."""

    advertise_address: str | None = None
    bind_port: int | None = None


class BootstrapToken(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of bootstrapTokens. Groups and usages are those of kubeadm."""

    token: str | None = None
    ttl: str | None = None
    description: str | None = None


class InitConfiguration(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """InitConfiguration."""

    bootstrap_tokens: list[BootstrapToken] = []
    local_api_endpoint: LocalApiEndpoint = msgspec.field(name="localAPIEndpoint", default=LocalApiEndpoint())
    node_registration: NodeRegistration = NodeRegistration()
    certificate_key: str | None = None
    skip_phases: list[str] | None = None


class Networking(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """networking."""

    pod_subnet: str | None = None
    service_subnet: str | None = None
    dns_domain: str | None = None


class ApiServer(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """apiServer."""

    cert_sans: list[str] | None = msgspec.field(name="certSANs", default=None)
    extra_args: Arguments = []
    extra_volumes: list[HostPathMount] = []


class Component(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """controllerManager and scheduler."""

    extra_args: Arguments = []
    extra_volumes: list[HostPathMount] = []


class ExternalEtcd(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """etcd.external: servers that somebody else runs."""

    endpoints: list[str] = []
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class Etcd(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """etcd. There is no `local`: without `external` the API server keeps its store itself."""

    external: ExternalEtcd | None = None


class ClusterConfiguration(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """ClusterConfiguration. The version is always this program's own."""

    networking: Networking = Networking()
    control_plane_endpoint: str | None = None
    api_server: ApiServer = ApiServer()
    controller_manager: Component = Component()
    scheduler: Component = Component()
    etcd: Etcd = Etcd()
    cluster_name: str | None = None
    kubernetes_version: str | None = None
    certificates_dir: Literal["/etc/kubernetes/pki"] = "/etc/kubernetes/pki"
    image_repository: Literal["registry.k8s.io"] = "registry.k8s.io"


class TokenDiscovery(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """discovery.bootstrapToken."""

    token: str | None = None
    api_server_endpoint: str | None = None
    ca_cert_hashes: list[str] | None = None
    unsafe_skip_ca_verification: bool | None = msgspec.field(name="unsafeSkipCAVerification", default=None)


class Discovery(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """discovery."""

    bootstrap_token: TokenDiscovery = TokenDiscovery()
    tls_bootstrap_token: str | None = None


class ControlPlane(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """controlPlane of a JoinConfiguration."""

    local_api_endpoint: LocalApiEndpoint = msgspec.field(name="localAPIEndpoint", default=LocalApiEndpoint())
    certificate_key: str | None = None


class JoinConfiguration(_Strict, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """JoinConfiguration."""

    discovery: Discovery = Discovery()
    node_registration: NodeRegistration = NodeRegistration()
    control_plane: ControlPlane | None = None
    skip_phases: list[str] | None = None


def init_values(path: Path) -> dict[str, Any]:
    """Values for the flags of `kubeadm init`, by the flag's name with underscores. Raises InvalidConfigError."""
    documents = _documents(path)
    init = _convert(documents, "InitConfiguration", InitConfiguration)
    cluster = _convert(documents, "ClusterConfiguration", ClusterConfiguration)
    token = init.bootstrap_tokens[0] if init.bootstrap_tokens else BootstrapToken()
    return _given(
        {
            "apiserver_advertise_address": init.local_api_endpoint.advertise_address,
            "apiserver_bind_port": init.local_api_endpoint.bind_port,
            "apiserver_cert_extra_sans": cluster.api_server.cert_sans,
            "control_plane_endpoint": cluster.control_plane_endpoint,
            "pod_network_cidr": cluster.networking.pod_subnet,
            "service_cidr": cluster.networking.service_subnet,
            "service_dns_domain": cluster.networking.dns_domain,
            "token": token.token,
            "token_ttl": token.ttl,
            "certificate_key": init.certificate_key,
            "skip_phases": init.skip_phases,
            "etcd": _etcd(cluster.etcd.external),
            "extra_args": _extra_args(cluster),
            "extra_volumes": _extra_volumes(cluster),
            "kubelet_configuration": documents.get("KubeletConfiguration"),
            **_node(init.node_registration),
        }
    )


def join_values(path: Path) -> dict[str, Any]:
    """Values for the flags of `kubeadm join`. Raises InvalidConfigError."""
    join = _convert(_documents(path), "JoinConfiguration", JoinConfiguration)
    found, plane = join.discovery.bootstrap_token, join.control_plane
    local = plane.local_api_endpoint if plane is not None else LocalApiEndpoint()
    return _given(
        {
            "control_plane": True if plane is not None else None,
            "certificate_key": plane.certificate_key if plane is not None else None,
            "apiserver_advertise_address": local.advertise_address,
            "apiserver_bind_port": local.bind_port,
            "endpoint": found.api_server_endpoint,
            "token": found.token or join.discovery.tls_bootstrap_token,
            "discovery_token_ca_cert_hash": found.ca_cert_hashes,
            "discovery_token_unsafe_skip_ca_verification": found.unsafe_skip_ca_verification,
            "skip_phases": join.skip_phases,
            **_node(join.node_registration),
        }
    )


def joining_config(config: c.JoinConfig, kept: str) -> c.InitConfig:
    """Of a further control plane: this machine's own, and what the ConfigMap kubeadm-config keeps. Raises InvalidConfigError."""
    assert config.control_plane is not None
    cluster = _convert(_parsed(kept, "kubeadm-config"), "ClusterConfiguration", ClusterConfiguration)
    said = cluster.networking
    return c.InitConfig(
        node=config.node,
        networking=c.Networking(
            pod_cidr=said.pod_subnet or "",
            service_cidr=said.service_subnet or c.SERVICE_CIDR,
            dns_domain=said.dns_domain or c.DNS_DOMAIN,
        ),
        token=config.token,
        bind_port=config.control_plane.bind_port,
        control_plane_endpoint=cluster.control_plane_endpoint or "",
        cert_extra_sans=tuple(cluster.api_server.cert_sans or ()),
        checks=config.checks,
        certificate_key=config.control_plane.certificate_key,
        version=cluster.kubernetes_version or KUBERNETES_VERSION,
        extra_args=_extra_args(cluster),
        extra_volumes=_extra_volumes(cluster),
        etcd=_etcd(cluster.etcd.external),
    )


def kept_etcd(kept: str) -> c.ExternalEtcd | None:
    """etcd.external of the ConfigMap kubeadm-config. Raises InvalidConfigError."""
    cluster = _convert(_parsed(kept, "kubeadm-config"), "ClusterConfiguration", ClusterConfiguration)
    return _etcd(cluster.etcd.external)


def _components(cluster: ClusterConfiguration) -> dict[str, ApiServer | Component]:
    return {
        manifests.API_SERVER: cluster.api_server,
        manifests.CONTROLLER_MANAGER: cluster.controller_manager,
        manifests.SCHEDULER: cluster.scheduler,
    }


def _extra_args(cluster: ClusterConfiguration) -> dict[str, tuple[tuple[str, str], ...]]:
    return {name: _arguments(part.extra_args) for name, part in _components(cluster).items()}


def _extra_volumes(cluster: ClusterConfiguration) -> dict[str, tuple[c.HostPathMount, ...]]:
    return {name: _volumes(part.extra_volumes) for name, part in _components(cluster).items()}


def _node(node: NodeRegistration) -> dict[str, Any]:
    return {
        "node_name": node.name,
        "cri_socket": node.cri_socket,
        "ignore_preflight_errors": node.ignore_preflight_errors,
        "kubelet_extra_args": _arguments(node.kubelet_extra_args) or None,
    }


def _arguments(given: Arguments) -> tuple[tuple[str, str], ...]:
    if isinstance(given, dict):
        return tuple(given.items())
    return tuple((argument.name, argument.value) for argument in given)


def _etcd(given: ExternalEtcd | None) -> c.ExternalEtcd | None:
    if given is None:
        return None
    return c.ExternalEtcd(tuple(given.endpoints), given.ca_file, given.cert_file, given.key_file)


def _volumes(given: list[HostPathMount]) -> tuple[c.HostPathMount, ...]:
    return tuple(c.HostPathMount(v.name, v.host_path, v.mount_path, v.read_only, v.path_type) for v in given)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _documents(path: Path) -> dict[str, dict[str, Any]]:
    """The documents of a file by kind."""
    try:
        return _parsed(path.read_text(), str(path))
    except OSError as error:
        text = f"unable to read config from {str(path)!r}: {error.strerror}"
        raise InvalidConfigError(text) from error


def _parsed(text: str, path: str) -> dict[str, dict[str, Any]]:
    """The documents of a text by kind; `path` is where it was found."""
    try:
        parts = [part for part in yaml.safe_load_all(text) if part]
    except yaml.YAMLError as error:
        raise InvalidConfigError(f"error in {path}: {' '.join(str(error).split())}") from error
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        if not isinstance(part, dict) or "kind" not in part:
            raise InvalidConfigError(f"error in {path}: kind and apiVersion are mandatory information that must be set")
        group, _, version = str(part.pop("apiVersion", "")).partition("/")
        kind = str(part.pop("kind"))
        if group not in (GROUP, KUBELET_GROUP):
            continue  # component configuration of kube-proxy may lie in the same file
        if group == GROUP and version not in VERSIONS:
            raise InvalidConfigError(
                f'your configuration file uses an unsupported API version: "{GROUP}/{version}"; use "{GROUP}/v1beta4"'
            )
        if kind in found:
            raise InvalidConfigError(f"invalid configuration: kind {kind!r} is specified twice in {path}")
        found[kind] = part
    return found


def _convert(documents: dict[str, dict[str, Any]], kind: str, struct: type[T]) -> T:
    try:
        return msgspec.convert(documents.get(kind, {}), struct)
    except msgspec.ValidationError as error:
        raise InvalidConfigError(f"error in {kind}: {error}") from error
