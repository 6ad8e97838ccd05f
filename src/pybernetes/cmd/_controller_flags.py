"""The flags of kube-controller-manager: what --help says of each part, and what they mean to the controllers."""

import argparse
import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from pybernetes.aio.clock import Clock
from pybernetes.api.types import core_v1
from pybernetes.client.pacing import Paced
from pybernetes.cmd import _signing
from pybernetes.cmd._daemon import StartError
from pybernetes.cmd._flags import boolean, comma_list, count, duration, lasting, rate
from pybernetes.controllers._recyclers import Recyclers
from pybernetes.controllers._zones import Rates
from pybernetes.controllers.runtime import Config, Controller, chosen, known
from pybernetes.wire.codecs import yaml
from pybernetes.wire.http import Transport
from pybernetes.wire.pki.keys import PkiError, PrivateKey, parse_key

CONCURRENCY = {
    "concurrent-cron-job-syncs": "cronjob-controller",
    "concurrent-daemonset-syncs": "daemonset-controller",
    "concurrent-deployment-syncs": "deployment-controller",
    "concurrent-device-taint-eviction-syncs": "device-taint-eviction-controller",
    "concurrent-endpoint-syncs": "endpoints-controller",
    "concurrent-ephemeralvolume-syncs": "ephemeral-volume-controller",
    "concurrent-gc-syncs": "garbage-collector-controller",
    "concurrent-horizontal-pod-autoscaler-syncs": "horizontal-pod-autoscaler-controller",
    "concurrent-job-syncs": "job-controller",
    "concurrent-namespace-syncs": "namespace-controller",
    "concurrent-rc-syncs": "replicationcontroller-controller",
    "concurrent-replicaset-syncs": "replicaset-controller",
    "concurrent-resource-claim-syncs": "resourceclaim-controller",
    "concurrent-resource-quota-syncs": "resourcequota-controller",
    "concurrent-service-endpoint-syncs": "endpointslice-controller",
    "concurrent-service-syncs": "service-lb-controller",
    "concurrent-serviceaccount-token-syncs": "serviceaccount-token-controller",
    "concurrent-statefulset-syncs": "statefulset-controller",
    "concurrent-ttl-after-finished-syncs": "ttl-after-finished-controller",
    "concurrent-validating-admission-policy-status-syncs": "validatingadmissionpolicy-status-controller",
    "mirroring-concurrent-service-endpoint-syncs": "endpointslice-mirroring-controller",
}
"""Flag to the controller whose workers it counts."""

ACCEPTED = (
    "allow-metric-labels", "allow-metric-labels-manifest", "allow-untagged-cloud",
    "attach-detach-reconcile-sync-period", "authentication-kubeconfig", "authentication-skip-lookup",
    "authentication-token-webhook-cache-ttl", "authentication-tolerate-lookup-failure", "authorization-kubeconfig",
    "authorization-webhook-cache-authorized-ttl", "authorization-webhook-cache-unauthorized-ttl", "cert-dir",
    "cidr-allocator-type", "cloud-config", "cloud-provider", "configure-cloud-routes",
    "contention-profiling", "controller-shutdown-timeout", "controller-start-interval",
    "disable-attach-detach-reconcile-sync", "disabled-metrics",
    "emulated-version",
    "external-cloud-volume-plugin", "feature-gates", "flex-volume-plugin-dir", "http2-max-streams-per-connection",
    "kube-api-content-type", "leader-elect-resource-lock",
    "log-flush-frequency", "logging-format", "master",
    "min-resync-period", "namespace-sync-period",
    "node-sync-period", "permit-address-sharing", "permit-port-sharing", "profiling", "pvclaimbinder-sync-period",
    "requestheader-allowed-names", "requestheader-client-ca-file", "requestheader-extra-headers-prefix",
    "requestheader-group-headers", "requestheader-uid-headers", "requestheader-username-headers",
    "resource-quota-sync-period", "route-reconciliation-period", "show-hidden-metrics-for-version",
    "tls-sni-cert-key", "vmodule",
)  # fmt: skip
"""Upstream's flags without effect here: there is nothing to resync, and no cloud."""

_QPS, _BURST = 20.0, 30
"""Where only the other of the two is given: upstream's defaults."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All but those of _leading.py."""
    _add_general(parser)
    _add_pace(parser)
    _add_nodes(parser)
    certificates = parser.add_argument_group("certificates and accounts")
    _signing.add_flags(certificates)
    add = certificates.add_argument
    add("--cluster-signing-duration", type=duration, default=8760 * 3600.0, help="life of a certificate at most: 8760h")
    add("--service-account-private-key-file", type=Path, help="signs the tokens of ServiceAccounts in Secrets, PEM")
    add("--legacy-service-account-token-clean-up-period", type=lasting, default=8760 * 3600.0,
        help="a token made for a ServiceAccount, not used so long, is marked invalid, and removed after as long: 8760h")  # fmt: skip
    add("--root-ca-file", type=Path, help="the bundle that Pods verify the API server with, PEM")
    add("--use-service-account-credentials", type=boolean, nargs="?", const=True, default=False,
        help="each controller writes as a ServiceAccount of its own in kube-system")  # fmt: skip
    _add_recyclers(parser)
    _add_autoscaler(parser)
    add = parser.add_argument_group("endpoints").add_argument
    add("--max-endpoints-per-slice", type=_UpTo(1000), default=100, help="of an EndpointSlice: 100, at most 1000")
    add(
        "--mirroring-max-endpoints-per-subset", type=_UpTo(1000), default=1000, help="addresses that are mirrored: 1000"
    )
    for flag, what in (
        ("endpoint", "Pods wait before they come into Endpoints"),
        ("endpointslice", "Pods wait before they come into EndpointSlices"),
        ("mirroring-endpointslice", "mirrors wait before they are looked at"),
    ):
        add(f"--{flag}-updates-batch-period", type=duration, default=0.0, help=f"so long changes of {what}: 0s")
    add = parser.add_argument_group("concurrency", "how many objects a controller works on at a time").add_argument
    for flag in CONCURRENCY:
        add(f"--{flag}", type=_UpTo(10_000), metavar="N")


def _add_general(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("controllers").add_argument
    there = known()
    off = ", ".join(sorted(name for name, controller in there.items() if not controller.default_on))
    add("--controllers", type=comma_list, default=["*"], metavar="NAMES",
        help=f"which run: '*', names, and '-name' for not. There are: {', '.join(sorted(there))}. Not of '*': {off}")  # fmt: skip
    add("--cluster-name", default="kubernetes", help="the cluster's name")
    add("--enable-garbage-collector", type=boolean, nargs="?", const=True, default=True,
        help="as the API server's flag of this name; false: the collector does not run")  # fmt: skip
    add("--terminated-pod-gc-threshold", type=int, default=12500, help="how many ended Pods stay; 0: all")


def _add_pace(parser: argparse.ArgumentParser) -> None:
    about = "unless one of these is given, nothing is held back: the API server's priority and fairness shares what there is"
    add = parser.add_argument_group("requests", about).add_argument
    add("--kube-api-qps", type=_number, metavar="N", help="requests in a second, by each identity; below 0: any number")
    add("--kube-api-burst", type=count, metavar="N", help="requests at once after a rest")


def paced(options: argparse.Namespace, transport: Transport, clock: Clock) -> Transport:
    """The transport, no faster than the flags say. client-go has defaults for 0."""
    qps, burst = options.kube_api_qps, options.kube_api_burst
    if qps is None and burst is None:
        return transport
    qps = (_QPS if qps is None else qps) or 5.0
    burst = (_BURST if burst is None else burst) or 10
    return transport if qps < 0 else Paced(transport, clock, qps, burst)


def _add_nodes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("nodes").add_argument
    add("--allocate-node-cidrs", type=boolean, nargs="?", const=True, default=False,
        help="give each Node a range of Pod addresses out of --cluster-cidr")  # fmt: skip
    add("--cluster-cidr", type=_networks, default=(), help="the Pods' addresses; one range a family, with a comma")
    add("--service-cluster-ip-range", type=_networks, default=(),
        help="the Services' addresses, of which no Node gets any; one range a family, with a comma")  # fmt: skip
    add("--node-cidr-mask-size", "--node-cidr-mask-size-ipv4", type=int, default=24, help="size of a Node's range")
    add("--node-cidr-mask-size-ipv6", type=int, default=64, help="the same for IPv6")
    add("--node-monitor-grace-period", type=duration, default=50.0, help="how long a Node may be silent: 50s")
    add("--node-startup-grace-period", type=duration, default=60.0, help="the same before it said anything: 1m")
    add("--node-monitor-period", type=duration, default=5.0, help="a Node is emptied so long after it fell silent: 5s")
    add("--node-eviction-rate", type=rate, default=0.1, help="Nodes of a zone that are emptied in a second: 0.1")
    add("--secondary-node-eviction-rate", type=rate, default=0.01,
        help="the same in a zone of which a part is disrupted, if it is large: 0.01")  # fmt: skip
    add("--large-cluster-size-threshold", type=int, default=50, help="Nodes that a large zone has more than: 50")
    add("--unhealthy-zone-threshold", type=rate, default=0.55,
        help="the part of a zone that is not ready from which on it is disrupted, three Nodes at least: 0.55")  # fmt: skip


def _add_recyclers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("volumes").add_argument
    add("--disable-force-detach-on-timeout", type=boolean, nargs="?", const=True, default=False,
        help="leave volumes on Nodes that are unwell until they are declared out of service")  # fmt: skip
    told = "Pods that empty volumes of the policy Recycle"
    for kind, increment, least in (("hostpath", "timeout-increment", 60), ("nfs", "increment-timeout", 300)):
        add(
            f"--pv-recycler-pod-template-filepath-{kind}",
            type=Path,
            metavar="FILE",
            help=f"{told}: what they look like",
        )
        add(f"--pv-recycler-minimum-timeout-{kind}", type=count, default=least, help=f"{told}: seconds that they have")
        add(f"--pv-recycler-{increment}-{kind}", type=count, default=30, help=f"{told}: the same for each GiB")


def _pod(path: Path | None) -> core_v1.Pod | None:
    """The template in a file, YAML or JSON. Raises StartError."""
    if path is None:
        return None
    try:
        return msgspec.convert(yaml.load(path.read_bytes()), core_v1.Pod)
    except (OSError, ValueError) as error:
        raise StartError(f"{path} holds no Pod: {error}") from None


def _add_autoscaler(parser: argparse.ArgumentParser) -> None:
    add, hpa = parser.add_argument_group("horizontal pod autoscaler").add_argument, "--horizontal-pod-autoscaler-"
    add(f"{hpa}sync-period", type=lasting, default=15.0, help="how often autoscalers are looked at: 15s")
    add(f"{hpa}downscale-stabilization", type=duration, default=300.0,
        help="what was recommended so long ago counts: 5m")  # fmt: skip
    add(f"{hpa}tolerance", type=rate, default=0.1, help="how far from its target a metric changes nothing: 0.1")
    add(f"{hpa}cpu-initialization-period", type=duration, default=300.0,
        help="CPU of a Pod that starts says little: 5m")  # fmt: skip
    add(f"{hpa}initial-readiness-delay", type=duration, default=30.0,
        help="how long a Pod takes to say it is ready: 30s")  # fmt: skip


def config_of(options: argparse.Namespace) -> Config:
    """The flags as Config, files read. Raises StartError."""
    if options.allocate_node_cidrs and not options.cluster_cidr:
        raise StartError("--allocate-node-cidrs needs --cluster-cidr")
    return Config(
        cluster_name=options.cluster_name,
        allocate_node_cidrs=options.allocate_node_cidrs,
        cluster_cidrs=options.cluster_cidr,
        service_cidrs=options.service_cluster_ip_range,
        node_cidr_mask_size=options.node_cidr_mask_size,
        node_cidr_mask_size_ipv6=options.node_cidr_mask_size_ipv6,
        node_monitor_period=options.node_monitor_period,
        rates=Rates(
            eviction=options.node_eviction_rate,
            secondary=options.secondary_node_eviction_rate,
            large_cluster=options.large_cluster_size_threshold,
            unhealthy_zone=options.unhealthy_zone_threshold,
        ),
        node_monitor_grace_period=options.node_monitor_grace_period,
        node_startup_grace_period=options.node_startup_grace_period,
        terminated_pod_gc_threshold=options.terminated_pod_gc_threshold,
        endpoints_per_slice=options.max_endpoints_per_slice,
        mirrored_per_subset=options.mirroring_max_endpoints_per_subset,
        endpoint_batch_period=options.endpoint_updates_batch_period,
        slice_batch_period=options.endpointslice_updates_batch_period,
        mirror_batch_period=options.mirroring_endpointslice_updates_batch_period,
        signing_authority=_signing.signing_files(options),
        cluster_signing_duration=options.cluster_signing_duration,
        root_ca=_read(options.root_ca_file),
        legacy_token_period=options.legacy_service_account_token_clean_up_period,
        service_account_key=_key(options.service_account_private_key_file),
        recyclers=Recyclers(
            host_path_minimum=options.pv_recycler_minimum_timeout_hostpath,
            host_path_increment=options.pv_recycler_timeout_increment_hostpath,
            host_path_template=_pod(options.pv_recycler_pod_template_filepath_hostpath),
            nfs_minimum=options.pv_recycler_minimum_timeout_nfs,
            nfs_increment=options.pv_recycler_increment_timeout_nfs,
            nfs_template=_pod(options.pv_recycler_pod_template_filepath_nfs),
        ),
        force_detach=not options.disable_force_detach_on_timeout,
        hpa_sync_period=options.horizontal_pod_autoscaler_sync_period,
        hpa_downscale_stabilization=options.horizontal_pod_autoscaler_downscale_stabilization,
        hpa_tolerance=options.horizontal_pod_autoscaler_tolerance,
        hpa_cpu_initialization_period=options.horizontal_pod_autoscaler_cpu_initialization_period,
        hpa_initial_readiness_delay=options.horizontal_pod_autoscaler_initial_readiness_delay,
    )


def controllers_of(options: argparse.Namespace) -> Mapping[str, Controller]:
    """Those that run, each with its workers. Raises StartError for a name that nobody has."""
    try:
        found = chosen(options.controllers)
    except ValueError as error:
        raise StartError(f"--controllers: {error}") from None
    if not options.enable_garbage_collector:
        found.pop("garbage-collector-controller", None)
    for flag, name in CONCURRENCY.items():
        workers = getattr(options, flag.replace("-", "_"))
        if workers is not None and name in found:
            found[name] = replace(found[name], workers=workers)
    return found


class _UpTo:
    """A flag's number from 1 to a limit, as argparse's `type`."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        found = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= found <= self._most:
            raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 to {self._most}')
        return found


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number') from None
    if not abs(found) < float("inf"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number that can be reached')
    return found


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _key(path: Path | None) -> PrivateKey | None:
    try:
        return parse_key(_read(path)) if path else None
    except PkiError as error:
        raise StartError(f"cannot use {path}: {error}") from None


def _read(path: Path | None) -> bytes:
    try:
        found = path.read_bytes() if path else b""
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from None
    if path and not found.strip():
        raise StartError(f"cannot use {path}: it is empty")
    return found
