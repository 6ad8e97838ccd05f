"""kube-controller-manager: the composition root: flags -> Config -> ControllerManager, while this process leads."""

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

from pybernetes.aio.clock import Clock
from pybernetes.client.rest import Client
from pybernetes.cmd import _leading, _signing
from pybernetes.cmd._daemon import StartError
from pybernetes.cmd._flags import boolean, duration, lasting, rate
from pybernetes.cmd._serving import Serving
from pybernetes.controllers._zones import Rates
from pybernetes.controllers.runtime import Config, ControllerManager, chosen

COMPONENT = _leading.Component(
    name="kube-controller-manager",
    help="Drives the world towards what the objects say.",
    port=10257,
    accepted=(
        "authentication-kubeconfig",
        "authorization-kubeconfig",
        "concurrent-deployment-syncs",
        "concurrent-gc-syncs",
        "concurrent-horizontal-pod-autoscaler-syncs",
        "concurrent-namespace-syncs",
        "concurrent-replicaset-syncs",
        "concurrent-serviceaccount-token-syncs",
        "configure-cloud-routes",
        "enable-garbage-collector",
        "feature-gates",
        "kube-api-burst",
        "kube-api-qps",
        "leader-elect-resource-lock",
        "profiling",
        "requestheader-allowed-names",
        "requestheader-client-ca-file",
        "requestheader-extra-headers-prefix",
        "requestheader-group-headers",
        "requestheader-username-headers",
        "service-account-private-key-file",
        "service-cluster-ip-range",
        "use-service-account-credentials",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    parser = _leading.parser(COMPONENT)
    add = parser.add_argument
    add(
        "--controllers",
        default="*",
        help="which run: '*', names, and '-name' for not; bootstrapsigner and tokencleaner",
    )
    add("--cluster-name", default="kubernetes", help="the cluster's name")
    add("--allocate-node-cidrs", type=boolean, nargs="?", const=True, default=False,
        help="give each Node a range of Pod addresses out of --cluster-cidr")  # fmt: skip
    add("--cluster-cidr", type=_networks, default=(), help="the Pods' addresses; one range a family, with a comma")
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
    add("--terminated-pod-gc-threshold", type=int, default=12500, help="how many ended Pods stay; 0: all")
    _signing.add_flags(parser)
    add("--cluster-signing-duration", type=duration, default=8760 * 3600.0, help="life of a certificate at most: 8760h")
    add("--root-ca-file", type=Path, help="the bundle that Pods verify the API server with, PEM")
    hpa = "--horizontal-pod-autoscaler-"
    add(f"{hpa}sync-period", type=lasting, default=15.0, help="how often autoscalers are looked at: 15s")
    add(
        f"{hpa}downscale-stabilization",
        type=duration,
        default=300.0,
        help="what was recommended so long ago counts: 5m",
    )
    add(f"{hpa}tolerance", type=rate, default=0.1, help="how far from its target a metric changes nothing: 0.1")
    add(
        f"{hpa}cpu-initialization-period", type=duration, default=300.0, help="CPU of a Pod that starts says little: 5m"
    )
    add(
        f"{hpa}initial-readiness-delay",
        type=duration,
        default=30.0,
        help="how long a Pod takes to say it is ready: 30s",
    )
    options = parser.parse_args(arguments)
    try:
        config = config_of(options)
        controllers = chosen(options.controllers.split(","))
    except StartError as error:
        print(f"{COMPONENT.name}: {error}", file=sys.stderr)
        sys.exit(1)
    except ValueError as error:
        print(f"{COMPONENT.name}: --controllers: {error}", file=sys.stderr)
        sys.exit(1)

    async def work(client: Client, clock: Clock, serving: Serving) -> None:
        manager = ControllerManager(client, config, controllers)
        serving.checks |= manager.checks()
        serving.texts.append(manager.metrics)
        await manager.run()

    sys.exit(_leading.command(COMPONENT, options, work))


def config_of(options: argparse.Namespace) -> Config:
    """The flags as Config, files read. Raises StartError."""
    if options.allocate_node_cidrs and not options.cluster_cidr:
        raise StartError("--allocate-node-cidrs needs --cluster-cidr")
    return Config(
        cluster_name=options.cluster_name,
        allocate_node_cidrs=options.allocate_node_cidrs,
        cluster_cidrs=options.cluster_cidr,
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
        signing_authority=_signing.signing_files(options),
        cluster_signing_duration=options.cluster_signing_duration,
        root_ca=_read(options.root_ca_file),
        hpa_sync_period=options.horizontal_pod_autoscaler_sync_period,
        hpa_downscale_stabilization=options.horizontal_pod_autoscaler_downscale_stabilization,
        hpa_tolerance=options.horizontal_pod_autoscaler_tolerance,
        hpa_cpu_initialization_period=options.horizontal_pod_autoscaler_cpu_initialization_period,
        hpa_initial_readiness_delay=options.horizontal_pod_autoscaler_initial_readiness_delay,
    )


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _read(path: Path | None) -> bytes:
    try:
        found = path.read_bytes() if path else b""
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from None
    if path and not found.strip():
        raise StartError(f"cannot use {path}: it is empty")
    return found


if __name__ == "__main__":
    main()
