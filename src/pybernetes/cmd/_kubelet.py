"""kubelet: the composition root: flags and configuration file -> Settings -> Kubelet. Flag names are upstream's.

Order: configuration, the runtime's socket (waited for, loudly), TLS bootstrap, then the node runs until it is stopped.
"""

import argparse
import asyncio
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from pybernetes.aio.clock import Clock, SystemClock
from pybernetes.api.types import core_v1
from pybernetes.assembly.podrules import ManifestRules
from pybernetes.client import kubeconfig
from pybernetes.client.rest import Client
from pybernetes.cmd import _daemon
from pybernetes.cmd._daemon import StartError
from pybernetes.kubelet import bootstrap, configuration_file
from pybernetes.kubelet.configuration import Configuration
from pybernetes.kubelet.configuration_file import ConfigurationError
from pybernetes.kubelet.cri.events import EventSource
from pybernetes.kubelet.cri.model import RuntimeRefused, RuntimeUnavailable
from pybernetes.kubelet.cri.runtime import CriRuntime, socket_exists
from pybernetes.kubelet.kubelet import Kubelet, Registration
from pybernetes.kubelet.server.access import Access
from pybernetes.kubelet.server.app import KubeletApi
from pybernetes.kubelet.settings import Settings
from pybernetes.wire.http import Handler, Headers, Request, Response
from pybernetes.wire.server import HttpServer
from pybernetes.wire.tls import Identity, ServerTls

log = logging.getLogger(__name__)

_SOCKET_RETRY = 2.0
_SOCKET_PATIENCE = 60.0
"""So long a runtime that starts with the machine is waited for; then the kubelet ends and its supervisor tries again."""
# What kubeadm and distributions pass besides; accepted, so that such units start, and without effect here.
_ACCEPTED = ("pod-infra-container-image", "container-runtime", "volume-plugin-dir", "feature-gates", "fail-swap-on")


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(
        prog="kubelet", description="The agent of a node: runs its Pods on a container runtime.", allow_abbrev=False
    )
    add = flags.add_argument
    add("--config", default="", help="KubeletConfiguration file")
    add("--kubeconfig", default="", help="how to reach the API server; without it only static Pods run")
    add("--bootstrap-kubeconfig", default="", help="credentials to ask for a client certificate with")
    add("--cert-dir", default="", help="where certificates are kept (default: <root-dir>/pki)")
    add("--root-dir", default="/var/lib/kubelet", help="where Pods' files and volumes are kept")
    add("--container-runtime-endpoint", default="", help="the runtime's socket: unix:///run/containerd/containerd.sock")
    add("--image-service-endpoint", default="", help="accepted for compatibility; the runtime's socket serves images")
    add("--hostname-override", default="", help="name of the node (default: the host's name)")
    add("--node-ip", default="", help="address of the node, or two with a comma")
    add("--node-labels", default="", help="labels of the Node: key=value,...")
    add("--register-with-taints", default="", help="taints of the Node: key=value:effect,...")
    add("--cgroup-root", default="", help="parent of the kubepods cgroup")
    add("--address", default="", help="address to listen on")
    add("--port", type=int, default=0, help="port of the kubelet's API (default 10250)")
    add("--max-pods", type=int, default=0, help="Pods at most (default 110)")
    add("--cluster-dns", default="", help="addresses of the cluster DNS")
    add("--cluster-domain", default="", help="DNS domain of the cluster")
    add("--pod-manifest-path", default="", help="folder (or file) of static Pods")
    add("--client-ca-file", default="", help="CA of client certificates on the kubelet's API")
    add("--rotate-certificates", nargs="?", const="true", default="", help="renew the client certificate by CSR")
    add("--v", "-v", type=int, default=2, help="log verbosity; 4 and more for debugging")
    for name in _ACCEPTED:
        add(f"--{name}", default="", help="accepted for compatibility, without effect")
    return flags


def configuration_of(options: argparse.Namespace) -> Configuration:
    """The file's configuration after the flags. Raises StartError."""
    try:
        found = configuration_file.load(Path(options.config)) if options.config else Configuration()
    except ConfigurationError as error:
        raise StartError(str(error)) from None
    changes: dict[str, object] = {}
    for flag, name in (
        ("container_runtime_endpoint", "container_runtime_endpoint"),
        ("cgroup_root", "cgroup_root"),
        ("address", "address"),
        ("port", "port"),
        ("max_pods", "max_pods"),
        ("cluster_domain", "cluster_domain"),
        ("pod_manifest_path", "static_pod_path"),
    ):
        if getattr(options, flag):
            changes[name] = getattr(options, flag)
    if options.cluster_dns:
        changes["cluster_dns"] = tuple(options.cluster_dns.split(","))
    if options.rotate_certificates:
        changes["rotate_certificates"] = options.rotate_certificates.lower() == "true"
    if options.client_ca_file:
        x509 = replace(found.authentication.x509, client_ca_file=options.client_ca_file)
        changes["authentication"] = replace(found.authentication, x509=x509)
    return replace(found, **changes)


def node_ips(text: str) -> tuple[str, ...]:
    """Addresses of the node: given, or the one that the machine would leave by. Raises StartError."""
    if text:
        try:
            return tuple(str(ipaddress.ip_address(part.strip())) for part in text.split(","))
        except ValueError as error:
            raise StartError(f"--node-ip: {error}") from None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # asks the routing table; sends nothing
        except OSError:
            raise StartError("cannot tell this machine's address: give it with --node-ip") from None
        return (str(probe.getsockname()[0]),)


def taints_of(text: str, listed: Sequence[core_v1.Taint] = ()) -> tuple[core_v1.Taint, ...]:
    """`key=value:effect,...` of the flag, or registerWithTaints of the file. Raises StartError."""
    found = []
    for part in filter(None, text.split(",")):
        pair, colon, effect = part.rpartition(":")
        key, _, value = pair.partition("=")
        if not colon or not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise StartError(f"--register-with-taints: {part!r} is not key=value:NoSchedule|PreferNoSchedule|NoExecute")
        found.append(core_v1.Taint(key=key, value=value, effect=effect))
    return tuple(found) or tuple(listed)


def labels_of(text: str) -> dict[str, str]:
    """`key=value,...`. Raises StartError."""
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise StartError(f"--node-labels: {part!r} is not key=value")
        found[key.strip()] = value.strip()
    return found


def settings_of(options: argparse.Namespace, config: Configuration) -> Settings:
    """The node's Settings. Raises StartError."""
    if config.cgroup_driver != "cgroupfs":
        raise StartError(
            f"cgroupDriver {config.cgroup_driver!r} is not supported: set it to cgroupfs here and in containerd"
        )
    return Settings(
        node_name=(options.hostname_override or socket.gethostname()).lower(),
        node_ips=node_ips(options.node_ip),
        config=config,
        root=Path(options.root_dir),
        standalone=not (options.kubeconfig or options.bootstrap_kubeconfig),
    )


async def wait_for_runtime(endpoint: str, clock: Clock) -> CriRuntime:
    """The runtime, once its socket answers. Raises StartError when it does not for a minute."""
    try:
        runtime = CriRuntime(endpoint)
    except ValueError as error:
        raise StartError(str(error)) from None
    began = clock.monotonic()
    while True:
        try:
            version = await runtime.version()
            log.info("container runtime is %s %s endpoint=%s", version.name, version.version, endpoint)
            return runtime
        except (RuntimeUnavailable, RuntimeRefused) as error:
            there = await asyncio.to_thread(socket_exists, endpoint)
            why = str(error) if there else "there is no such socket"
        if clock.monotonic() - began > _SOCKET_PATIENCE:
            await runtime.close()
            raise StartError(f"no container runtime at {endpoint} ({why}): start containerd, or give its socket with"
                             " --container-runtime-endpoint")  # fmt: skip
        log.error("container runtime does not answer endpoint=%s why=%s; trying again", endpoint, why)
        await clock.sleep(_SOCKET_RETRY)


async def run(options: argparse.Namespace) -> None:
    """Runs a node until cancelled. Raises StartError."""
    if os.geteuid() != 0:
        raise StartError("the kubelet makes cgroups and mounts: run it as root")
    clock = SystemClock()
    config = configuration_of(options)
    settings = settings_of(options, config)
    registration = Registration(
        taints_of(options.register_with_taints, config.register_with_taints),
        labels_of(options.node_labels),
        configuration_file.encode(config),
    )
    folder = Path(options.cert_dir) if options.cert_dir else settings.root / "pki"
    runtime = await wait_for_runtime(config.container_runtime_endpoint, clock)
    try:
        connection = None if settings.standalone else await _connect(options, settings, folder, clock)
        client = Client(connection or _nowhere, clock=clock, user_agent="kubelet")
        events = EventSource(config.container_runtime_endpoint)
        kubelet = Kubelet(settings, runtime, client, events=events, registration=registration)
        kubelet.read_manifests(ManifestRules())
        async with asyncio.TaskGroup() as group:
            group.create_task(kubelet.run(), name="kubelet")
            group.create_task(_serve_health(config), name="healthz")
            group.create_task(_serve(kubelet, client, config, folder), name="server")
            if connection is not None and config.rotate_certificates:
                wanted = bootstrap.Wanted(bootstrap.CLIENT_SIGNER, settings.node_name)
                rotation = bootstrap.ClientRotation(Path(options.kubeconfig), connection, client, wanted, folder)
                group.create_task(rotation.run(), name="client-certificate")
    finally:
        await runtime.close()


async def _connect(
    options: argparse.Namespace, settings: Settings, folder: Path, clock: Clock
) -> bootstrap.NodeConnection:
    path = Path(options.kubeconfig)
    wanted = bootstrap.Wanted(bootstrap.CLIENT_SIGNER, settings.node_name)
    from_file = Path(options.bootstrap_kubeconfig) if options.bootstrap_kubeconfig else None
    try:
        await bootstrap.ensure_kubeconfig(path, from_file, wanted, folder, clock)
        return bootstrap.NodeConnection(path)
    except (bootstrap.BootstrapError, kubeconfig.ConfigError, OSError) as error:
        raise StartError(str(error)) from None


async def _nowhere(request: Request) -> Response:
    """The transport of a kubelet without --kubeconfig."""
    raise ConnectionError("this kubelet runs standalone, without an API server")


async def _serve(kubelet: Kubelet, client: Client, config: Configuration, folder: Path) -> None:
    """The API on 10250, once there is a certificate for it."""
    settings, clock = kubelet.settings, client.clock
    wanted = bootstrap.Wanted(bootstrap.SERVING_SIGNER, settings.node_name, (settings.node_name, *settings.node_ips))
    by_request = config.server_tls_bootstrap and not settings.standalone
    serving = bootstrap.ServingCertificate(client if by_request else None, wanted, folder, clock)
    ca = config.authentication.x509.client_ca_file
    handler = KubeletApi(kubelet, Access(client, settings.node_name, clock), clock)
    async with asyncio.TaskGroup() as group:
        tls: list[ServerTls] = []
        group.create_task(serving.run(lambda: [t.reload() for t in tls]), name="serving-certificate")
        await serving.ready.wait()
        identity = Identity(serving.file, serving.file)
        tls.append(ServerTls(identity, client_ca=Path(ca) if ca else None))
        await _listen(HttpServer(handler, ssl=tls[0].context, clock=clock), config.address, config.port)


async def _serve_health(config: Configuration) -> None:
    """/healthz on the loopback, for the machine's supervisor and kubeadm."""
    if config.healthz_port:
        await _listen(HttpServer(_healthz()), config.healthz_bind_address, config.healthz_port)


def _healthz() -> Handler:
    async def answer(request: Request) -> Response:
        known = request.path.rstrip("/") == "/healthz"
        return Response(200 if known else 404, Headers([("content-type", "text/plain")]), b"ok" if known else b"")

    return answer


async def _listen(server: HttpServer, address: str, port: int) -> None:
    try:
        await server.start(address, port)
    except OSError as error:
        raise StartError(f"cannot listen on {address}:{port}: {error.strerror or error}") from None
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    options = parser().parse_args(arguments)
    sys.exit(_daemon.run("kubelet", options.v, lambda: run(options)))
