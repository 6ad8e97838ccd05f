"""KubeletConfiguration (kubelet.config.k8s.io/v1beta1): the fields that are used. cmd/kubelet.py reads the file."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

log = logging.getLogger(__name__)

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
    """What the file says; names are upstream's, defaults too. Upstream's other fields (_NO_EFFECT) do nothing here."""

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


_NESTED = {
    "authentication": {"x509", "webhook", "anonymous"},
    "authentication.x509": {"clientCAFile"},
    "authentication.webhook": {"enabled", "cacheTTL"},
    "authentication.anonymous": {"enabled"},
    "authorization": {"mode", "webhook"},
    "authorization.webhook": {"cacheAuthorizedTTL", "cacheUnauthorizedTTL"},
    "memorySwap": {"swapBehavior"},
    "crashLoopBackOff": {"maxContainerRestartPeriod"},
}
# Known fields of upstream that this kubelet takes no notice of.
_NAMES = """
    allowedUnsafeSysctls cgroupsPerQOS configMapAndSecretChangeDetectionStrategy containerLogMaxFiles
    containerLogMaxSize containerLogMaxWorkers containerLogMonitorInterval contentType cpuCFSQuota cpuCFSQuotaPeriod
    cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod crashLoopBackOff draManagerReconcilePeriod
    enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers
    enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery enforceNodeAllocatable eventBurst
    eventRecordQPS evictionMaxPodGracePeriod evictionMinimumReclaim evictionPressureTransitionPeriod evictionSoft
    evictionSoftGracePeriod failCgroupV1 failSwapOn featureGates fileCheckFrequency hairpinMode httpCheckFrequency
    imageGCHighThresholdPercent imageGCLowThresholdPercent imageMaximumGCAge imageMinimumGCAge
    imagePullCredentialsVerificationPolicy imageServiceEndpoint iptablesDropBit iptablesMasqueradeBit
    kernelMemcgNotification kubeAPIBurst kubeAPIQPS kubeReserved kubeReservedCgroup kubeletCgroups
    localStorageCapacityIsolation logging makeIPTablesUtilChains maxOpenFiles maxParallelImagePulls memoryManagerPolicy
    memoryReservationPolicy memorySwap memoryThrottlingFactor mergeDefaultEvictionSettings nodeLeaseDurationSeconds
    nodeStatusMaxImages nodeStatusReportFrequency nodeStatusUpdateFrequency oomScoreAdj podCIDR podPidsLimit podsPerCore
    preloadedImagesVerificationAllowlist protectKernelDefaults providerID qosReserved readOnlyPort registryBurst
    registryPullQPS reservedMemory reservedSystemCPUs runOnce runtimeRequestTimeout seccompDefault
    showHiddenMetricsForVersion shutdownGracePeriod shutdownGracePeriodByPodPriority shutdownGracePeriodCriticalPods
    singleProcessOOMKill staticPodURL staticPodURLHeader streamingConnectionIdleTimeout syncFrequency systemCgroups
    systemReserved systemReservedCgroup tlsCertFile tlsCipherSuites tlsCurvePreferences tlsMinVersion tlsPrivateKeyFile
    topologyManagerPolicy topologyManagerPolicyOptions topologyManagerScope tracing userNamespaces
    volumePluginDir volumeStatsAggPeriod
"""
_NO_EFFECT = frozenset(_NAMES.split())


class ConfigurationError(ValueError):
    """A configuration file that cannot be used; the text says why."""


def unknown_fields(document: Mapping[str, Any]) -> list[str]:
    """Fields of a configuration that v1beta1 does not have, as paths, in the file's order."""
    known = {field.encode_name for field in msgspec.structs.fields(Configuration)} | _NO_EFFECT
    found = [name for name in document if name not in known and name not in ("apiVersion", "kind")]
    for path, names in _NESTED.items():
        at: Any = document
        for part in path.split("."):
            at = at.get(part) if isinstance(at, Mapping) else None
        if isinstance(at, Mapping):
            found += [f"{path}.{name}" for name in at if name not in names]
    return found


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
    unknown = unknown_fields(document)
    if unknown:
        # As upstream does with v1beta1: a file of a newer kubelet must not keep a node from starting.
        why = ", ".join(f'unknown field "{field}"' for field in unknown)
        log.warning("using lenient decoding as strict decoding failed file=%s err=strict decoding error: %s", path, why)
    try:
        return msgspec.convert(document, Configuration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
