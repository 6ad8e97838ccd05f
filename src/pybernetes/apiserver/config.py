"""Config of an API server: what its flags say, read and checked. cmd/kube_apiserver.py and assembly make one."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext

from pybernetes.api.objects import Object, User
from pybernetes.apiserver.registry import KubeletDialer
from pybernetes.apiserver.service_addresses import Network
from pybernetes.wire.pki.keys import PrivateKey, PublicKey

HISTORY_LIMIT = 100_000
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontProxy:
    """Whose word about users counts (--requestheader-*), as extension servers are told."""

    client_ca: str
    """PEM."""
    allowed_names: tuple[str, ...] = ()
    username_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_headers_prefix: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long things last, in seconds."""

    request: float = 60.0
    """--request-timeout: a request that is no stream."""
    watch: float = 1800.0
    """--min-request-timeout: a watch without timeoutSeconds lasts between once and twice this."""
    event: float = 3600.0
    """--event-ttl: an Event after it was last written."""
    compaction: float = 300.0
    """--etcd-compaction-interval: history is kept for between one and two of these; 0: for ever."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """How many requests are answered at once; all others wait, or are refused."""

    reading: int = 400
    """--max-requests-inflight."""
    mutating: int = 200
    """--max-mutating-requests-inflight."""
    fair: bool = True
    """--enable-priority-and-fairness: the sum of both is divided among priority levels; else each is a limit (0: none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything has a default that suits one process and no sockets (tests, simulation)."""

    advertise_address: str = "127.0.0.1"
    """Where clients reach this server: the endpoint of the Service `kubernetes`."""
    secure_port: int = 6443
    service_networks: tuple[Network, ...] = (ipaddress.ip_network("10.96.0.0/12"),)
    node_ports: range = range(30000, 32768)
    issuer: str = ISSUER
    audiences: tuple[str, ...] = ()
    """--api-audiences; empty: the issuer."""
    signing_key: PrivateKey | None = None
    """Signs ServiceAccount tokens; None: none are issued."""
    verifying_keys: Sequence[PublicKey] = ()
    """ServiceAccount tokens signed with these are known (--service-account-key-file)."""
    static_tokens: Mapping[str, User] = field(default_factory=dict)
    """--token-auth-file."""
    bootstrap_tokens: bool = False
    """--enable-bootstrap-token-auth."""
    client_ca: str = ""
    """--client-ca-file, PEM."""
    front_proxy: FrontProxy | None = None
    anonymous: bool = True
    authorization_modes: tuple[str, ...] = ("Node", "RBAC")
    enable_admission: tuple[str, ...] = ("NodeRestriction",)
    """Plugins beside those that are on by default; upstream leaves this one off and kubeadm switches it on."""
    disable_admission: tuple[str, ...] = ()
    admission_configuration: Mapping[str, Object] = field(default_factory=dict)
    """--admission-control-config-file: the configuration of each plugin that has one, by its name."""
    identity: str = ""
    """The host that this server's Lease names (identity.py); empty: it has none, and writes nothing at rest."""
    legacy_token_tracking: bool = False
    """Keep the ConfigMap that says since when uses of tokens in Secrets are noted (legacy_tokens.py)."""
    times: Times = Times()
    in_flight: InFlight = InFlight()
    history_limit: int = HISTORY_LIMIT
    """--storage-history-limit: so many revisions are kept at most; 0: only their age counts."""
    kubelet_tls: SSLContext | None = None
    """How logs, exec, attach and port-forward reach kubelets; None: they are refused."""
    kubelets: KubeletDialer | None = None
    """Takes the place of TLS to the Node's address where kubelets are in this process (tests)."""
