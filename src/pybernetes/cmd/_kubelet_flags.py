"""The kubelet's flags: upstream's names. Those that repeat a field of KubeletConfiguration outrank files.

_kubelet.py uses what they say.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from pybernetes.cmd._flags import comma_list
from pybernetes.cmd._version import add_version
from pybernetes.rules import durations

Form = Callable[[str], Any]
_WIDEST = 118
"""Columns of --help, however wide the terminal is."""


def _fault(text: str, why: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f'invalid argument "{text}": {why}')


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _fault(text, f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _bool(text: str) -> bool:
    if text not in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"):
        raise _fault(text, f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text[0] in "1tT"


def _duration(text: str) -> str:
    try:
        return durations.text_of(durations.seconds_of(text))
    except ValueError as error:
        raise _fault(text, str(error)) from None


def _pairs(sign: str) -> Form:
    def read(text: str) -> dict[str, str]:
        found = {}
        for part in comma_list(text):
            key, at, value = part.partition(sign)
            if not at or not key.strip():
                raise _fault(text, f"malformed pair, expect string{sign}string")
            found[key.strip()] = value.strip()
        return found

    return read


def _gates(text: str) -> dict[str, bool]:
    return {name: _bool(value) for name, value in _pairs("=")(text).items()}


def _headers(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in comma_list(text):
        name, colon, value = part.partition(":")
        if not colon:
            raise _fault(text, "malformed pair, expect string:string")
        found.setdefault(name.strip(), []).append(value.strip())
    return found


def _taints(text: str) -> list[dict[str, str]]:
    found = []
    for part in comma_list(text):
        pair, colon, effect = part.rpartition(":")
        key, _, value = pair.partition("=")
        if not colon or not key:
            raise _fault(text, f"invalid taint spec: {part}")
        found.append({"key": key, "value": value, "effect": effect})
    return found


def _provider(text: str) -> str:
    if text not in ("", "external"):
        raise _fault(text, "clouds are built in nowhere any more: it is external, or empty")
    return text


def _memory(text: str) -> list[dict[str, Any]]:
    node, colon, limits = text.partition(":")
    if not colon or not node.isdigit():
        raise _fault(text, "expected NUMA node:type=amount,...")
    return [{"numaNode": int(node), "limits": _pairs("=")(limits)}]


_BOOL: Form = _bool
# Flag, the field that it repeats, how it is written, help.
FIELDS: tuple[tuple[str, str, Form, str], ...] = (
    ("address", "address", str, "IP address to serve on"),
    ("allowed-unsafe-sysctls", "allowedUnsafeSysctls", comma_list, "unsafe sysctls, or patterns ending in *, that Pods may set"),
    ("anonymous-auth", "authentication.anonymous.enabled", _bool, "take requests without credentials as system:anonymous"),
    ("authentication-token-webhook", "authentication.webhook.enabled", _bool, "check bearer tokens by TokenReview"),
    ("authentication-token-webhook-cache-ttl", "authentication.webhook.cacheTTL", _duration, "how long the answer counts"),
    ("authorization-mode", "authorization.mode", str, "Webhook or AlwaysAllow"),
    ("authorization-webhook-cache-authorized-ttl", "authorization.webhook.cacheAuthorizedTTL", _duration, "how long a yes counts"),
    ("authorization-webhook-cache-unauthorized-ttl", "authorization.webhook.cacheUnauthorizedTTL", _duration, "how long a no counts"),
    ("cgroup-driver", "cgroupDriver", str, "cgroupfs (systemd is not supported)"),
    ("cgroup-root", "cgroupRoot", str, "parent of the kubepods cgroup"),
    ("cgroups-per-qos", "cgroupsPerQOS", _bool, "a tree of cgroups by QoS class"),
    ("client-ca-file", "authentication.x509.clientCAFile", str, "CA of client certificates on the kubelet's API"),
    ("cluster-dns", "clusterDNS", comma_list, "addresses of the cluster DNS"),
    ("cluster-domain", "clusterDomain", str, "DNS domain of the cluster"),
    ("container-log-max-files", "containerLogMaxFiles", _int, "files of a container's log"),
    ("container-log-max-size", "containerLogMaxSize", str, "size at which a container's log is rotated"),
    ("container-runtime-endpoint", "containerRuntimeEndpoint", str, "the runtime's socket"),
    ("contention-profiling", "enableContentionProfiling", _bool, "without effect"),
    ("cpu-cfs-quota", "cpuCFSQuota", _bool, "enforce CPU limits"),
    ("cpu-cfs-quota-period", "cpuCFSQuotaPeriod", _duration, "period of CPU limits"),
    ("cpu-manager-policy", "cpuManagerPolicy", str, "none (static is not supported)"),
    ("cpu-manager-policy-options", "cpuManagerPolicyOptions", _pairs("="), "not supported"),
    ("cpu-manager-reconcile-period", "cpuManagerReconcilePeriod", _duration, "without effect"),
    ("enable-controller-attach-detach", "enableControllerAttachDetach", _bool, "volumes are attached by the controller"),
    ("enable-debugging-handlers", "enableDebuggingHandlers", _bool, "serve exec, attach, port-forward and logs"),
    ("enable-server", "enableServer", _bool, "serve the kubelet's API"),
    ("enforce-node-allocatable", "enforceNodeAllocatable", comma_list, "pods, system-reserved, kube-reserved, or none"),
    ("event-burst", "eventBurst", _int, "without effect"),
    ("event-qps", "eventRecordQPS", _int, "without effect"),
    ("eviction-hard", "evictionHard", _pairs("<"), "thresholds of eviction, such as memory.available<1Gi"),
    ("eviction-max-pod-grace-period", "evictionMaxPodGracePeriod", _int, "grace of a Pod at a soft eviction, at most"),
    ("eviction-minimum-reclaim", "evictionMinimumReclaim", _pairs("="), "what an eviction frees at least"),
    ("eviction-pressure-transition-period", "evictionPressureTransitionPeriod", _duration, "how long a pressure lasts at least"),
    ("eviction-soft", "evictionSoft", _pairs("<"), "thresholds with a grace period"),
    ("eviction-soft-grace-period", "evictionSoftGracePeriod", _pairs("="), "their grace periods"),
    ("fail-cgroupv1", "failCgroupV1", _bool, "refuse a machine with cgroup v1"),
    ("fail-swap-on", "failSwapOn", _bool, "refuse a machine with swap"),
    ("feature-gates", "featureGates", _gates, "names are checked; what there is, is on"),
    ("file-check-frequency", "fileCheckFrequency", _duration, "how often static Pods are read"),
    ("hairpin-mode", "hairpinMode", str, "without effect"),
    ("healthz-bind-address", "healthzBindAddress", str, "address of /healthz"),
    ("healthz-port", "healthzPort", _int, "port of /healthz; 0 for none"),
    ("http-check-frequency", "httpCheckFrequency", _duration, "how often --manifest-url is read"),
    ("image-gc-high-threshold", "imageGCHighThresholdPercent", _int, "percent of disk usage at which images are removed"),
    ("image-gc-low-threshold", "imageGCLowThresholdPercent", _int, "percent down to which they are removed"),
    ("image-service-endpoint", "imageServiceEndpoint", str, "the runtime's socket again, if anything"),
    ("kernel-memcg-notification", "kernelMemcgNotification", _bool, "without effect"),
    ("kube-api-burst", "kubeAPIBurst", _int, "without effect"),
    ("kube-api-content-type", "contentType", str, "without effect"),
    ("kube-api-qps", "kubeAPIQPS", _int, "without effect"),
    ("kube-reserved", "kubeReserved", _pairs("="), "kept off Pods, such as cpu=200m,memory=500Mi"),
    ("kube-reserved-cgroup", "kubeReservedCgroup", str, "the group that --kube-reserved is enforced on"),
    ("kubelet-cgroups", "kubeletCgroups", str, "without effect"),
    ("local-storage-capacity-isolation", "localStorageCapacityIsolation", _bool, "count ephemeral storage"),
    ("log-flush-frequency", "logging.flushFrequency", _duration, "without effect"),
    ("log-text-info-buffer-size", "logging.options.text.infoBufferSize", str, "without effect"),
    ("log-text-split-stream", "logging.options.text.splitStream", _bool, "without effect"),
    ("logging-format", "logging.format", str, "text"),
    ("make-iptables-util-chains", "makeIPTablesUtilChains", _bool, "without effect"),
    ("manifest-url", "staticPodURL", str, "where more static Pods are read from"),
    ("manifest-url-header", "staticPodURLHeader", _headers, "headers of that request: name:value,..."),
    ("max-open-files", "maxOpenFiles", _int, "open files of this process"),
    ("max-pods", "maxPods", _int, "Pods at most"),
    ("memory-manager-policy", "memoryManagerPolicy", str, "None (Static is not supported)"),
    ("minimum-image-ttl-duration", "imageMinimumGCAge", _duration, "an unused image is kept so long"),
    ("node-status-max-images", "nodeStatusMaxImages", _int, "images in the node's status; -1 for all"),
    ("node-status-update-frequency", "nodeStatusUpdateFrequency", _duration, "how often the node's status is computed"),
    ("oom-score-adj", "oomScoreAdj", _int, "of this process"),
    ("pod-cidr", "podCIDR", str, "without effect"),
    ("pod-manifest-path", "staticPodPath", str, "file or folder of static Pods"),
    ("pod-max-pids", "podPidsLimit", _int, "processes of a Pod"),
    ("pods-per-core", "podsPerCore", _int, "Pods per CPU; 0 for no such limit"),
    ("port", "port", _int, "port of the kubelet's API"),
    ("protect-kernel-defaults", "protectKernelDefaults", _bool, "refuse other kernel settings than upstream's"),
    ("provider-id", "providerID", str, "spec.providerID of the Node"),
    ("qos-reserved", "qosReserved", _pairs("="), "not supported"),
    ("read-only-port", "readOnlyPort", _int, "0 (nothing is served without authentication)"),
    ("register-node", "registerNode", _bool, "make the Node"),
    ("register-with-taints", "registerWithTaints", _taints, "taints of the new Node: key=value:effect,..."),
    ("registry-burst", "registryBurst", _int, "pulls at once, beyond the pace"),
    ("registry-qps", "registryPullQPS", _int, "pulls a second; 0 for no limit"),
    ("reserved-cpus", "reservedSystemCPUs", str, "CPUs kept off Pods, such as 0-1"),
    ("reserved-memory", "reservedMemory", _memory, "not supported"),
    ("resolv-conf", "resolvConf", str, "the machine's resolv.conf"),
    ("rotate-certificates", "rotateCertificates", _bool, "renew the client certificate by CSR"),
    ("rotate-server-certificates", "serverTLSBootstrap", _bool, "ask for the serving certificate by CSR and renew it"),
    ("runonce", "runOnce", _bool, "not supported"),
    ("runtime-request-timeout", "runtimeRequestTimeout", _duration, "without effect"),
    ("seccomp-default", "seccompDefault", _bool, "RuntimeDefault where a Pod says nothing"),
    ("serialize-image-pulls", "serializeImagePulls", _bool, "one pull at a time"),
    ("streaming-connection-idle-timeout", "streamingConnectionIdleTimeout", _duration, "idle exec, attach and port-forward end"),
    ("sync-frequency", "syncFrequency", _duration, "without effect"),
    ("system-cgroups", "systemCgroups", str, "not supported"),
    ("system-reserved", "systemReserved", _pairs("="), "kept off Pods, such as cpu=200m,memory=500Mi"),
    ("system-reserved-cgroup", "systemReservedCgroup", str, "the group that --system-reserved is enforced on"),
    ("tls-cert-file", "tlsCertFile", str, "the serving certificate"),
    ("tls-cipher-suites", "tlsCipherSuites", comma_list, "of TLS 1.2, by Go's names"),
    ("tls-min-version", "tlsMinVersion", str, "VersionTLS12 or VersionTLS13"),
    ("tls-private-key-file", "tlsPrivateKeyFile", str, "its key"),
    ("topology-manager-policy", "topologyManagerPolicy", str, "none (others are not supported)"),
    ("topology-manager-policy-options", "topologyManagerPolicyOptions", _pairs("="), "not supported"),
    ("topology-manager-scope", "topologyManagerScope", str, "without effect"),
    ("volume-plugin-dir", "volumePluginDir", str, "without effect"),
    ("volume-stats-agg-period", "volumeStatsAggPeriod", _duration, "how often local storage is measured"),
)  # fmt: skip
# Upstream's deprecation is about where a field is set; these are flags there for good.
_NOT_DEPRECATED = frozenset({"fail-cgroupv1", "log-flush-frequency", "provider-id", "seccomp-default"})
_DEPRECATED = (
    "Flag --{} has been deprecated, This parameter should be set via the config file specified by the Kubelet's --config"
    " flag. See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for more information."
)
# Flags of upstream (and of units made for older ones) that mean nothing here.
_WITHOUT_EFFECT = (
    "container-runtime", "experimental-allocatable-ignore-eviction", "experimental-mounter-path",
    "maximum-dead-containers", "maximum-dead-containers-per-container", "minimum-container-ttl-duration",
    "pod-infra-container-image", "runtime-cgroups", "vmodule",
)  # fmt: skip
_METAVARS: Mapping[Any, str] = {
    _int: "N",
    _bool: "BOOL",
    _duration: "DURATION",
    comma_list: "A,B",
    _gates: "NAME=BOOL,...",
}


def _with_dashes(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if word.startswith("--") else word


class _Parser(argparse.ArgumentParser):
    """Errors as upstream's command has them: one line, exit code 1."""

    def parse_known_args(  # type: ignore[override]  # the overloads of typeshed differ in the namespace's type alone
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As upstream's: `--node_ip` is `--node-ip`."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([_with_dashes(word) for word in words], namespace)

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0]
            flag = word.partition("=")[0]
            message = f"unknown flag: {flag}" if word.startswith("-") else f"unknown command {word}"
        print(f"kubelet: failed to parse kubelet flag: {message}; see kubelet --help", file=sys.stderr)
        sys.exit(1)


def _help(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(
        prog, max_help_position=40, width=min(_WIDEST, shutil.get_terminal_size().columns - 2)
    )


def parser() -> argparse.ArgumentParser:
    """All flags. `overrides()` of the result are those that repeat fields of the configuration."""
    flags = _Parser(
        prog="kubelet",
        usage="kubelet [flags]",
        description="The agent of a node: runs its Pods on a container runtime. Without --kubeconfig it runs static Pods"
        " only. What each field of the configuration does is in docs/reference/kubelet-configuration.md.",
        allow_abbrev=False,
        formatter_class=_help,
    )
    _node_flags(flags)
    fields = flags.add_argument_group(
        "fields of KubeletConfiguration", "Better set in the file of --config; given here they outrank it."
    )
    for name, path, form, text in FIELDS:
        loose: dict[str, Any] = {"nargs": "?", "const": True} if form is _BOOL else {}
        fields.add_argument(
            f"--{name}",
            type=form,
            dest=f"field:{path}",
            default=None,
            metavar=_METAVARS.get(form, "..."),
            help=text.replace("%", "%%"),
            action=_Field,
            **loose,
        )
    rest = flags.add_argument_group("without effect", "Accepted, so that units made for other kubelets start.")
    for name in _WITHOUT_EFFECT:
        rest.add_argument(f"--{name}", nargs="?", const="true", default=None, metavar="...", dest=f"without effect:{name}",
                          help=argparse.SUPPRESS if name == "container-runtime" else "")  # fmt: skip
    return flags


def _node_flags(flags: argparse.ArgumentParser) -> None:
    group = flags.add_argument_group("the node and its files")
    add = group.add_argument
    add("--config", default="", metavar="FILE", help="KubeletConfiguration")
    add("--config-dir", default="", metavar="FOLDER", help="its *.conf files are merged over --config, in order")
    add("--kubeconfig", default="", metavar="FILE", help="how to reach the API server; written by TLS bootstrap")
    add("--bootstrap-kubeconfig", default="", metavar="FILE", help="credentials to ask for a client certificate with")
    add("--cert-dir", default="", metavar="FOLDER", help="where certificates are kept (default: <root-dir>/pki)")
    add("--root-dir", default="/var/lib/kubelet", metavar="FOLDER", help="where Pods' files and volumes are kept")
    add("--hostname-override", default="", metavar="NAME", help="name of the node (default: the host's name)")
    add("--node-ip", default="", metavar="IP[,IP]", help="addresses of the node")
    add("--node-labels", default="", metavar="K=V,...", help="labels of the new Node")
    add(
        "--cloud-provider",
        default="",
        type=_provider,
        metavar="external",
        help="external: a cloud's controller finishes the Node",
    )
    add("--lock-file", default="", metavar="FILE", help="wait until no other kubelet has a lock on it")
    add(
        "--exit-on-lock-contention",
        type=_bool,
        nargs="?",
        const=True,
        default=False,
        metavar="BOOL",
        help="end when another one wants that lock",
    )
    add(
        "--image-credential-provider-config",
        default="",
        metavar="PATH",
        help="CredentialProviderConfig: plugins that say who pulls; a file or a folder of files",
    )
    add("--image-credential-provider-bin-dir", default="", metavar="FOLDER", help="the plugins' programs")
    add("--v", "-v", type=int, default=2, metavar="N", help="log verbosity; 4 and more for debugging")
    add_version(group)


class _Field(argparse.Action):
    """Collects fields: a list or map that is given again grows."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        found: dict[str, Any] = getattr(namespace, "fields", {})
        name = (option_string or "").removeprefix("--")
        if name not in _NOT_DEPRECATED:
            print(_DEPRECATED.format(name), file=sys.stderr)
        path = self.dest.partition(":")[2]
        before = found.get(path)
        if isinstance(before, list):
            values = [*before, *values]
        elif isinstance(before, dict):
            values = {**before, **values}
        namespace.fields = {**found, path: values}


def overrides(options: argparse.Namespace) -> Mapping[str, Any]:
    """Fields of the configuration that flags set, by their paths."""
    found: Mapping[str, Any] = getattr(options, "fields", {})
    return found


def without_effect(options: argparse.Namespace) -> Sequence[str]:
    """Flags that were given and mean nothing here."""
    return [name for name in _WITHOUT_EFFECT if getattr(options, f"without effect:{name}") is not None]
