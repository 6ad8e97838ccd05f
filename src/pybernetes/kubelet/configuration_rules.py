"""Which values a KubeletConfiguration may have: upstream's validation, in its words, all problems at once.

configuration_effects.py says what of it this kubelet cannot do.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from pybernetes import KUBERNETES_VERSION
from pybernetes.api import names, quantity
from pybernetes.api.types import core_v1
from pybernetes.kubelet import feature_gates
from pybernetes.kubelet.configuration import Configuration, Logging, MemoryReservation, Tracing, wire_name
from pybernetes.kubelet.thresholds import thresholds
from pybernetes.rules.durations import text_of
from pybernetes.rules.taints import EFFECTS

_INVALID = "invalid configuration: "
# Field, flag where there is one, least, most, what upstream says of others.
_RANGES: tuple[tuple[str, str, int, int, str], ...] = (
    ("event_burst", "event-burst", 0, 2**31, "must not be a negative number"),
    ("event_record_qps", "event-qps", 0, 2**31, "must not be a negative number"),
    ("healthz_port", "healthz-port", 0, 65535, "must be between 1 and 65535, inclusive"),
    ("image_gc_high_threshold_percent", "image-gc-high-threshold", 0, 100, "must be between 0 and 100, inclusive"),
    ("image_gc_low_threshold_percent", "image-gc-low-threshold", 0, 100, "must be between 0 and 100, inclusive"),
    ("iptables_drop_bit", "iptables-drop-bit", 0, 31, "must be between 0 and 31, inclusive"),
    ("iptables_masquerade_bit", "iptables-masquerade-bit", 0, 31, "must be between 0 and 31, inclusive"),
    ("kube_api_burst", "kube-api-burst", 0, 2**31, "must not be a negative number"),
    ("kube_api_qps", "kube-api-qps", 0, 2**31, "must not be a negative number"),
    ("node_status_max_images", "node-status-max-images", -1, 2**31, "must be -1 or greater"),
    ("max_open_files", "max-open-files", 0, 2**63, "must not be a negative number"),
    ("max_pods", "max-pods", 0, 2**31, "must not be a negative number"),
    ("oom_score_adj", "oom-score-adj", -1000, 1000, "must be between -1000 and 1000, inclusive"),
    ("pods_per_core", "pods-per-core", 0, 2**31, "must not be a negative number"),
    ("port", "port", 1, 65535, "must be between 1 and 65535, inclusive"),
    ("read_only_port", "read-only-port", 0, 65535, "must be between 0 and 65535, inclusive"),
    ("registry_burst", "registry-burst", 0, 2**31, "must not be a negative number"),
    ("registry_pull_qps", "registry-qps", 0, 2**31, "must not be a negative number"),
)
_CHOICES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("cgroup_driver", "cgroup-driver", ("cgroupfs", "systemd")),
    ("cpu_manager_policy", "cpu-manager-policy", ("none", "static")),
    ("memory_manager_policy", "memory-manager-policy", ("None", "Static")),
    ("topology_manager_policy", "topology-manager-policy", ("none", "best-effort", "restricted", "single-numa-node")),
    ("topology_manager_scope", "topology-manager-scope", ("container", "pod")),
    ("hairpin_mode", "hairpin-mode", ("none", "hairpin-veth", "promiscuous-bridge")),
    ("config_map_and_secret_change_detection_strategy", "", ("Get", "Cache", "Watch")),
    ("memory_reservation_policy", "", ("None", "TieredReservation")),
    ("tls_min_version", "tls-min-version", ("", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13")),
    ("image_pull_credentials_verification_policy", "",
     ("NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify")),
)  # fmt: skip
_ENFORCEMENTS = ("pods", "system-reserved", "system-reserved-compressible", "kube-reserved",
                 "kube-reserved-compressible", "none")  # fmt: skip
_RESERVABLE = ("cpu", "memory", "ephemeral-storage", "pid")
_CPUS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def problems_of(config: Configuration) -> list[str]:
    """Everything that is wrong, in upstream's order as far as it has one."""
    return [
        *_gates(config.feature_gates),
        *(_INVALID + text for text in _ranges(config)),
        *(_INVALID + text for text in _images(config)),
        *_taints(config.register_with_taints),
        *(_INVALID + text for text in _shutdown(config)),
        *(_INVALID + text for text in _enforcement(config)),
        *(_INVALID + text for text in _reservations(config)),
        *(_INVALID + text for text in _reserved_memory(config.reserved_memory)),
        *(_INVALID + text for text in _eviction(config)),
        *(_INVALID + text for text in _logs(config)),
        *(_INVALID + text for text in _network(config)),
        *_logging(config.logging),
        *_tracing(config.tracing),
    ]


def _named(field: str, flag: str) -> str:
    return f"{wire_name(field)} (--{flag})" if flag else wire_name(field)


def _gates(gates: Mapping[str, bool]) -> Iterator[str]:
    return (f"unrecognized feature gate: {gate}" for gate in gates if gate not in feature_gates.KNOWN)


def _ranges(config: Configuration) -> Iterator[str]:
    if config.node_lease_duration_seconds <= 0:
        yield "nodeLeaseDurationSeconds must be greater than 0"
    if config.system_cgroups and not config.cgroup_root:
        yield "systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not specified"
    for field, flag, least, most, words in _RANGES:
        value = getattr(config, field)
        if not least <= value <= most:
            yield f"{_named(field, flag)} {value} {words}"
    for field, flag, allowed in _CHOICES:
        value = getattr(config, field)
        if value not in allowed:
            said = ", ".join(f'"{choice}"' for choice in allowed)
            yield f'option "{value}" specified for {_named(field, flag)}. Valid options are {said}'
    if not 0.001 <= config.cpu_cfs_quota_period <= 1:
        period = text_of(config.cpu_cfs_quota_period)
        yield f"cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {period} must be between 1ms and 1sec, inclusive"
    if config.dra_manager_reconcile_period <= 0:
        yield f"draManagerReconcilePeriod {text_of(config.dra_manager_reconcile_period)} must be greater than zero"
    if config.run_once:
        yield "runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set"
    if not 0 < config.memory_throttling_factor <= 1:
        factor = config.memory_throttling_factor
        yield f"memoryThrottlingFactor {factor} must be greater than 0 and less than or equal to 1.0"


def _images(config: Configuration) -> Iterator[str]:
    low, high = config.image_gc_low_threshold_percent, config.image_gc_high_threshold_percent
    if low >= high:
        yield (
            f"imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than"
            f" imageGCHighThresholdPercent (--image-gc-high-threshold) {high}"
        )
    young, old = config.image_minimum_gc_age, config.image_maximum_gc_age
    if young < 0:
        yield f"imageMinimumGCAge {text_of(young)} must not be negative"
    if old < 0:
        yield f"imageMaximumGCAge {text_of(old)} must not be negative"
    if 0 < old <= young:
        yield f"imageMaximumGCAge {text_of(old)} must be greater than imageMinimumGCAge {text_of(young)}"
    parallel = config.max_parallel_image_pulls
    if parallel is not None and parallel < 1:
        yield f"maxParallelImagePulls {parallel} must be a positive number"
    if config.serialize_image_pulls and parallel is not None and parallel > 1:
        yield (
            "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is"
            " set to false"
        )
    listed = config.preloaded_images_verification_allowlist
    if listed and config.image_pull_credentials_verification_policy != "NeverVerifyAllowlistedImages":
        yield (
            "can't set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVertificationPolicy` is not"
            ' "NeverVerifyAllowlistedImages"'
        )
    if not config.container_runtime_endpoint:
        yield "the containerRuntimeEndpoint was not specified or empty"


def taint_problem(taint: core_v1.Taint) -> str:
    """Why it is no taint, empty where it is one."""
    said = [*names.qualified_name(taint.key), *(names.label_value(taint.value) if taint.value else ())]
    if taint.effect not in EFFECTS:
        said.append(f"invalid taint effect: {taint.effect}, unsupported taint effect")
    return "; ".join(said)


def _taints(taints: Sequence[core_v1.Taint]) -> Iterator[str]:
    for taint in taints:
        why = taint_problem(taint)
        if why:
            yield f"invalid taint: {taint.key}={taint.value}:{taint.effect}: {why}"
        if taint.timeAdded is not None:
            yield _INVALID + "taint.TimeAdded is not nil"


def _shutdown(config: Configuration) -> Iterator[str]:
    whole, critical = config.shutdown_grace_period, config.shutdown_grace_period_critical_pods
    if critical > whole:
        yield f"shutdownGracePeriodCriticalPods {text_of(critical)} must be <= shutdownGracePeriod {text_of(whole)}"
    for name, period in (("shutdownGracePeriod", whole), ("shutdownGracePeriodCriticalPods", critical)):
        if period < 0 or 0 < period < 1:
            yield f"{name} {text_of(period)} must be either zero or otherwise >= 1 sec"
    if config.shutdown_grace_period_by_pod_priority and (whole > 0 or critical > 0):
        yield "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time"
    behaviour = config.memory_swap.swap_behavior
    if behaviour not in ("", "NoSwap", "LimitedSwap"):
        yield f'memorySwap.swapBehavior "{behaviour}" must be one of: "", "LimitedSwap" or "NoSwap"'
    longest = config.crash_loop_back_off.max_container_restart_period
    if not 1 <= longest <= 300:
        yield f"CrashLoopBackOff.MaxContainerRestartPeriod (got: {longest:g} seconds) must be set between 1s and 300s"


def _enforcement(config: Configuration) -> Iterator[str]:
    said, field = config.enforce_node_allocatable, "enforceNodeAllocatable (--enforce-node-allocatable)"
    for who in ("system", "kube"):
        strict, loose = f"{who}-reserved", f"{who}-reserved-compressible"
        if strict in said and loose in said:
            yield f'both "{strict}" and "{loose}" cannot be specified together in {field}'
        if (strict in said or loose in said) and not getattr(config, f"{who}_reserved_cgroup"):
            name = f"{who}ReservedCgroup (--{who}-reserved-cgroup)"
            yield f'{name} must be specified when "{strict}" or "{loose}" included in {field}'
    for at, value in enumerate(said):
        if value in said[:at]:
            yield f'duplicated enforcements "{value}" in {field}'
        elif value not in _ENFORCEMENTS:
            valid = ", ".join(f'"{choice}"' for choice in _ENFORCEMENTS)
            yield f'option "{value}" specified for {field}. Valid options are {valid}'
        elif value == "none":
            if len(said) > 1:
                yield f'{field} may not contain additional enforcements when "none" is specified'
        elif not config.cgroups_per_qos:
            yield f'cgroupsPerQOS (--cgroups-per-qos) must be set to true when "{value}" contained in {field}'


def _reservations(config: Configuration) -> Iterator[str]:
    for field, said in (("systemReserved", config.system_reserved), ("kubeReserved", config.kube_reserved)):
        for name, text in said.items():
            if name not in _RESERVABLE:
                yield f'{field}: cannot reserve "{name}" resource'
                continue
            try:
                if quantity.parse(text).nanos < 0:
                    yield f'{field}: resource quantity for "{name}" cannot be negative: {text}'
            except ValueError as error:
                yield f'{field}: failed to parse quantity "{text}" for "{name}" resource: {error}'
    cpus = config.reserved_system_cpus
    if cpus and (config.system_reserved_cgroup or config.kube_reserved_cgroup):
        yield (
            "can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup (--system-reserved-cgroup) or"
            " kubeReservedCgroup (--kube-reserved-cgroup)"
        )
    try:
        cpu_set(cpus)
    except ValueError as error:
        yield f"unable to parse reservedSystemCPUs (--reserved-cpus) {cpus}, error: {error}"


def cpu_set(text: str) -> frozenset[int]:
    """`0-3,8` -> the numbers; nothing for "". Raises ValueError."""
    if text and not _CPUS.fullmatch(text):
        raise ValueError(f'"{text}" is no list of CPUs such as 0-3,8')
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise ValueError(f"invalid range {part}: {first} > {last}")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _reserved_memory(reservations: Sequence[MemoryReservation]) -> Iterator[str]:
    seen: set[tuple[int, str]] = set()
    for reservation in reservations:
        node = reservation.numa_node
        for name, text in reservation.limits.items():
            if name != "memory" and not name.startswith("hugepages-"):
                yield (
                    f'the limit type "{name}" for NUMA node {node} is not supported, only'
                    " [memory hugepages-<HugePageSize>] is accepted"
                )
            if quantity.parse(text).nanos == 0:
                yield f'reserved memory may not be zero for NUMA node {node} and resource "{name}"'
            if (node, name) in seen:
                yield f'the reserved memory has a duplicate value for NUMA node {node} and resource "{name}"'
            seen.add((node, name))


def _eviction(config: Configuration) -> Iterator[str]:
    try:
        thresholds(config)
    except ValueError as error:
        yield from str(error).splitlines()


def _logs(config: Configuration) -> Iterator[str]:
    try:
        if quantity.parse(config.container_log_max_size).nanos <= 0:
            yield "containerLogMaxSize must be greater than 0"
    except ValueError as error:
        yield f'failed to parse container log max size "{config.container_log_max_size}": {error}'
    if config.container_log_max_workers < 1:
        yield "containerLogMaxWorkers must be greater than or equal to 1"
    if config.container_log_monitor_interval < 3:
        yield "containerLogMonitorInterval must be a positive time duration greater than or equal to 3s"
    if config.container_log_max_files <= 1:
        yield "containerLogMaxFiles must be greater than 1"
    folder = config.pod_logs_dir
    if not folder.startswith("/"):
        yield f'pod logs path "{folder}" must be absolute path'
    elif ".." in PurePosixPath(folder).parts or str(PurePosixPath(folder)) != folder:
        yield f'pod logs path "{folder}" must be normalized'
    if not folder.isascii():
        yield f'pod logs path "{folder}" mut contains ASCII characters only'
    if config.enable_system_log_query and not config.enable_system_log_handler:
        yield "enableSystemLogHandler is required for enableSystemLogQuery"
    shown = config.show_hidden_metrics_for_version
    major, minor, *_ = KUBERNETES_VERSION.removeprefix("v").split(".")
    if shown and shown != f"{major}.{int(minor) - 1}":
        yield (
            f"--show-hidden-metrics-for-version must be omitted or have the value '{major}.{int(minor) - 1}'."
            " Only the previous minor version is allowed"
        )


def _network(config: Configuration) -> Iterator[str]:
    addresses = [("address", config.address), ("healthzBindAddress", config.healthz_bind_address)]
    addresses += [(f"clusterDNS[{at}]", address) for at, address in enumerate(config.cluster_dns)]
    for field, address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield f'{field} "{address}" is not an IP address'
    if config.cluster_domain and (faults := names.dns1123_subdomain(config.cluster_domain.rstrip("."))):
        yield f'clusterDomain "{config.cluster_domain}": {faults[0]}'
    if bool(config.tls_cert_file) != bool(config.tls_private_key_file):
        yield "tlsCertFile (--tls-cert-file) and tlsPrivateKeyFile (--tls-private-key-file) belong together"
    if config.authorization.mode not in ("AlwaysAllow", "Webhook"):
        yield f'unknown authorization mode "{config.authorization.mode}"'
    for pattern in config.allowed_unsafe_sysctls:
        if not re.fullmatch(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*([./]?\*)?", pattern):
            yield f'allowedUnsafeSysctls: "{pattern}" is no name of a sysctl and no pattern of names'


def _logging(said: Logging) -> Iterator[str]:
    if said.format not in ("text", "json"):
        yield f'logging.format: Invalid value: "{said.format}": Unsupported log format'
    if said.format != "text" and said.vmodule:
        yield "logging.vmodule: Forbidden: Only supported for text log format"
    if not 0 <= said.verbosity < 2**31:
        yield f"logging.verbosity: Invalid value: {said.verbosity}: Must be <= 2147483647"
    for at, item in enumerate(said.vmodule):
        if not item.file_pattern:
            yield f"logging.vmodule[{at}]: Required value: File pattern must not be empty"
        elif set(item.file_pattern) & set("=,"):
            pattern = item.file_pattern
            yield f'logging.vmodule[{at}]: Invalid value: "{pattern}": File pattern must not contain equal sign or comma'


def _tracing(said: Tracing | None) -> Iterator[str]:
    rate = said.sampling_rate_per_million if said is not None else None
    if rate is not None and rate < 0:
        yield f"tracing.samplingRatePerMillion: Invalid value: {rate}: sampling rate must be positive"
    if rate is not None and rate > 1000000:
        yield (
            f"tracing.samplingRatePerMillion: Invalid value: {rate}: sampling rate per million must be less than or"
            " equal to one million"
        )
