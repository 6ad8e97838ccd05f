"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1): the fields that are used. cmd/kubelet.py reads the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"


class X509(Struct, frozen=True):
    """authentication.x509."""

    clientCAFile: str = ""  # noqa: N815  # the name in the file


class Authentication(Struct, frozen=True):
    """authentication."""

    x509: X509 = X509()
    anonymous: Mapping[str, Any] = {}
    webhook: Mapping[str, Any] = {}


class Configuration(Struct, frozen=True, rename="camel"):
    """What the file says; names are upstream's, defaults too. Fields not listed here are accepted without effect."""

    address: str = "0.0.0.0"
    port: int = 10250
    healthz_bind_address: str = "127.0.0.1"
    healthz_port: int = 10248
    authentication: Authentication = Authentication()
    authorization: Mapping[str, Any] = {}
    cgroup_driver: str = "cgroupfs"
    cgroup_root: str = "/"
    cluster_dns: tuple[str, ...] = msgspec.field(name="clusterDNS", default=())
    cluster_domain: str = "cluster.local"
    container_runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    eviction_hard: Mapping[str, str] = {}
    max_pods: int = 110
    register_node: bool = True
    register_with_taints: tuple[Mapping[str, str], ...] = ()
    resolv_conf: str = "/etc/resolv.conf"
    rotate_certificates: bool = False
    serialize_image_pulls: bool = False
    server_tls_bootstrap: bool = msgspec.field(name="serverTLSBootstrap", default=False)
    static_pod_path: str = ""
    pod_logs_dir: str = "/var/log/pods"


class ConfigurationError(ValueError):
    """A configuration file that cannot be used; the text says why."""


def load(path: Path) -> Configuration:
    """Reads the file. Raises ConfigurationError."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"cannot read the kubelet configuration {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"{path} is not a {KIND} of {API_VERSION}")
    try:
        return msgspec.convert(document, Configuration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
