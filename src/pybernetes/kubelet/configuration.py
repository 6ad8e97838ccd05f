"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1): every field of upstream with upstream's default.

Durations are seconds here and Go's text in files and /configz. configuration_file.py reads and writes it.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct, field

from pybernetes.api.types import core_v1

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"

Duration = Annotated[float, Meta(extra={"go": "duration"})]
"""Seconds; `1m30s` in a file."""
Nanoseconds = Annotated[float, Meta(extra={"go": "nanoseconds"})]
"""Seconds; a file may say them as a duration or as a number of nanoseconds."""
QuantityText = Annotated[str, Meta(extra={"go": "quantity"})]
"""A quantity, which a file may write as a number."""

# Words of wire names that Go writes in capitals, unless they stand first.
_CAPITALS = {"api": "API", "ca": "CA", "cfs": "CFS", "cidr": "CIDR", "cpus": "CPUs", "dns": "DNS", "gc": "GC"}
_CAPITALS |= {"id": "ID", "iptables": "IPTables", "oom": "OOM", "qos": "QOS", "qps": "QPS", "tls": "TLS"}
_CAPITALS |= {"ttl": "TTL", "url": "URL"}


def wire_name(name: str) -> str:
    """snake_case -> upstream's name of the field."""
    first, *rest = name.split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


class Part(Struct, frozen=True, rename=wire_name):
    """A part of the configuration."""


class X509Authentication(Part, frozen=True):
    """authentication.x509."""

    client_ca_file: str = field(name="clientCAFile", default="")


class WebhookAuthentication(Part, frozen=True):
    """authentication.webhook: bearer tokens by TokenReview."""

    enabled: bool = True
    cache_ttl: Duration = field(name="cacheTTL", default=120.0)


class AnonymousAuthentication(Part, frozen=True):
    """authentication.anonymous."""

    enabled: bool = False


class Authentication(Part, frozen=True):
    """authentication: who calls the kubelet's API."""

    x509: X509Authentication = X509Authentication()
    webhook: WebhookAuthentication = WebhookAuthentication()
    anonymous: AnonymousAuthentication = AnonymousAuthentication()


class WebhookAuthorization(Part, frozen=True):
    """authorization.webhook: SubjectAccessReview."""

    cache_authorized_ttl: Duration = 300.0
    cache_unauthorized_ttl: Duration = 30.0


class Authorization(Part, frozen=True):
    """authorization: who may do what with the kubelet's API."""

    mode: str = "Webhook"
    webhook: WebhookAuthorization = WebhookAuthorization()


class MemorySwap(Part, frozen=True):
    """memorySwap."""

    swap_behavior: str = ""


class CrashLoopBackOff(Part, frozen=True):
    """crashLoopBackOff."""

    max_container_restart_period: Duration = 300.0


class PriorityGracePeriod(Part, frozen=True):
    """An entry of shutdownGracePeriodByPodPriority (KEP-2712)."""

    priority: int = 0
    shutdown_grace_period_seconds: int = 0


class MemoryReservation(Part, frozen=True):
    """An entry of reservedMemory."""

    numa_node: int = 0
    limits: Mapping[str, QuantityText] = {}


class UserNamespaces(Part, frozen=True):
    """userNamespaces."""

    ids_per_pod: int | None = None


class OutputRouting(Part, frozen=True):
    """logging.options.text and .json."""

    split_stream: bool = False
    info_buffer_size: QuantityText = "0"


class FormatOptions(Part, frozen=True):
    """logging.options."""

    text: OutputRouting = OutputRouting()
    json: OutputRouting = OutputRouting()


class VModule(Part, frozen=True):
    """An entry of logging.vmodule."""

    file_pattern: str = ""
    verbosity: int = 0


class Logging(Part, frozen=True):
    """logging (LoggingConfiguration)."""

    format: str = "text"
    flush_frequency: Nanoseconds = 5.0
    verbosity: int = 0
    vmodule: tuple[VModule, ...] = ()
    options: FormatOptions = FormatOptions()


class Tracing(Part, frozen=True):
    """tracing (TracingConfiguration)."""

    endpoint: str | None = None
    sampling_rate_per_million: int | None = None


EVICTION_HARD: Mapping[str, str] = {
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
}
"""evictionHard where nothing is said (Linux)."""


class Configuration(Part, frozen=True):
    """The whole of it, in upstream's order. What a field does here, field by field: configuration_effects.py."""

    enable_server: bool = True
    static_pod_path: str = ""
    pod_logs_dir: str = "/var/log/pods"
    sync_frequency: Duration = 60.0
    file_check_frequency: Duration = 20.0
    http_check_frequency: Duration = 20.0
    static_pod_url: str = ""
    static_pod_url_header: Mapping[str, tuple[str, ...]] = {}
    address: str = "0.0.0.0"
    port: int = 10250
    read_only_port: int = 0
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    tls_cipher_suites: tuple[str, ...] = ()
    tls_curve_preferences: tuple[int, ...] = ()
    tls_min_version: str = ""
    rotate_certificates: bool = False
    server_tls_bootstrap: bool = False
    authentication: Authentication = Authentication()
    authorization: Authorization = Authorization()
    registry_pull_qps: int = 5
    registry_burst: int = 10
    image_pull_credentials_verification_policy: str = "NeverVerifyPreloadedImages"
    preloaded_images_verification_allowlist: tuple[str, ...] = ()
    event_record_qps: int = 50
    event_burst: int = 100
    enable_debugging_handlers: bool = True
    enable_contention_profiling: bool = False
    healthz_port: int = 10248
    healthz_bind_address: str = "127.0.0.1"
    oom_score_adj: int = -999
    cluster_domain: str = ""
    cluster_dns: tuple[str, ...] = ()
    streaming_connection_idle_timeout: Duration = 14400.0
    node_status_update_frequency: Duration = 10.0
    node_status_report_frequency: Duration = 300.0
    node_lease_duration_seconds: int = 40
    image_minimum_gc_age: Duration = 120.0
    image_maximum_gc_age: Duration = 0.0
    image_gc_high_threshold_percent: int = 85
    image_gc_low_threshold_percent: int = 80
    volume_stats_agg_period: Duration = 60.0
    kubelet_cgroups: str = ""
    system_cgroups: str = ""
    cgroup_root: str = ""
    cgroups_per_qos: bool = True
    cgroup_driver: str = "cgroupfs"
    cpu_manager_policy: str = "none"
    single_process_oom_kill: bool | None = None
    cpu_manager_policy_options: Mapping[str, str] = {}
    cpu_manager_reconcile_period: Duration = 10.0
    dra_manager_reconcile_period: Duration = 60.0
    memory_manager_policy: str = "None"
    topology_manager_policy: str = "none"
    topology_manager_scope: str = "container"
    topology_manager_policy_options: Mapping[str, str] = {}
    qos_reserved: Mapping[str, str] = {}
    runtime_request_timeout: Duration = 120.0
    hairpin_mode: str = "promiscuous-bridge"
    max_pods: int = 110
    pod_cidr: str = ""
    pod_pids_limit: int = -1
    resolv_conf: str = "/etc/resolv.conf"
    run_once: bool = False
    cpu_cfs_quota: bool = True
    cpu_cfs_quota_period: Duration = 0.1
    node_status_max_images: int = 50
    max_open_files: int = 1000000
    content_type: str = "application/vnd.kubernetes.protobuf"
    kube_api_qps: int = 50
    kube_api_burst: int = 100
    serialize_image_pulls: bool = True
    max_parallel_image_pulls: int | None = None
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: EVICTION_HARD)
    eviction_soft: Mapping[str, str] = {}
    eviction_soft_grace_period: Mapping[str, str] = {}
    eviction_pressure_transition_period: Duration = 300.0
    eviction_max_pod_grace_period: int = 0
    eviction_minimum_reclaim: Mapping[str, str] = {}
    merge_default_eviction_settings: bool = False
    pods_per_core: int = 0
    enable_controller_attach_detach: bool = True
    protect_kernel_defaults: bool = False
    make_iptables_util_chains: bool = True
    iptables_masquerade_bit: int = 14
    iptables_drop_bit: int = 15
    feature_gates: Mapping[str, bool] = {}
    fail_swap_on: bool = True
    memory_swap: MemorySwap = MemorySwap()
    container_log_max_size: str = "10Mi"
    container_log_max_files: int = 5
    container_log_max_workers: int = 1
    container_log_monitor_interval: Duration = 10.0
    config_map_and_secret_change_detection_strategy: str = "Watch"
    system_reserved: Mapping[str, str] = {}
    kube_reserved: Mapping[str, str] = {}
    reserved_system_cpus: str = ""
    show_hidden_metrics_for_version: str = ""
    system_reserved_cgroup: str = ""
    kube_reserved_cgroup: str = ""
    enforce_node_allocatable: tuple[str, ...] = ("pods",)
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    volume_plugin_dir: str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"
    provider_id: str = ""
    kernel_memcg_notification: bool = False
    logging: Logging = Logging()
    enable_system_log_handler: bool = True
    enable_system_log_query: bool = False
    shutdown_grace_period: Duration = 0.0
    shutdown_grace_period_critical_pods: Duration = 0.0
    shutdown_grace_period_by_pod_priority: tuple[PriorityGracePeriod, ...] = ()
    crash_loop_back_off: CrashLoopBackOff = CrashLoopBackOff()
    reserved_memory: tuple[MemoryReservation, ...] = ()
    enable_profiling_handler: bool = True
    enable_debug_flags_handler: bool = True
    seccomp_default: bool = False
    memory_throttling_factor: float = 0.9
    memory_reservation_policy: str = "None"
    register_with_taints: tuple[core_v1.Taint, ...] = ()
    register_node: bool = True
    tracing: Tracing | None = None
    local_storage_capacity_isolation: bool = True
    container_runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    image_service_endpoint: str = ""
    fail_cgroup_v1: bool = field(name="failCgroupV1", default=False)
    user_namespaces: UserNamespaces | None = None
    pod_housekeeping_period: Duration = 2.0
