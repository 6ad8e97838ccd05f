"""What each field of KubeletConfiguration does in this kubelet. docs/reference/kubelet-configuration.md is made of it.

A field that would change what Pods or the machine may do, and cannot here, stops the kubelet when it is set; one whose
absence harms nobody is accepted with a line in the log.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import orjson
from msgspec import Struct

from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.configuration_file import encode


class Kind(Enum):
    """How this kubelet takes a field."""

    HONOURED = "as upstream"
    ACCEPTED = "any value, nothing to do"
    WARNED = "other values warn"
    REFUSED = "other values are refused"


class Effect(Struct, frozen=True):
    """A field's row."""

    kind: Kind
    text: str
    """What it does, or why it does nothing."""
    also: tuple[Any, ...] = ()
    """Values beside the default that a WARNED or REFUSED field takes silently."""


def _honoured(text: str) -> Effect:
    return Effect(Kind.HONOURED, text)


def _accepted(text: str) -> Effect:
    return Effect(Kind.ACCEPTED, text)


def _warned(text: str, *also: Any) -> Effect:
    return Effect(Kind.WARNED, text, also)


def _refused(text: str, *also: Any) -> Effect:
    return Effect(Kind.REFUSED, text, also)


_NO_GO = "about Go's runtime, which this kubelet is not made of"
_NO_NUMA = "CPUs and memory of containers are shares and limits, never exclusive ones"
_NFTABLES = "kube-proxy and the pod network make their own nftables rules"

EFFECTS: Mapping[str, Effect] = {
    "enableServer": _honoured("false: nothing listens on `port`"),
    "staticPodPath": _honoured("a file, or a folder of files, of static Pods"),
    "podLogsDir": _honoured("folder of Pods' logs"),
    "syncFrequency": _warned("Pods are looked at when something happens, and relisted at a period of their own"),
    "fileCheckFrequency": _honoured("how often staticPodPath is read"),
    "httpCheckFrequency": _honoured("how often staticPodURL is read"),
    "staticPodURL": _honoured("where more static Pods are read from"),
    "staticPodURLHeader": _honoured("headers of that request"),
    "address": _honoured("where the API listens"),
    "port": _honoured("where the API listens"),
    "readOnlyPort": _refused("nothing is served without authentication"),
    "tlsCertFile": _honoured("the serving certificate; read again when it changes"),
    "tlsPrivateKeyFile": _honoured("its key"),
    "tlsCipherSuites": _honoured("of TLS 1.2; those that OpenSSL has"),
    "tlsCurvePreferences": _refused("OpenSSL's order counts"),
    "tlsMinVersion": _honoured("TLS 1.2 is the oldest there is, and the default"),
    "rotateCertificates": _honoured("renews the client certificate by CSR"),
    "serverTLSBootstrap": _honoured("asks for the serving certificate by CSR and renews it"),
    "authentication.x509.clientCAFile": _honoured("CA of client certificates"),
    "authentication.webhook.enabled": _honoured("bearer tokens by TokenReview"),
    "authentication.webhook.cacheTTL": _honoured("how long a token's answer counts"),
    "authentication.anonymous.enabled": _honoured("requests without credentials are system:anonymous"),
    "authorization.mode": _honoured("Webhook asks SubjectAccessReview; AlwaysAllow asks nobody"),
    "authorization.webhook.cacheAuthorizedTTL": _honoured("how long a yes counts"),
    "authorization.webhook.cacheUnauthorizedTTL": _honoured("how long a no counts"),
    "registryPullQPS": _honoured("pulls a second; more wait"),
    "registryBurst": _honoured("pulls at once before that limit holds"),
    "imagePullCredentialsVerificationPolicy": _honoured("which Pods may use a private image that others have pulled"),
    "preloadedImagesVerificationAllowlist": _honoured("images that need no verification"),
    "eventRecordQPS": _warned("events of one object are counted together, not limited"),
    "eventBurst": _warned("see eventRecordQPS"),
    "enableDebuggingHandlers": _honoured("false: no exec, attach, port-forward, logs"),
    "enableContentionProfiling": _accepted(_NO_GO),
    "healthzPort": _honoured("port of /healthz; 0 for none"),
    "healthzBindAddress": _honoured("address of /healthz"),
    "oomScoreAdj": _honoured("of this process"),
    "clusterDomain": _honoured("search domain of Pods"),
    "clusterDNS": _honoured("name servers of Pods"),
    "streamingConnectionIdleTimeout": _honoured("exec, attach and port-forward end when idle so long; 0 for never."
                                                " The runtime has a limit of its own"),
    "nodeStatusUpdateFrequency": _honoured("how often the node's status is computed"),
    "nodeStatusReportFrequency": _honoured("how often an unchanged status is reported"),
    "nodeLeaseDurationSeconds": _honoured("of the node's Lease; renewed four times as often"),
    "imageMinimumGCAge": _honoured("an unused image is kept so long"),
    "imageMaximumGCAge": _honoured("an unused image is removed after it; 0 for never"),
    "imageGCHighThresholdPercent": _honoured("disk usage at which images are removed"),
    "imageGCLowThresholdPercent": _honoured("disk usage down to which they are removed"),
    "volumeStatsAggPeriod": _honoured("how often volumes are measured, while somebody asks; below 0 never"),
    "kubeletCgroups": _warned("the supervisor that starts the kubelet places it"),
    "systemCgroups": _refused("processes of the machine are not moved"),
    "cgroupRoot": _honoured("parent of the kubepods cgroup"),
    "cgroupsPerQOS": _refused("Pods always live in the tree of QoS classes"),
    "cgroupDriver": _refused("cgroups are made in the file system: set it to cgroupfs here and in containerd"),
    "cpuManagerPolicy": _refused(_NO_NUMA),
    "singleProcessOOMKill": _refused("the kernel's OOM killer takes one process (cgroup v1)", True),
    "cpuManagerPolicyOptions": _refused(_NO_NUMA),
    "cpuManagerReconcilePeriod": _accepted(_NO_NUMA),
    "draManagerReconcilePeriod": _accepted("there is no dynamic resource allocation on the node"),
    "memoryManagerPolicy": _refused(_NO_NUMA),
    "topologyManagerPolicy": _refused(_NO_NUMA),
    "topologyManagerScope": _accepted(_NO_NUMA),
    "topologyManagerPolicyOptions": _refused(_NO_NUMA),
    "qosReserved": _refused("requests of guaranteed Pods are not reserved by the class"),
    "runtimeRequestTimeout": _warned("each call of the runtime has a limit of its own"),
    "hairpinMode": _accepted("the pod network lets a Pod reach itself through its Service in any mode"),
    "maxPods": _honoured("Pods at most"),
    "podCIDR": _warned("addresses of Pods are the pod network's"),
    "podPidsLimit": _honoured("processes of a Pod"),
    "resolvConf": _honoured("the machine's resolv.conf; empty for none"),
    "runOnce": _accepted("refused by upstream's validation"),
    "cpuCFSQuota": _honoured("false: CPU limits are not enforced"),
    "cpuCFSQuotaPeriod": _honoured("period of CPU limits"),
    "nodeStatusMaxImages": _honoured("images in the node's status; -1 for all"),
    "maxOpenFiles": _honoured("open files of this process, as far as its hard limit goes"),
    "contentType": _accepted("requests to the API server are JSON"),
    "kubeAPIQPS": _warned("requests are bounded by what happens on the node, not by a rate"),
    "kubeAPIBurst": _warned("see kubeAPIQPS"),
    "serializeImagePulls": _honoured("one pull at a time"),
    "maxParallelImagePulls": _honoured("pulls at a time"),
    "evictionHard": _honoured("thresholds of eviction, and what allocatable leaves free"),
    "evictionSoft": _honoured("thresholds of eviction with a grace period"),
    "evictionSoftGracePeriod": _honoured("their grace periods"),
    "evictionPressureTransitionPeriod": _honoured("how long a pressure lasts at least"),
    "evictionMaxPodGracePeriod": _honoured("grace of a Pod at a soft eviction, at most"),
    "evictionMinimumReclaim": _honoured("what an eviction frees at least"),
    "mergeDefaultEvictionSettings": _honoured("evictionHard keeps the defaults of signals that it does not name"),
    "podsPerCore": _honoured("Pods per CPU; 0 for no such limit"),
    "enableControllerAttachDetach": _refused("there are no volumes that the kubelet attaches"),
    "protectKernelDefaults": _honoured("true: refuses a machine whose kernel settings are not upstream's;"
                                       " false changes none here"),
    "makeIPTablesUtilChains": _accepted(_NFTABLES),
    "iptablesMasqueradeBit": _accepted("has no effect upstream either"),
    "iptablesDropBit": _accepted("has no effect upstream either"),
    "featureGates": _warned("names are checked; what there is, is on"),
    "failSwapOn": _honoured("refuses a machine with swap"),
    "memorySwap.swapBehavior": _refused("containers get no swap", "NoSwap"),
    "containerLogMaxSize": _honoured("size at which a container's log is rotated"),
    "containerLogMaxFiles": _honoured("files of a container's log"),
    "containerLogMaxWorkers": _honoured("rotations at a time"),
    "containerLogMonitorInterval": _honoured("how often logs are looked at"),
    "configMapAndSecretChangeDetectionStrategy": _warned("what volumes show is watched, always"),
    "systemReserved": _honoured("taken off allocatable"),
    "kubeReserved": _honoured("taken off allocatable"),
    "reservedSystemCPUs": _honoured("their number is taken off allocatable"),
    "showHiddenMetricsForVersion": _accepted("no metrics are hidden"),
    "systemReservedCgroup": _honoured("the group that systemReserved is enforced on"),
    "kubeReservedCgroup": _honoured("the group that kubeReserved is enforced on"),
    "enforceNodeAllocatable": _honoured("limits all Pods together, and the daemons' groups"),
    "allowedUnsafeSysctls": _honoured("sysctls that Pods may set beside the safe ones"),
    "volumePluginDir": _warned("there are no FlexVolumes"),
    "providerID": _honoured("spec.providerID of the Node"),
    "kernelMemcgNotification": _warned("memory is looked at often enough without it"),
    "logging.format": _refused("logs are text"),
    "logging.flushFrequency": _accepted("each line is written at once"),
    "logging.verbosity": _honoured("4 and more: debugging"),
    "logging.vmodule": _warned("verbosity is one for all files"),
    "logging.options.text.splitStream": _warned("logs go to stderr"),
    "logging.options.text.infoBufferSize": _accepted("each line is written at once"),
    "logging.options.json.splitStream": _accepted("see logging.format"),
    "logging.options.json.infoBufferSize": _accepted("see logging.format"),
    "enableSystemLogHandler": _honoured("/logs/ of the machine"),
    "enableSystemLogQuery": _refused("there is no journal to ask"),
    "shutdownGracePeriod": _honoured("time of a node's shutdown for its Pods"),
    "shutdownGracePeriodCriticalPods": _honoured("the part of it that critical Pods have for themselves"),
    "shutdownGracePeriodByPodPriority": _honoured("the same by priorities (KEP-2712)"),
    "crashLoopBackOff.maxContainerRestartPeriod": _honoured("longest pause between restarts"),
    "reservedMemory": _refused(_NO_NUMA),
    "enableProfilingHandler": _accepted(_NO_GO),
    "enableDebugFlagsHandler": _accepted(_NO_GO),
    "seccompDefault": _honoured("RuntimeDefault where a Pod says nothing"),
    "memoryThrottlingFactor": _accepted("MemoryQoS is not on"),
    "memoryReservationPolicy": _refused("MemoryQoS is not on"),
    "registerWithTaints": _honoured("taints of the new Node"),
    "registerNode": _honoured("false: somebody else makes the Node"),
    "tracing.endpoint": _warned("there are no traces"),
    "tracing.samplingRatePerMillion": _warned("there are no traces"),
    "localStorageCapacityIsolation": _honoured("false: no ephemeral-storage in the node's capacity"),
    "containerRuntimeEndpoint": _honoured("the runtime's socket"),
    "imageServiceEndpoint": _refused("the runtime's socket serves images; leave it out"),
    "failCgroupV1": _honoured("true: refuses a machine with cgroup v1. false by default, since both work here"),
    "userNamespaces.idsPerPod": _refused("there are no user namespaces", 65536),
    "podHousekeepingPeriod": _warned("leftovers of Pods are cleaned with every relist"),
}  # fmt: skip


def values_of(config: Configuration) -> dict[str, Any]:
    """Every field that has a row: as /configz shows it, None where it is left out."""
    shown = encode(config)
    return {path: _at(shown, path) for path in EFFECTS}


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def refusals(config: Configuration) -> list[str]:
    """A line for each field that is set to what this kubelet cannot do."""
    return [
        f"{path} {_said(value)} is not supported: {effect.text}"
        for path, value, effect in _others(config)
        if effect.kind is Kind.REFUSED
    ]


def warnings(config: Configuration) -> list[str]:
    """A line for each field that is set without effect."""
    return [
        f"{path} {_said(value)} has no effect: {effect.text}"
        for path, value, effect in _others(config)
        if effect.kind is Kind.WARNED
    ]


def _others(config: Configuration) -> Iterator[tuple[str, Any, Effect]]:
    """Fields that are not as by default."""
    default = values_of(Configuration())
    # The socket's images are the same, whoever says so.
    same = {"imageServiceEndpoint": config.container_runtime_endpoint}
    for path, value in values_of(config).items():
        effect = EFFECTS[path]
        if value != default[path] and value not in effect.also and value != same.get(path):
            yield path, value, effect


def _said(value: Any) -> str:
    return orjson.dumps(value).decode() if value is not None else "left empty"
